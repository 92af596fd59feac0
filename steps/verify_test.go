package steps

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// shared gives a real trace that is not part of the project.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", "traces", filepath.FromSlash(name)))
	if err != nil {
		t.Skipf("the shared traces are not here: %v", err)
	}
	return data
}

// own gives a real trace of testdata.
func own(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "traces", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// written puts files into a target's directory as a server that wrote them while
// its window was open, and collects them.
func (h *host) written(target Target, change func(*WindowResult), files map[string][]byte) {
	h.t.Helper()
	h.recorded(change, target)
	for name, data := range files {
		write(h.t, target.TraceDir, name, data)
	}
	if _, err := h.collect(h.t.Context(), collectFrom(target)); err != nil {
		h.t.Fatal(err)
	}
}

func verifySteps(count, delay int, target Target) *Verify {
	return &Verify{Header: Header{Name: "round-01/verify", Round: 1}, Targets: []Target{target}, Form: "steps", Count: count, Delay: delay, KeepOriginal: true}
}

// verify carries out the plan step; its result is there also where it failed.
func (h *host) verify(v *Verify) (VerifyResult, error) {
	h.t.Helper()
	result, err := h.do(h.t.Context(), v)
	r, ok := result.(VerifyResult)
	if !ok {
		h.t.Fatalf("no result: %v", err)
	}
	for _, f := range r.Files {
		sum, hashErr := archive.HashFile(h.Dir.Join(f.Path))
		if hashErr != nil || sum.SHA256 != f.SHA256 || sum.Size != f.Size {
			h.t.Errorf("%s is not what the result says: %v", f.Path, hashErr)
		}
	}
	return r, err
}

func dp2(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	for _, n := range []string{"rank0.1795568509242279056.pt.trace.json.gz", "rank0.1795568509522173667.pt.trace.json.gz", "rank0.profiler_out.txt"} {
		files[n] = own(t, "v0.32.0-dp2/"+n)
	}
	return files
}

const (
	tp2Rank0 = "rank0.1795568314470670992.pt.trace.json.gz"
	tp2Rank1 = "rank1.1795568314377717801.pt.trace.json.gz"
)

func tp2(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	for _, n := range []string{tp2Rank0, tp2Rank1, "rank0.profiler_out.txt", "rank1.profiler_out.txt"} {
		files[n] = own(t, "v0.32.0-tp2/"+n)
	}
	return files
}

// one is a single trace under a name that vLLM gives.
func oneTrace(data []byte) map[string][]byte {
	return map[string][]byte{"rank0.1.pt.trace.json.gz": data}
}

// TestVerifyGolden has, for real traces, all that the manifest then says of them.
func TestVerifyGolden(t *testing.T) {
	for name, c := range map[string]struct {
		files  func(testing.TB) map[string][]byte
		verify func(*Verify)
		exit   int
		text   string
	}{
		"vllm-0.32.0-dp2": {files: dp2},
		"vllm-0.32.0-tp2": {files: tp2},
		"vllm-0.15.1-memory": {files: func(t testing.TB) map[string][]byte { return oneTrace(own(t, "v0.15.1-delay1-max4-memory.json.gz")) },
			verify: func(v *Verify) { v.Record.Memory = true }},
		"vllm-0.15.1-short": {files: func(t testing.TB) map[string][]byte { return oneTrace(own(t, "v0.15.1-delay1-max4-memory.json.gz")) },
			verify: func(v *Verify) { v.Count, v.Delay = 4, 1 }, exit: ExitWindow, text: "select 4 engine steps: no more than 3 are left"},
		"vllm-0.11.0-scopes": {files: func(t testing.TB) map[string][]byte { return oneTrace(own(t, "v0.11.0-scopes.json.gz")) }},
		"vllm-0.32.0-four-steps": {files: func(t testing.TB) map[string][]byte { return oneTrace(own(t, "v0.32.0-four-steps.json.gz")) },
			verify: func(v *Verify) { v.Count = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			target.TraceDir = t.TempDir()
			h.written(target, nil, c.files(t))
			v := verifySteps(3, 1, target)
			if name == "vllm-0.32.0-four-steps" {
				v.Delay = 0
			}
			if c.verify != nil {
				c.verify(v)
			}
			got, err := h.verify(v)
			failed(t, err, c.exit, c.text)
			golden(t, name, got)
		})
	}
}

// golden compares a result with the file that keeps it. The bytes of a compressed
// file may differ between versions of the library, so its size and hash are left out.
func golden(t *testing.T, name string, got VerifyResult) {
	t.Helper()
	got.Files = slices.Clone(got.Files)
	for i := range got.Files {
		if got.Files[i].TrimmedFrom != "" {
			got.Files[i].Size, got.Files[i].SHA256 = 0, ""
		}
	}
	data, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, '\n')
	path := filepath.Join("testdata", "verify", name+".json")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(data) {
		t.Errorf("%s differs (run with -update to write it anew), got:\n%s", path, data)
	}
}

// What a trace holds and what a window asks for, in real traces of several
// versions: asked, and whether it was got and by which evidence.
func TestVerifyRealTraces(t *testing.T) {
	for _, c := range []struct {
		file         string
		count, delay int
		evidence     string
		exact        bool
		recorded     int
		reason       string
	}{
		{"vllm-cpu/v0.11.0-manual-shapes.json.gz", 5, 3, "structure", true, 22, ""},
		{"vllm-cpu/v0.11.0-scopes.json.gz", 2, 0, "scope", true, 4, ""},
		{"vllm-cpu/v0.13.0-manual-shapes.json.gz", 20, 2, "annotation", true, 26, ""},
		{"vllm-cpu/v0.15.1-delay1-max4-memory.json.gz", 4, 0, "annotation", true, 4, ""},
		{"vllm-cpu/v0.32.0-manual-detailed.json.gz", 10, 3, "annotation", true, 25, ""},
		{"vllm-cpu/v0.32.0-four-steps.json.gz", 4, 0, "annotation", false, 3, "the last was recorded without its sampling"},
		{"vllm-cpu/v0.32.0-max6-all-options.json.gz", 1, 5, "annotation", true, 6, ""},
		{"sglang-cpu/059-num5/1795569132.392608-TP-0.trace.json.gz", 4, 0, "structure", true, 4, ""},
		{"sglang-cpu/0523-nostack-noshapes-num3/1795568781.9001515-TP-0.trace.json.gz", 3, 0, "annotation", true, 3, ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.written(target, nil, oneTrace(shared(t, c.file)))
			v := verifySteps(c.count, c.delay, target)
			got, err := h.verify(v)
			exit := ExitOK
			if !c.exact {
				exit = ExitWindow
			}
			failed(t, err, exit, c.reason)
			w := got.Windows[0]
			if w.Evidence != c.evidence || w.Exact != c.exact || w.Got.RecordedSteps != c.recorded || !contains(w.Reason, c.reason) || w.Got.Trimmed != c.exact {
				t.Errorf("window %+v", w)
			}
			if c.exact && (w.Got.Steps != c.count || len(w.Got.EngineSteps) != c.count || w.Got.DurationNS <= 0 || w.File == got.Files[0].Path) {
				t.Errorf("got %+v in %s", w.Got, w.File)
			}
		})
	}
}

func TestVerifyOptions(t *testing.T) {
	memory := own(t, "v0.15.1-delay1-max4-memory.json.gz")
	plain := own(t, "v0.32.0-four-steps.json.gz")
	for _, c := range []struct {
		name  string
		files map[string][]byte
		asked Record
		exit  int
		text  string
		seen  archive.Options
		extra []string
	}{
		{"as asked", oneTrace(memory), Record{Memory: true}, 0, "", archive.Options{Memory: true}, nil},
		{"more than asked", oneTrace(memory), Record{}, 0, "", archive.Options{Memory: true}, []string{"memory"}},
		{"less than asked", oneTrace(memory), Record{Memory: true, Shapes: true, FLOPs: true}, ExitServer, "without shapes, flops, which the record block asks for", archive.Options{Memory: true}, nil},
		{"in one of two", map[string][]byte{"rank0.1.pt.trace.json.gz": memory, "rank0.2.pt.trace.json.gz": plain}, Record{}, 0, "", archive.Options{}, []string{"memory"}},
		{"in one of two, asked", map[string][]byte{"rank0.1.pt.trace.json.gz": memory, "rank0.2.pt.trace.json.gz": plain}, Record{Memory: true}, ExitServer, "without memory", archive.Options{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.chose(target, StrategyObserved)
			h.written(target, nil, c.files)
			v := verifySteps(3, 0, target)
			v.Record = c.asked
			got, err := h.verify(v)
			failed(t, err, c.exit, c.text)
			if c.exit != 0 && (!failureIn(err).Final || !strings.Contains(err.Error(), "launch it with")) {
				t.Errorf("got %v", err)
			}
			if got.Seen == nil || *got.Seen != c.seen || !slices.Equal(got.Extra, c.extra) || hasWarning(h, "did not ask for") != (c.extra != nil) {
				t.Errorf("seen %+v, extra %v, warnings %q", got.Seen, got.Extra, h.Warnings())
			}
		})
	}
}

// A trace that cannot be read fails the attempt; what the others hold is kept.
func TestVerifyUnreadable(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.written(target, nil, map[string][]byte{
		"rank0.1.pt.trace.json":    []byte(`{"traceEvents":[{"ph":}]}`),
		"rank0.2.pt.trace.json.gz": own(t, "v0.32.0-four-steps.json.gz"),
	})
	got, err := h.verify(verifySteps(3, 0, target))
	failed(t, err, ExitIncomplete, "rank0.1.pt.trace.json: read trace")
	if len(got.Windows) != 1 || !got.Windows[0].Exact {
		t.Errorf("windows %+v", got.Windows)
	}
	if kept := collected(h.Run); len(kept) != 3 {
		t.Errorf("the manifest would name %d files", len(kept))
	}
}

func TestVerifyNothing(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	if _, err := verifySteps(1, 0, target).Do(t.Context(), h.Run); err == nil {
		t.Error("verified nothing")
	}
	h.recorded(nil, target)
	h.State.Put(h.Place, CollectResult{})
	got, err := h.verify(verifySteps(1, 0, target))
	failed(t, err, ExitWindow, "no worker's trace was collected")
	if got.Seen != nil {
		t.Errorf("seen %+v in no trace", got.Seen)
	}
}

func scanOf(t testing.TB, data []byte) *trace.Summary {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace.json.gz")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	scan, err := trace.Scan(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return scan
}

// A job that asks for what runs on the device is not content with the CPU's events.
func TestVerifyActivities(t *testing.T) {
	plain := own(t, "v0.32.0-four-steps.json.gz")
	device := []byte(`{"traceEvents":[{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":1.000,"dur":2.000}]}`)
	for _, c := range []struct {
		name  string
		asked []string
		files map[string][]byte
		exit  int
	}{
		{"nothing asked", nil, oneTrace(plain), 0},
		{"cpu", []string{"cpu"}, oneTrace(plain), 0},
		{"device", []string{"cpu", "device"}, oneTrace(plain), ExitServer},
		{"device in one", []string{"device"}, map[string][]byte{"rank0.1.pt.trace.json.gz": plain, "rank0.2.pt.trace.json": device}, ExitWindow},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.written(target, nil, c.files)
			v := verifySteps(3, 0, target)
			v.Record.Activities = c.asked
			_, err := h.verify(v)
			text := ""
			if c.exit == ExitServer {
				text = "recorded without activity device"
			}
			failed(t, err, c.exit, text)
			if failureIn(err).Final != (c.exit == ExitServer) {
				t.Errorf("final: %v", err)
			}
		})
	}
}

func TestVerifySummary(t *testing.T) {
	r := VerifyResult{Windows: []archive.Window{
		{Asked: archive.Asked{Kind: "steps", Steps: 5}, Got: archive.Got{Steps: 3}, Evidence: "scope", Reason: "too few"},
		{Asked: archive.Asked{Kind: "manual"}, Got: archive.Got{Steps: 3}, Evidence: "none", Exact: true}}}
	if got := r.Summary(); got != "3 of 5 engine steps by scope, not exact: too few; 3 engine steps by none, exact" {
		t.Error(got)
	}
}

// Progress tells which trace is read.
func TestVerifyProgress(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.written(target, nil, dp2(t))
	before := len(told[event.Progress](h))
	if _, err := h.verify(verifySteps(3, 0, target)); err != nil {
		t.Fatal(err)
	}
	all := told[event.Progress](h)[before:]
	if len(all) != 2 || all[1].Done != 1 || all[1].Total != 2 || !strings.HasPrefix(all[0].Text, "reading rank0.") {
		t.Errorf("got %+v", all)
	}
}
