package steps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/gate"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
)

// flaky is a host whose readings break off after so many bytes, as often as it says,
// or always where it is negative.
type flaky struct {
	hostfs.FS
	after int64
	times int

	mu sync.Mutex
	at []int64 // where readings began
}

func (f *flaky) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	r, err := f.FS.Open(ctx, path, offset)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = append(f.at, offset)
	if err != nil || f.times == 0 {
		return r, err
	}
	f.times--
	broken := io.MultiReader(io.LimitReader(r, f.after), iotest.ErrReader(errors.New("the connection broke")))
	return struct {
		io.Reader
		io.Closer
	}{broken, r}, nil
}

// bigTrace is a complete trace that does not get small by compression.
func bigTrace(t *testing.T, n int) []byte {
	t.Helper()
	var text strings.Builder
	for block := sha256.Sum256(nil); text.Len() < n; block = sha256.Sum256(block[:]) {
		text.WriteString(hex.EncodeToString(block[:]))
	}
	return []byte(fmt.Sprintf(`{"traceEvents":[],"note":%q}`, text.String()))
}

const traceName = "rank0.1.pt.trace.json"

// A copy whose source breaks off goes on from there, within the plan step.
func TestCollectGoesOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		after int64
		times int
		at    string
		exit  int
		text  string
	}{
		{"once", 1000, 1, "[0 1000]", 0, ""},
		{"again and again, and further each time", 100, 20, "[0 100 200 300 400 500 600 700 800 900 1000 1100 1200 1300 1400 1500 1600 1700 1800 1900 2000]", 0, ""},
		{"at the same place for ever", 0, -1, "[0 0 0 0 0]", ExitIncomplete, "the connection broke"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.recorded(nil, target)
				write(t, target.TraceDir, traceName, bigTrace(t, 10_000))
				f := &flaky{FS: local.New(target.TraceDir), after: c.after, times: c.times}
				h.only(target, f)
				got, err := h.collect(t.Context(), collectFrom(target))
				failed(t, err, c.exit, c.text)
				// keepUnfinished tries once more where it could not be had
				if at := fmt.Sprint(f.at); !strings.HasPrefix(at, strings.TrimSuffix(c.at, "]")) || c.exit == 0 && at != c.at {
					t.Errorf("read from %s, want %s", at, c.at)
				}
				if c.exit == 0 && (got != "trace server/"+slugA+"/"+traceName+" "+traceName || !hasWarning(h, "the connection broke: the copy is gone on with")) {
					t.Errorf("got %q, warnings %q", got, h.Warnings())
				}
			})
		})
	}
}

// only makes another host's directory of a target's.
func (h *host) only(target Target, f hostfs.FS) {
	files := h.Files
	h.Files = func(dir string) hostfs.FS {
		if dir == target.TraceDir {
			return f
		}
		return files(dir)
	}
}

// A run that was killed while it copied goes on: what is whole is not copied again,
// what was begun is gone on with, where the source is as it was.
func TestCollectAfterAKill(t *testing.T) {
	const whole, half, changed = "rank0.1.pt.trace.json", "rank1.1.pt.trace.json", "rank2.1.pt.trace.json"
	h := newHost(t)
	target := h.serve("a")
	h.recorded(nil, target)
	for _, name := range []string{whole, half, changed, "node2/" + whole} {
		write(t, target.TraceDir, name, bigTrace(t, 10_000))
	}
	g := &gathering{Collect: collectFrom(target), run: h.Run, target: target}
	listed, err := h.Files(target.TraceDir).List(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range listed {
		after := map[string]int64{half: 4000, changed: 5000, whole: 1 << 20}[f.Path]
		if after == 0 {
			continue
		}
		src := g.source(f)
		open := src.Open
		src.Open = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return (&flaky{FS: openOnly{open: open}, after: after, times: 1}).Open(ctx, f.Path, offset)
		}
		if f.Path == whole {
			src.Open = open
		}
		_, err := archive.Fetch(t.Context(), h.Dir.Join(filepath.FromSlash(g.place(f))), src)
		if (err == nil) != (f.Path == whole) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(target.TraceDir, changed), bigTrace(t, 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &flaky{FS: h.Files(target.TraceDir)}
	h.only(target, f)
	c := collectFrom(target)
	c.ExpectRanks = 4
	got, err := h.collect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	dir := "trace server/" + slugA + "/"
	want := strings.Join([]string{
		dir + "rank0-2.1.pt.trace.json node2/rank0.1.pt.trace.json",
		dir + whole + " " + whole, dir + half + " " + half, dir + changed + " " + changed}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if at := fmt.Sprint(f.at); at != "[0 4000 0]" { // node2's, the half one, the changed one
		t.Errorf("read from %s", at)
	}
	for _, name := range []string{whole, half, changed} {
		theirs, _ := os.ReadFile(filepath.Join(target.TraceDir, name))
		ours, err := os.ReadFile(h.Dir.Join("rounds/01/attempt-1/traces/server", slugA, name))
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s is another one, %v", name, err)
		}
	}
}

// openOnly is a host of which nothing but Open is used.
type openOnly struct {
	hostfs.FS
	open func(context.Context, int64) (io.ReadCloser, error)
}

func (o openOnly) Open(ctx context.Context, _ string, offset int64) (io.ReadCloser, error) {
	return o.open(ctx, offset)
}

// What is put together from two goes while the source changes is no copy.
func TestCollectOfAReplacedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		write(t, target.TraceDir, traceName, bigTrace(t, 10_000))
		f := &flaky{FS: local.New(target.TraceDir), after: 1000, times: 1}
		h.only(target, &replacing{flaky: f, replace: func() {
			write(t, target.TraceDir, "new", append(bytes.Repeat([]byte(" "), 1), bigTrace(t, 10_000)...))
			if err := os.Rename(filepath.Join(target.TraceDir, "new"), filepath.Join(target.TraceDir, traceName)); err != nil {
				t.Error(err)
			}
		}})
		if _, err := h.collect(t.Context(), collectFrom(target)); err != nil {
			t.Fatal(err)
		}
		theirs, _ := os.ReadFile(filepath.Join(target.TraceDir, traceName))
		ours, err := os.ReadFile(h.Dir.Join("rounds/01/attempt-1/traces/server", slugA, traceName))
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("the copy is another one, %v", err)
		}
	})
}

// replacing replaces a file right before a reading goes on.
type replacing struct {
	*flaky
	replace func()
}

func (r *replacing) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if offset > 0 {
		r.replace()
	}
	return r.flaky.Open(ctx, path, offset)
}

// Nothing is copied to a disk that has no room for it; what the run's own scratch
// folder holds, and goes with it, is moved.
func TestCollectDoesNotFit(t *testing.T) {
	for _, scratch := range []bool{false, true} {
		h := newHost(t)
		target := h.serve("a")
		if scratch {
			target.TraceDir, _ = h.Dir.MkdirAll("scratch", "server", "traces")
		}
		h.recorded(nil, target)
		data := traceOf(t, "ours")
		write(t, target.TraceDir, traceName+".gz", data)
		write(t, target.TraceDir, "rank1.1.pt.trace.json.gz", data[:len(data)-4])
		files := h.Files
		h.Files = func(dir string) hostfs.FS {
			if dir == h.Dir.Path() {
				return fakeFS{free: func() (int64, error) { return int64(len(data)), nil }}
			}
			return files(dir)
		}
		got, err := h.collect(t.Context(), collectFrom(target))
		failed(t, err, ExitIncomplete, "do not fit: ")
		failed(t, err, ExitIncomplete, target.TraceDir)
		want := ""
		if scratch {
			want = "trace server/" + slugA + "/rank0.1.pt.trace.json.gz rank0.1.pt.trace.json.gz\nother server/" + slugA + "/rank1.1.pt.trace.json.gz rank1.1.pt.trace.json.gz"
		}
		if got != want {
			t.Errorf("scratch %v: got\n%s", scratch, got)
		}
		if _, err := os.Stat(filepath.Join(target.TraceDir, traceName+".gz")); (err == nil) == scratch {
			t.Errorf("scratch %v: %v", scratch, err)
		}
	}
}

// A gate's file whose connection drops is asked for from there, and one that a run has
// begun before it was killed is gone on with.
func TestGateFilesGoOn(t *testing.T) {
	const size = 17 << 20 // more than is asked for at once
	data := bigTrace(t, size)
	sum := sha256.Sum256(data)
	file := gate.File{Name: "gate.pt.trace.json", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	var ranges []string
	drops := 2
	h := newHost(t)
	target, g := h.serveGate(nil)
	g.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.URL.Query().Get("range"))
		if len(ranges) > 1 && drops > 0 { // the first chunk comes
			drops--
			panic(http.ErrAbortHandler)
		}
		r.Header.Set("Range", r.URL.Query().Get("range"))
		http.ServeContent(w, r, "", h.StartedAt, bytes.NewReader(data))
	})
	window := WindowResult{Ended: EndedRecorded, Endpoints: []EndpointWindow{{Target: "server", Endpoint: target.Endpoints[0], Strategy: StrategyGate, Stopped: true,
		Gate: &GateSession{Session: "s", Workers: []gate.Worker{worker(0, gate.Progress{State: gate.Done, Recorded: 1, Files: []gate.File{file}})}}}}}
	h.State.Put(event.Place{Step: "window", Round: 1, Attempt: 1}, window)
	if _, err := h.do(t.Context(), collectFrom(target)); err != nil {
		t.Fatal(err)
	}
	second := fmt.Sprintf("bytes=%d-%d", 16<<20, len(data)-1)
	if want := fmt.Sprint([]string{"bytes=0-16777215", second, second, second}); fmt.Sprint(ranges) != want {
		t.Errorf("asked for %v, want %s", ranges, want)
	}
	ranges = nil
	if _, err := h.do(t.Context(), collectFrom(target)); err != nil || ranges != nil {
		t.Errorf("asked again for %v, %v", ranges, err)
	}
}

// The files of a launched server's gate that do not fit once more are moved: the
// folder that they lie in ends with the run.
func TestGateFilesDoNotFit(t *testing.T) {
	for _, launched := range []bool{false, true} {
		h := newHost(t)
		target, g := h.serveGate(nil)
		data := traceOf(t, "ours")
		sum := sha256.Sum256(data)
		own, _ := h.Dir.MkdirAll("scratch", "server", "gate-files")
		write(t, own, "gate.pt.trace.json.gz", data)
		if launched {
			target.Launch = &LaunchParams{}
		}
		g.file = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked for a file that does not fit") })
		files := []gate.File{{Name: "gate.pt.trace.json.gz", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, {Name: "../plan.json", Size: 1}}
		h.State.Put(event.Place{Step: "window", Round: 1, Attempt: 1}, WindowResult{Ended: EndedRecorded, Endpoints: []EndpointWindow{{Target: "server", Endpoint: target.Endpoints[0],
			Strategy: StrategyGate, Stopped: true, Gate: &GateSession{Session: "s", Workers: []gate.Worker{worker(0, gate.Progress{State: gate.Done, Recorded: 1, Files: files})}}}}})
		h.Files = func(string) hostfs.FS { return fakeFS{free: func() (int64, error) { return 1, nil }} }
		result, err := h.do(t.Context(), collectFrom(target))
		failed(t, err, ExitIncomplete, "the traces of the gate at "+target.Endpoints[0]+" do not fit")
		if launched {
			failed(t, err, ExitIncomplete, `the gate lists "../plan.json"`)
		}
		if r := result.(CollectResult); len(r.Files) != map[bool]int{true: 1}[launched] || launched && r.Files[0].SHA256 != files[0].SHA256 {
			t.Errorf("launched %v: got %+v", launched, r.Files)
		}
	}
}

// A run that was killed while it removed what it had copied at the server has all of it.
func TestCollectAfterAKillInRemoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		for _, name := range []string{"rank0.1.pt.trace.json", "rank1.1.pt.trace.json"} {
			write(t, target.TraceDir, name, bigTrace(t, 100))
		}
		c := collectFrom(target)
		c.DeleteRemote, c.ExpectRanks = true, 2
		h.broken = func(ev event.Event) error { // as if the journal were the last that was heard
			if _, noted := ev.(event.StepNoted); noted {
				if left, _ := os.ReadDir(target.TraceDir); len(left) != 2 {
					t.Error("something was removed before it was known as copied")
				}
			}
			return nil
		}
		want, err := h.collect(t.Context(), c)
		if err != nil || !strings.Contains(want, "rank1") {
			t.Fatalf("%q, %v", want, err)
		}
		h.broken = nil
		noted := told[event.StepNoted](h)
		if left, _ := os.ReadDir(target.TraceDir); len(left) != 0 || len(noted) != 1 {
			t.Fatalf("%d files are left, noted %d times", len(left), len(noted))
		}
		h.State = &State{}
		h.recorded(func(r *WindowResult) { r.Before = nil }, target)
		if _, err := h.collect(t.Context(), c); err == nil {
			t.Error("what nobody knows of was found")
		}
		earlier, err := DecodeResult(noted[0].StepKind, noted[0].Result)
		if err != nil {
			t.Fatal(err)
		}
		h.State = &State{}
		h.recorded(func(r *WindowResult) { r.Before = nil }, target)
		h.State.Put(h.Place, earlier)
		if got, err := h.collect(t.Context(), c); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
