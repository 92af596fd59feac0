package trace

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBoundaries holds the boundaries found without annotations against them:
// each lies after the operators that choose the tokens of one pass and before
// the annotation of the next.
func TestBoundaries(t *testing.T) {
	thorough(t)
	checked := 0
	for _, test := range realScans {
		if test.evidence != Annotation || !strings.Contains(test.file, "-cpu/") {
			continue
		}
		t.Run(test.file, func(t *testing.T) {
			path := shared(t, test.file)
			want := slices.DeleteFunc(scan(t, path, NoEvidence).Passes, func(p Pass) bool { return !p.IsStep() })
			got := scan(t, path, Structure).Passes
			samplings := ends(t, path, "argmax")
			for i := 1; i < len(want); i++ {
				sampled := lastBefore(samplings, want[i].Start)
				if sampled < want[i-1].SpanEnd {
					t.Fatalf("pass %d has no sampling after its span", i-1)
				}
				if got[i].Start < sampled || got[i].Start > want[i].Start {
					t.Errorf("pass %d starts %d ns after the sampling and %d ns before the annotation",
						i, got[i].Start-sampled, want[i].Start-got[i].Start)
				}
				checked++
			}
		})
	}
	if checked > 0 && checked != 100 {
		t.Errorf("%d boundaries checked, want 100", checked)
	}
}

// TestBoundariesOfScopes does the same where there are scopes: a pass starts
// with its preprocessing, found by the scope of it or without.
func TestBoundariesOfScopes(t *testing.T) {
	path := "testdata/vllm-0.11.0-scopes.json.gz"
	d := decode(t, path)
	var starts, ends []int64
	for _, e := range d.events {
		switch e.Name {
		case "Preprocess":
			starts = append(starts, nanos(e.TS)+1790857026000000000)
		case "Sample":
			ends = append(ends, nanos(e.TS)+nanos(e.Dur)+1790857026000000000)
		}
	}
	scoped, structural := scan(t, path, NoEvidence).Passes, scan(t, path, Structure).Passes
	if len(starts) != 4 || len(scoped) != 4 || len(structural) != 4 {
		t.Fatal(len(starts), len(scoped), len(structural))
	}
	for i := range starts {
		if scoped[i].Start != starts[i] {
			t.Errorf("pass %d starts at %d, its preprocessing at %d", i, scoped[i].Start, starts[i])
		}
		if i > 0 && (structural[i].Start < ends[i-1] || structural[i].Start > starts[i]) {
			t.Errorf("pass %d starts at %d, sampled before %d, preprocessing from %d", i, structural[i].Start, ends[i-1], starts[i])
		}
	}
}

// ends gives the ends of the operators whose name has a part, in order.
func ends(t *testing.T, path, part string) []int64 {
	t.Helper()
	d := decode(t, path)
	base, _ := parseInt(d.members["baseTimeNanoseconds"])
	var found []int64
	for _, e := range d.events {
		if e.Cat == "cpu_op" && strings.Contains(e.Name, part) {
			found = append(found, nanos(e.TS)+nanos(e.Dur)+base)
		}
	}
	slices.Sort(found)
	return found
}

func lastBefore(sorted []int64, t int64) int64 {
	i, _ := slices.BinarySearch(sorted, t)
	if i == 0 {
		return 0
	}
	return sorted[i-1]
}

// TestOnceAPass takes the known markers out of real files: an operator with the
// same rhythm is found.
func TestOnceAPass(t *testing.T) {
	for _, test := range realScans {
		if !strings.HasPrefix(test.file, "vllm-cpu/") {
			continue
		}
		t.Run(test.file, func(t *testing.T) {
			path := shared(t, test.file)
			want := len(scan(t, path, Structure).Passes)
			data := content(t, path)
			for _, word := range []string{"aten::embedding", "argmax"} {
				data = bytes.ReplaceAll(data, []byte(word), []byte("hidden"))
			}
			s := scan(t, write(t, "x.json", data), Structure)
			if len(s.Passes) != want {
				t.Errorf("%d passes, want %d", len(s.Passes), want)
			}
		})
	}
}

func TestOneAPass(t *testing.T) {
	at := func(times ...int64) (marks []mark) {
		for _, x := range times {
			marks = append(marks, mark{start: x})
		}
		return marks
	}
	for _, test := range []struct {
		name                    string
		markers, samplers, want []mark
	}{
		{"none", nil, at(1), nil},
		{"one each", at(1, 11, 21), at(5, 15, 25), at(1, 11, 21)},
		{"two lookups a pass", at(1, 2, 11, 12), at(5, 15), at(1, 11)},
		{"two samplers a pass", at(1, 11), at(5, 6, 15, 16), at(1, 11)},
		{"no samplers", at(1, 2, 3), nil, at(1, 2, 3)},
		{"begins with a sampler", at(11, 12, 21), at(5, 15), at(11, 21)},
	} {
		got := oneAPass(test.markers, test.samplers)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(mark{})); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestEmbeddedTokens(t *testing.T) {
	for dims, want := range map[string]int64{
		"[[151936, 1024], [16, 559], [], []]": 8944,
		"[[512,64],[8],[],[],[]]":             8,
		"[[512, 64], [], []]":                 NotKnown,
		"[[512, 64]]":                         NotKnown,
		"[]":                                  NotKnown,
		"[[1], [-4]]":                         NotKnown,
		"[[1], 4]":                            NotKnown,
		"[[1], [9999999999]]":                 NotKnown,
		`"x"`:                                 NotKnown,
		"[[1], [4":                            NotKnown,
	} {
		if got := embeddedTokens([]byte(dims)); got != want {
			t.Errorf("%s: %d, want %d", dims, got, want)
		}
	}
}
