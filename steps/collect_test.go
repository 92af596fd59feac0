package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/hostfs"
	"profjob/internal/wire"
)

// recorded puts the result of a window into the state of which every endpoint was
// stopped well, with what lies in the targets' directories now as what was there
// before. change may make another of it.
func (h *host) recorded(change func(*WindowResult), targets ...Target) {
	h.t.Helper()
	r := WindowResult{Ended: EndedRecorded, Before: map[string]Snapshot{}}
	// The traces of testdata are of another time: that they are older proves nothing.
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, target := range targets {
		before, err := h.snapshot(h.t.Context(), target)
		if err != nil {
			h.t.Fatal(err)
		}
		r.Before[target.Name] = before
		for _, e := range target.Endpoints {
			r.Endpoints = append(r.Endpoints, EndpointWindow{Target: target.Name, Endpoint: e, Strategy: StrategyObserved,
				StartSent: began, StartAnswered: began, StopSent: began.Add(time.Second), StopAnswered: began.Add(time.Second),
				Stopped: true, Ended: EndedRecorded})
		}
	}
	if change != nil {
		change(&r)
	}
	h.State.Put(h.Place, r)
}

func collectFrom(targets ...Target) *Collect {
	return &Collect{Header: Header{Name: "round-01/collect", Round: 1}, Targets: targets, Timeout: wire.Duration(30 * time.Minute)}
}

// collect collects and gives the files in a line each: kind, path below traces/, original name.
func (h *host) collect(ctx context.Context, c *Collect) (string, error) {
	h.t.Helper()
	result, err := h.do(ctx, c)
	var lines []string
	if r, ok := result.(CollectResult); ok {
		for _, f := range r.Files {
			_, rel, _ := strings.Cut(f.Path, "rounds/01/attempt-1/traces/")
			lines = append(lines, f.Kind+" "+rel+" "+f.OriginalName)
			sum, hashErr := archive.HashFile(h.Dir.Join(f.Path))
			if hashErr != nil || sum.SHA256 != f.SHA256 || sum.Size != f.Size {
				h.t.Errorf("%s is not what the result says: %v", f.Path, hashErr)
			}
			if f.Round != 1 || f.Attempt != h.Place.Attempt || f.Target == "" || f.Rank != nil {
				h.t.Errorf("got %+v", f)
			}
		}
	}
	return strings.Join(lines, "\n"), err
}

// write writes a file below a directory, with folders as needed.
func write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// traceOf is a small complete trace, compressed.
func traceOf(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := fmt.Fprintf(z, `{"traceEvents":[],"note":%q}`, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var slugA = archive.EndpointSlug("http://a")

// Only what the window wrote is collected: neither what was there before nor what
// is no profiler's; what it wrote over, and both of two files of one name.
func TestCollectWhatTheWindowWrote(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	dir := target.TraceDir
	write(t, dir, "rank0.1.pt.trace.json.gz", traceOf(t, "of an earlier session"))
	write(t, dir, "rank0.profiler_out.txt", []byte("earlier"))
	write(t, dir, "notes.txt", []byte("somebody's"))
	write(t, dir, "rank0.2.pt.trace.json.gz", []byte("broken since long ago"))
	h.recorded(nil, target)
	write(t, dir, "rank0.3.pt.trace.json.gz", traceOf(t, "ours"))
	write(t, dir, "rank0.profiler_out.txt", []byte("ours, over the earlier one"))
	write(t, dir, "host_1.async_llm.4.pt.trace.json.gz", traceOf(t, "the API server's"))
	write(t, dir, "node1/rank0.5.pt.trace.json", []byte(`{"traceEvents":[]}`))
	write(t, dir, "node2/rank0.5.pt.trace.json", []byte(`{"traceEvents":[ ]}`))
	write(t, dir, "core.1234", []byte("a dump"))
	write(t, dir, "new-notes.txt", []byte("somebody's"))
	write(t, dir, "half.pt.trace.json.gz.tmp", []byte("somebody's"))
	got, err := h.collect(t.Context(), collectFrom(target))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"frontend server/" + slugA + "/host_1.async_llm.4.pt.trace.json.gz host_1.async_llm.4.pt.trace.json.gz",
		"trace server/" + slugA + "/rank0.5.pt.trace.json node1/rank0.5.pt.trace.json",
		"trace server/" + slugA + "/rank0-2.5.pt.trace.json node2/rank0.5.pt.trace.json",
		"trace server/" + slugA + "/rank0.3.pt.trace.json.gz rank0.3.pt.trace.json.gz",
		"table server/" + slugA + "/rank0.profiler_out.txt rank0.profiler_out.txt",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if data, err := os.ReadFile(h.Dir.Join("rounds/01/attempt-1/traces/server", slugA, "rank0.profiler_out.txt")); string(data) != "ours, over the earlier one" {
		t.Errorf("%q, %v", data, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 11 {
		t.Errorf("the server's directory has %d entries, %v", len(left), err)
	}
}

// Endpoints that write into one directory do not tell their files apart; targets
// with directories of their own do.
func TestCollectPlaces(t *testing.T) {
	h := newHost(t)
	shared, own := h.serve("a", "b"), h.serve("c")
	own.Name = "other"
	h.recorded(nil, shared, own)
	for _, n := range []string{"1", "2"} {
		write(t, shared.TraceDir, "rank0."+n+".pt.trace.json.gz", traceOf(t, n))
	}
	write(t, own.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "c"))
	got, err := h.collect(t.Context(), collectFrom(shared, own))
	if err != nil {
		t.Fatal(err)
	}
	want := "trace server/shared/rank0.1.pt.trace.json.gz rank0.1.pt.trace.json.gz\n" +
		"trace server/shared/rank0.2.pt.trace.json.gz rank0.2.pt.trace.json.gz\n" +
		"trace other/" + archive.EndpointSlug("http://c") + "/rank0.1.pt.trace.json.gz rank0.1.pt.trace.json.gz"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	collected, _ := InAttempt[CollectResult](h.State, h.Place)
	if collected.Files[0].Endpoint != nil || *collected.Files[2].Endpoint != "http://c" {
		t.Errorf("endpoints %v, %v", collected.Files[0].Endpoint, collected.Files[2].Endpoint)
	}
}

// A file that grows is waited for, however long it takes, as long as it grows.
func TestCollectWaitsForWhatGrows(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces int
		pause  time.Duration
	}{
		{"fast", 4, 20 * time.Millisecond},
		{"slowly", 20, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.recorded(nil, target)
				whole := traceOf(t, strings.Repeat("a long trace ", 1000))
				go func() {
					f, err := os.Create(filepath.Join(target.TraceDir, "rank0.1.pt.trace.json.gz"))
					if err != nil {
						t.Error(err)
						return
					}
					defer f.Close()
					for i := range c.pieces {
						if i > 0 {
							time.Sleep(c.pause)
						}
						if _, err := f.Write(whole[i*len(whole)/c.pieces : (i+1)*len(whole)/c.pieces]); err != nil {
							t.Error(err)
						}
					}
				}()
				began := time.Now()
				got, err := h.collect(t.Context(), collectFrom(target))
				if err != nil || !strings.HasPrefix(got, "trace ") {
					t.Fatalf("got %q, %v", got, err)
				}
				if took, least := time.Since(began), c.pause*time.Duration(c.pieces-1); took < least || took > least+c.pause+time.Second {
					t.Errorf("it took %s, the file %s", took, least)
				}
				copied, err := os.ReadFile(h.Dir.Join("rounds/01/attempt-1/traces/server", slugA, "rank0.1.pt.trace.json.gz"))
				if err != nil || !bytes.Equal(copied, whole) {
					t.Errorf("the copy has %d of %d bytes, %v", len(copied), len(whole), err)
				}
			})
		})
	}
}

// What is missing or never completed fails the attempt; how long it is waited for
// depends on what the stop's answer proved. A file that is not whole is kept as it is.
func TestCollectGivesUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		half   bool
		change func(*EndpointWindow)
		least  time.Duration
		most   time.Duration
		text   string
		final  bool
		gone   bool // the directory
	}{
		{name: "stop answered", least: graceAnswered + graceAgain, most: graceAnswered + graceAgain + time.Second, text: "holds 0 of 1 complete traces"},
		{name: "stop answered, half a file", half: true, least: graceAnswered + graceAgain, most: graceAnswered + graceAgain + time.Second, text: "not complete: rank0.1.pt.trace.json.gz"},
		{name: "stop answered, no directory", gone: true, least: graceAnswered + graceAgain, most: graceAnswered + graceAgain + time.Second, text: "the directory does not exist", final: true},
		{name: "stop answered with 500", change: func(e *EndpointWindow) { e.StopError = "500" }, least: graceFailed + graceAgain, most: graceFailed + graceAgain + 2*time.Second, text: "holds 0 of 1"},
		{name: "stop not answered", change: func(e *EndpointWindow) { e.Stopped, e.StopError = false, "reset" },
			least: 30 * time.Minute, most: 30 * time.Minute, text: "collect.timeout (30m0s) is over"},
		{name: "stop not answered, half a file", half: true, change: func(e *EndpointWindow) { e.Stopped, e.StopError = false, "reset" },
			least: 30 * time.Minute, most: 30 * time.Minute, text: "0 of 1 traces of workers are complete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				if c.gone {
					target.TraceDir = filepath.Join(target.TraceDir, "nowhere")
				}
				h.recorded(func(r *WindowResult) {
					if c.change != nil {
						c.change(&r.Endpoints[0])
					}
				}, target)
				if c.half {
					whole := traceOf(t, strings.Repeat("x", 1000))
					write(t, target.TraceDir, "rank0.1.pt.trace.json.gz", whole[:len(whole)/2])
				}
				began := time.Now()
				got, err := h.collect(t.Context(), collectFrom(target))
				failed(t, err, ExitIncomplete, c.text)
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %s", took)
				}
				if again := c.least < time.Minute; again != (h.asked("a") == "a:stop") {
					t.Errorf("the server was asked %q", h.asked("a"))
				}
				if final := strings.Contains(fmt.Sprintf("%#v", failureIn(err)), "Final:true"); final != c.final {
					t.Errorf("final %t: %v", final, err)
				}
				want := ""
				if c.half {
					want = "other server/" + slugA + "/rank0.1.pt.trace.json.gz rank0.1.pt.trace.json.gz"
				}
				if got != want {
					t.Errorf("kept %q, want %q", got, want)
				}
			})
		})
	}
}

// A server whose stop was not answered and that is found dead is not waited for until
// collect.timeout; one that does not answer may only be writing.
func TestCollectFromTheDead(t *testing.T) {
	for _, c := range []struct {
		name  string
		ready error
		takes time.Duration
		exit  int
	}{
		{"nobody listens", errRefusedConn, 2*graceAgain + time.Second, ExitServer},
		{"connections are cut", errReset, time.Minute + 2*graceAgain, ExitServer},
		{"no answer", context.DeadlineExceeded, 31 * time.Minute, ExitIncomplete},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.server("a").ready = func(context.Context) error { return c.ready }
				h.recorded(func(r *WindowResult) { r.Endpoints[0].Stopped, r.Endpoints[0].StopError = false, "reset" }, target)
				write(t, target.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "x")[:10])
				began := time.Now()
				got, err := h.collect(t.Context(), collectFrom(target))
				failed(t, err, c.exit, "")
				if took := time.Since(began); took > c.takes {
					t.Errorf("it took %s", took)
				}
				if !strings.Contains(got, "rank0.1.pt.trace.json.gz") {
					t.Errorf("what there was is not kept: %q", got)
				}
				if h.asked("a") != "a:" {
					t.Errorf("the dead was asked %q", h.asked("a"))
				}
			})
		})
	}
}

// What came of a start that failed is kept, and nothing has to be there.
func TestCollectOfAStartThatFailed(t *testing.T) {
	for _, wrote := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.recorded(func(r *WindowResult) { r.Endpoints[0].StartError = "reset" }, target)
			if wrote {
				write(t, target.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "x"))
			}
			began := time.Now()
			got, err := h.collect(t.Context(), collectFrom(target))
			if err != nil || (got != "") != wrote || time.Since(began) > time.Second {
				t.Errorf("wrote %t: kept %q after %s, %v", wrote, got, time.Since(began), err)
			}
		})
	}
}

// failureIn finds the failure that says how the run ends.
func failureIn(err error) Failure {
	for err != nil {
		if f, ok := err.(*Failure); ok {
			return *f
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			err = e.Unwrap()[0]
		default:
			err = nil
		}
	}
	return Failure{}
}

// A stop that failed may have written everything: then that is what counts, once
// nothing else comes.
func TestCollectAfterAStopThatFailed(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.recorded(func(r *WindowResult) { r.Endpoints[0].StopError, r.Endpoints[0].Stopped = "it failed", stopped }, target)
			write(t, target.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "0"))
			go func() { // another rank's file is late
				time.Sleep(2 * time.Second)
				write(t, target.TraceDir, "rank1.1.pt.trace.json.gz", traceOf(t, "1"))
			}()
			began := time.Now()
			got, err := h.collect(t.Context(), collectFrom(target))
			if err != nil || strings.Count(got, "trace server") != 2 {
				t.Errorf("got %q, %v", got, err)
			}
			if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
				t.Errorf("it took %s", took)
			}
			if !h.armed.hasWritten(target) {
				t.Error("that the traces are complete is not noted")
			}
		})
	}
}

// What is said of the stop is what became of it, and of the directory what its host says.
func TestCollectSaysWhatIsMissing(t *testing.T) {
	absent := func() ([]hostfs.File, error) { return nil, fs.ErrNotExist }
	for _, c := range []struct {
		name      string
		stopError string
		list      func() ([]hostfs.File, error)
		want      string
		not       string
	}{
		{"answered", "", nil, "the server has answered the stop, and", "does not exist"},
		{"failed", "status 500", nil, "the stop failed (status 500), and", "has answered"},
		{"no directory", "", absent, "the directory does not exist", "is every rank's there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				target.TraceDir = "/there/on/the/host/of/the/server"
				h.Files = func(string) hostfs.FS { return fakeFS{list: c.list} }
				h.recorded(func(r *WindowResult) { r.Endpoints[0].StopError = c.stopError }, target)
				_, err := h.collect(t.Context(), collectFrom(target))
				failed(t, err, ExitIncomplete, c.want)
				if err == nil || strings.Contains(err.Error(), c.not) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestCollectExpectsRanks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		for i := range 3 {
			write(t, target.TraceDir, fmt.Sprintf("rank%d.1.pt.trace.json.gz", i), traceOf(t, fmt.Sprint(i)))
		}
		c := collectFrom(target)
		c.ExpectRanks = 4
		got, err := h.collect(t.Context(), c)
		failed(t, err, ExitIncomplete, "holds 3 of 4 complete traces")
		if strings.Count(got, "trace server") != 3 || !(&Verify{}).Keeps(h.Run) {
			t.Errorf("kept %q", got)
		}
		// Of several targets, their sum counts.
		h.Place.Attempt = 2
		other := h.serve("b")
		other.Name = "other"
		h.recorded(nil, target, other)
		write(t, target.TraceDir, "rank0.2.pt.trace.json.gz", traceOf(t, "x"))
		write(t, other.TraceDir, "rank0.2.pt.trace.json.gz", traceOf(t, "x"))
		c = collectFrom(target, other)
		c.ExpectRanks = 3
		_, err = h.collect(t.Context(), c)
		failed(t, err, ExitIncomplete, "2 traces of workers, collect.expect.ranks asks for 3")
	})
}

func TestCollectDeletesRemote(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	write(t, target.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "earlier"))
	h.recorded(nil, target)
	write(t, target.TraceDir, "rank0.2.pt.trace.json.gz", traceOf(t, "ours"))
	write(t, target.TraceDir, "rank0.profiler_out.txt", []byte("ours"))
	c := collectFrom(target)
	c.DeleteRemote = true
	if _, err := h.collect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(target.TraceDir)
	if err != nil || len(left) != 1 || left[0].Name() != "rank0.1.pt.trace.json.gz" {
		t.Errorf("left %v, %v", left, err)
	}
}

// Files that cannot be removed are no reason to fail.
func TestCollectCannotDelete(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.recorded(nil, target)
	write(t, target.TraceDir, "rank0.2.pt.trace.json.gz", traceOf(t, "ours"))
	files := h.Files
	h.Files = func(dir string) hostfs.FS { return stubborn{files(dir)} }
	c := collectFrom(target)
	c.DeleteRemote = true
	if got, err := h.collect(t.Context(), c); err != nil || got == "" || !hasWarning(h, "collect.delete_remote: read only") {
		t.Errorf("got %q, %v, warnings %q", got, err, h.Warnings())
	}
}

// stubborn removes nothing.
type stubborn struct{ hostfs.FS }

func (stubborn) Remove(context.Context, string) error { return fmt.Errorf("read only") }

// A file that is replaced while others are waited for is collected as it is in the end.
func TestCollectTakesTheLastVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		c := collectFrom(target)
		c.ExpectRanks = 2
		write(t, target.TraceDir, "profiler_out_0.txt", []byte("rank 0's"))
		write(t, target.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "0"))
		go func() {
			time.Sleep(time.Second)
			write(t, target.TraceDir, "profiler_out_0.txt", []byte("the other rank 0's"))
			time.Sleep(time.Second)
			write(t, target.TraceDir, "rank0.2.pt.trace.json.gz", traceOf(t, "1"))
		}()
		if _, err := h.collect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(h.Dir.Join("rounds/01/attempt-1/traces/server", slugA, "profiler_out_0.txt"))
		if err != nil || string(data) != "the other rank 0's" {
			t.Errorf("%q, %v", data, err)
		}
	})
}

// A file that is not whole is copied again only once it has changed.
func TestCollectDoesNotCopyInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		write(t, target.TraceDir, "rank0.1.pt.trace.json", []byte(`{"traceEvents":[`))
		files, opened := h.Files, 0
		h.Files = func(dir string) hostfs.FS { return counted{files(dir), &opened} }
		_, err := h.collect(t.Context(), collectFrom(target))
		failed(t, err, ExitIncomplete, "not complete")
		if opened != 2 { // to look whether it is whole, and to keep it as it is
			t.Errorf("it was read %d times", opened)
		}
	})
}

type counted struct {
	hostfs.FS
	opened *int
}

func (c counted) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	*c.opened++
	return c.FS.Open(ctx, path, offset)
}

func TestCollectInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel(ErrInterrupted)
		}()
		_, err := h.collect(ctx, collectFrom(target))
		failed(t, err, ExitIncomplete, "interrupted")
	})
}

// What one target lacks does not keep the others' files from being collected.
func TestCollectGoesOnWithOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target, other := h.serve("a"), h.serve("b")
		other.Name = "other"
		h.recorded(nil, target, other)
		write(t, other.TraceDir, "rank0.1.pt.trace.json.gz", traceOf(t, "x"))
		got, err := h.collect(t.Context(), collectFrom(target, other))
		failed(t, err, ExitIncomplete, "collect server: ")
		if !strings.HasPrefix(got, "trace other/") {
			t.Errorf("got %q", got)
		}
	})
}

func TestCollectWithoutWindow(t *testing.T) {
	h := newHost(t)
	if _, err := h.collect(t.Context(), collectFrom(h.serve("a"))); err == nil || !strings.Contains(err.Error(), "no window was recorded") {
		t.Errorf("got %v", err)
	}
	// One of another attempt does not count.
	h.State.Put(event.Place{Step: "x", Round: 1, Attempt: 2}, WindowResult{})
	if _, err := h.collect(t.Context(), collectFrom(h.serve("a"))); err == nil {
		t.Error("collected for another attempt's window")
	}
}

func TestTraceKind(t *testing.T) {
	for name, want := range map[string]string{
		"host_123.1795.pt.trace.json.gz":                archive.KindTrace,
		"dir/rank0.1795568509242279056.pt.trace.json":   archive.KindTrace,
		"1795569858.88-TP-0-DP-0.trace.json.gz":         archive.KindTrace,
		"host_123.async_llm.1795.pt.trace.json.gz":      archive.KindFrontend,
		"profiler_out_0.txt":                            archive.KindTable,
		"rank0.profiler_out.txt":                        archive.KindTable,
		"pre_host_1.async_llm.profiler_out.txt":         archive.KindTable,
		"rank0.1.pt.trace.json.gz.part":                 "",
		"trace.json":                                    "",
		"my_profiler_output.csv":                        "",
		"rank0.1.pt.trace.json.gz/inside/something.txt": "",
	} {
		if got := traceKind(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestNumbered(t *testing.T) {
	for name, want := range map[string]string{
		"rank0.1.pt.trace.json.gz": "rank0-2.1.pt.trace.json.gz",
		"profiler_out_0.txt":       "profiler_out_0-2.txt",
		"plain":                    "plain-2",
	} {
		if got := numbered(name, 2); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
