package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"profjob/internal/embedded/kineto"
)

var (
	decode4 = Pass{GenerationRequests: 4, GenerationTokens: 4}
	prefill = Pass{New: 1, ContextRequests: 1, ContextTokens: 12}
)

// armOf arms a session for so many steps.
func (w *world) armOf(session string, steps int) map[string]any {
	w.t.Helper()
	got := w.post("arm", fmt.Sprintf(`{"protocol":1,"session":%q,"window":{"steps":%d}}`, session, steps)).(map[string]any)
	if got["state"] != "armed" {
		w.t.Fatalf("armed: %v", got)
	}
	return got
}

// worker asks for a session and gives what its worker says.
func (w *world) worker(session string) map[string]any {
	w.t.Helper()
	v := decoded(w.t, w.do("GET", "status?session="+session, "").Body.Bytes()).(map[string]any)
	workers, ok := v["workers"].([]any)
	if !ok {
		w.t.Fatalf("status: %v", v)
	}
	return workers[0].(map[string]any)
}

func TestPasses(t *testing.T) {
	for _, tc := range []struct {
		pass       Pass
		class      string
		annotation string
	}{
		{Pass{}, "idle", "execute_context_0(0)_generation_0(0)"},
		{decode4, "decode", "execute_context_0(0)_generation_4(4)"},
		{prefill, "prefill", "execute_context_1(12)_generation_0(0)"},
		{Pass{ContextRequests: 1, ContextTokens: 7, GenerationRequests: 2, GenerationTokens: 2}, "mixed", "execute_context_1(7)_generation_2(2)"},
	} {
		if class, annotation := tc.pass.class(), tc.pass.Annotation(); class != tc.class || annotation != tc.annotation {
			t.Errorf("%+v is %s, %s", tc.pass, class, annotation)
		}
	}
}

// A nil gate is what a server without a secret has.
func TestNoGate(t *testing.T) {
	var g *Gate
	g.Before(decode4)
	g.Sampled()
	g.Check()
	g.Close()
	if _, ok := g.Due(); ok || g.Recorder() != nil {
		t.Error("it does something")
	}
}

// Unarmed the gate has nothing to do, and nothing records.
func TestUnarmed(t *testing.T) {
	w := newWorld(t, Config{})
	w.pass(decode4)
	if _, ok := w.gate.Due(); ok || w.gate.Recorder() != nil {
		t.Error("it has something to do")
	}
}

func TestDue(t *testing.T) {
	w := newWorld(t, Config{})
	due := func() time.Duration {
		d, ok := w.gate.Due()
		if !ok {
			t.Fatal("nothing is due")
		}
		return d
	}
	w.post("arm", `{"protocol":1,"session":"s","lease_s":20,"window":{"duration_s":2},"limits":{"max_seconds":5}}`)
	if d := due(); d != 20*time.Second {
		t.Errorf("armed: due in %s, want the lease", d)
	}
	w.pass(decode4)
	w.advance(500 * time.Millisecond)
	if d := due(); d != 1500*time.Millisecond {
		t.Errorf("recording: due in %s, want what is left of the duration", d)
	}
	w.advance(1500 * time.Millisecond)
	if got := w.worker("s"); got["state"] != "done" || got["ended_by"] != "duration" {
		t.Errorf("after the duration: %v", got)
	}
}

func TestRoot(t *testing.T) {
	dir := t.TempDir()
	link, open, plain := filepath.Join(dir, "link"), filepath.Join(dir, "open"), filepath.Join(dir, "plain")
	for _, err := range []error{os.Symlink(dir, link), os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.WriteFile(plain, nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for root, want := range map[string]string{
		"relative": "is not an absolute path", link: "is a link or no folder", open: "can be written by others (mode 777)",
		plain: "not a directory", filepath.Join(plain, "x"): "not a directory",
	} {
		w := newWorld(t, Config{Root: root})
		got := w.do("POST", "arm", `{"protocol":1,"session":"s","window":{"steps":1}}`)
		if got.Code != http.StatusInternalServerError || !strings.Contains(got.Body.String(), want) || !strings.Contains(got.Body.String(), `"code":"worker"`) {
			t.Errorf("%s: arm: %d %s", root, got.Code, got.Body)
		}
		if got := w.do("GET", "hello", ""); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s: hello: %d %s", root, got.Code, got.Body)
		}
	}
	made := filepath.Join(dir, "a", "b")
	newWorld(t, Config{Root: made}).armOf("s", 1)
	if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestDiskThatIsFull(t *testing.T) {
	free := int64(minFree - 1)
	w := newWorld(t, Config{Free: func(string) (int64, error) { return free, nil }})
	got := w.do("POST", "arm", `{"protocol":1,"session":"s","window":{"steps":1}}`)
	if got.Code != http.StatusInsufficientStorage || !strings.Contains(got.Body.String(), `"code":"disk"`) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	free++
	w.armOf("s", 1)
}

func TestFileThatCannotBeWritten(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	w := newWorld(t, Config{Root: root})
	w.armOf("s", 1)
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	w.pass(decode4)
	if got := w.worker("s"); got["state"] != "failed" || got["ended_by"] != "error" || !strings.HasPrefix(got["error"].(string), "write the trace: ") {
		t.Errorf("%v", got)
	}
}

// A trace that got larger than the limit is kept: it is there already.
func TestTraceBeyondTheLimit(t *testing.T) {
	w := newWorld(t, Config{})
	w.post("arm", `{"protocol":1,"session":"s","window":{"steps":1},"limits":{"max_bytes":10}}`)
	w.pass(decode4)
	w.gate.writers.Wait()
	if got := w.worker("s"); got["state"] != "done" || len(got["files"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	if found, err := os.ReadDir(w.gate.config.Root); err != nil || len(found) != 1 {
		t.Errorf("there are %v, %v", found, err)
	}
}

// A recording that grows beyond the limit ends before the next pass.
func TestRecordingBeyondTheLimit(t *testing.T) {
	w := newWorld(t, Config{})
	w.post("arm", `{"protocol":1,"session":"s","window":{"steps":9},"limits":{"max_bytes":20000}}`)
	for n := range 9 {
		w.gate.Before(decode4)
		for range 20 {
			w.gate.Recorder().End(w.gate.Recorder().Begin("aten::mm"))
		}
		w.gate.Sampled()
		w.gate.writers.Wait()
		if w.gate.Recorder() == nil && n < 2 {
			t.Fatalf("it ended with pass %d", n)
		}
	}
	if got := w.worker("s"); got["state"] != "disarmed" || got["ended_by"] != "max_bytes" || len(got["files"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
}

// What another profiler records is not disturbed.
func TestAnotherProfiler(t *testing.T) {
	others := false
	w := newWorld(t, Config{OthersRecord: func() bool { return others }})
	w.armOf("s", 1)
	others = true
	w.pass(decode4)
	if got := w.worker("s"); got["state"] != "failed" || got["error"] != "RuntimeError: another profiler is recording in this worker" {
		t.Errorf("%v", got)
	}
	if got := w.do("POST", "arm", `{"protocol":1,"session":"t","window":{"steps":1}}`); got.Code != http.StatusConflict || !strings.Contains(got.Body.String(), `"code":"busy"`) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// Ended sessions are remembered up to a number.
func TestSessionsThatAreForgotten(t *testing.T) {
	w := newWorld(t, Config{})
	for i := range keptSessions + 1 {
		w.armOf(fmt.Sprintf("s%d", i), 1)
		w.pass(decode4)
	}
	if got := w.do("GET", "status?session=s0", ""); got.Code != http.StatusNotFound {
		t.Errorf("the oldest: %d %s", got.Code, got.Body)
	}
	if got := w.worker("s1"); got["state"] != "done" {
		t.Errorf("the oldest but one: %v", got)
	}
}

// A pass that comes before the sampling of the one before ends that step.
func TestPassBeforeTheSampling(t *testing.T) {
	for _, steps := range []int{1, 2} {
		w := newWorld(t, Config{})
		w.armOf("s", steps)
		w.gate.Before(decode4)
		w.advance(time.Second)
		w.pass(decode4)
		got := w.worker("s")
		said := got["steps"].([]any)
		if got["state"] != "done" || len(said) != steps {
			t.Fatalf("%v", got)
		}
		for i, each := range said {
			if step := each.(map[string]any); step["sampled"] != (i > 0) || step["end_ns"].(float64) != 1e9 {
				t.Errorf("step %d of %d: %v", i, steps, step)
			}
		}
	}
}

// The trace says whose it is.
func TestTraceSaysWhose(t *testing.T) {
	w := newWorld(t, Config{Meta: kineto.Meta{PID: 7, Process: "VLLM::Worker"}})
	w.post("arm", `{"protocol":1,"session":"s","prefix":"p","window":{"steps":1},"record":{"shapes":true}}`)
	w.pass(prefill)
	name := w.worker("s")["files"].([]any)[0].(map[string]any)["name"].(string)
	if !strings.HasPrefix(name, "p_s_dp0_pp0_tp0_rank0.") || !strings.HasSuffix(name, ".pt.trace.json.gz") {
		t.Errorf("the file is named %s", name)
	}
	if entries, err := os.ReadDir(w.gate.config.Root); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	got := w.do("GET", "file?session=s&name="+name, "")
	var trace map[string]json.RawMessage
	if err := json.Unmarshal(unpacked(t, got.Body), &trace); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"profjob_gate": `"1.0.0"`, "profjob_session": `"s"`, "profjob_core": "0", "profjob_rank": "0",
		"profjob_file": `"` + name + `"`, "record_shapes": "1",
	} {
		if string(trace[key]) != want {
			t.Errorf("%s is %s, want %s", key, trace[key], want)
		}
	}
}

// A listed file that somebody removed cannot be had.
func TestFileThatIsGone(t *testing.T) {
	w := newWorld(t, Config{})
	w.armOf("s", 1)
	w.pass(decode4)
	name := w.worker("s")["files"].([]any)[0].(map[string]any)["name"].(string)
	if err := os.Remove(filepath.Join(w.gate.config.Root, name)); err != nil {
		t.Fatal(err)
	}
	if got := w.do("GET", "file?session=s&name="+name, ""); got.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := w.do("DELETE", "file?session=s&name="+name, ""); got.Code != http.StatusOK {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func unpacked(t *testing.T, packed io.Reader) []byte {
	t.Helper()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func FuzzArm(f *testing.F) {
	for _, text := range []string{``, `{}`, `[`, `{"protocol":1,"session":"s","window":{"steps":5}}`, `{"protocol":1,"session":"s","window":{"steps":1e5,"phase":[{}]},"limits":null}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := decode(text)
		if err != nil {
			return
		}
		r, refused := parseArm(v)
		switch {
		case refused != nil && (refused.status != http.StatusBadRequest || refused.field == ""):
			t.Errorf("refused: %+v", refused)
		case refused == nil && ((r.window.steps == nil) == (r.window.duration == nil) || r.window.threshold < 1 || r.lease < 1):
			t.Errorf("taken: %+v", r)
		}
	})
}
