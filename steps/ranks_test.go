package steps

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/archive"
	"profjob/internal/trace"
)

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

// Where ranks differ, the uncut files are kept although the job did not want them:
// they are all that is left to look at.
func TestVerifyRanksDifferKeepsOriginals(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	files := tp2(t)
	files[tp2Rank1] = shifted(t, files[tp2Rank1], 1)
	h.written(target, nil, files)
	v := verifySteps(3, 0, target)
	v.KeepOriginal = false
	got, err := h.verify(v)
	failed(t, err, ExitWindow, "its engine steps are not those of rank 0")
	if len(got.Removed) != 0 || len(got.Files) != 4 {
		t.Errorf("removed %v, %d files, want none removed and 4", got.Removed, len(got.Files))
	}
	for _, f := range got.Files {
		if _, err := os.Stat(h.Dir.Join(filepath.FromSlash(f.Path))); err != nil {
			t.Error(err)
		}
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
