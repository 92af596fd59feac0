package trace

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestScanGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := scan(t, path, NoEvidence)
			got, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := strings.TrimSuffix(path, ".json.gz") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func scan(t testing.TB, path string, e Evidence) *Summary {
	t.Helper()
	s, err := ScanWith(t.Context(), path, ScanOptions{Evidence: e})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// classes writes the first letter of each pass's class, and ! behind a pass that
// is not whole.
func classes(passes []Pass) string {
	var b strings.Builder
	for _, p := range passes {
		b.WriteByte(p.Class[0])
		if !p.Whole {
			b.WriteByte('!')
		}
	}
	return b.String()
}

// realScans is what the shared files hold, as their README and the lists of
// their annotations say.
var realScans = []struct {
	file     string
	evidence Evidence
	classes  string
	tokens   string // of each pass, ? where not known
}{
	{"vllm-cpu/v0.11.0-manual-shapes.json.gz", Structure, rep("u", 22), rep("8 17 3 3 3 3 3 3 3 3 2 ", 2)},
	{"vllm-cpu/v0.11.0-scopes.json.gz", Scope, "uuuu", "? ? ? ?"},
	{"vllm-cpu/v0.13.0-manual-shapes.json.gz", Annotation, rep("pmdddddddddddi", 2), rep("8 25 4 4 4 4 4 4 4 4 4 4 3 0 ", 2)},
	{"vllm-cpu/v0.15.1-delay1-max4-memory.json.gz", Annotation, "pddd", "24 3 3 3"},
	{"vllm-cpu/v0.32.0-manual-detailed.json.gz", Annotation, "p" + rep("d", 11) + "ipm" + rep("d", 11) + "i", ""},
	{"vllm-cpu/v0.32.0-max6-all-options.json.gz", Annotation, "pmdddd", "8 25 4 4 4 4"},
	{"vllm-cpu/v0.32.0-four-steps.json.gz", Annotation, "pmdd!", "8 25 4 4"},
	{"vllm-cpu/v0.32.0-tp2/rank0.1795568314470670992.pt.trace.json.gz", Annotation, "pmddd", "8 25 4 4 4"},
	{"vllm-cpu/v0.32.0-tp2/rank1.1795568314377717801.pt.trace.json.gz", Annotation, "pmddd", "8 25 4 4 4"},
	{"vllm-cpu/v0.32.0-dp2/rank0.1795568509242279056.pt.trace.json.gz", Annotation, "pmddd", "8 9 2 2 2"},
	{"vllm-cpu/v0.32.0-dp2/rank0.1795568509522173667.pt.trace.json.gz", Annotation, "pmddd", "8 9 2 2 2"},
	{"sglang-cpu/0410-num5/1795569416.0726123-TP-0.trace.json.gz", Structure, "uuuu", "? ? ? ?"},
	{"sglang-cpu/059-num5/1795569132.392608-TP-0.trace.json.gz", Structure, "uuuu", "1 1 1 1"},
	{"sglang-cpu/0523-bystage-num3/1795568841.9074886-TP-0-DECODE.trace.json.gz", Annotation, "ddd", "1 1 1"},
	{"sglang-cpu/0523-bystage-num3/1795568841.9074886-TP-0-EXTEND.trace.json.gz", Annotation, "p", "1"},
	{"sglang-cpu/0523-detailed-prefix-num3/pre-myid-TP-0.trace.json.gz", Annotation, "pdd", "1 1 1"},
	{"sglang-cpu/0523-dp2-num5/1795569858.8878272-TP-0-DP-0.trace.json.gz", Annotation, "pdddd", "4 1 1 1 1"},
	{"sglang-cpu/0523-dp2-num5/1795569858.8878272-TP-0-DP-1.trace.json.gz", Annotation, "pdddd", "4 1 1 1 1"},
	{"sglang-cpu/0523-nostack-noshapes-num3/1795568781.9001515-TP-0.trace.json.gz", Annotation, "pdd", "4 1 1"},
	{"sglang-cpu/0523-nostack-shapes-num3/1795568791.364927-TP-0.trace.json.gz", Annotation, "pdd", "1 1 1"},
	{"sglang-cpu/0523-tp2-num5/1795569991.4135091-TP-0.trace.json.gz", Annotation, "ppddd", "4 1 2 2 2"},
	{"sglang-cpu/0523-tp2-num5/1795569991.4135091-TP-1.trace.json.gz", Annotation, "ppddd", "4 1 2 2 2"},
	// Cut by others to the annotation: those of vLLM have no sampling.
	{"tracelens/vllm-decode-full-graph.json.gz", Annotation, "d!", "32"},
	{"tracelens/vllm-mixed-piecewise-graph.json.gz", Annotation, "m!", "8192"},
	{"tracelens/b200-eager.json.gz", Annotation, "p!", "888"},
	// Two spans around the same pass.
	{"tracelens/sglang-decode.json.gz", Annotation, "d", "32"},
	{"tracelens/sglang-mixed.json.gz", Annotation, "p", "15360"},
	// Training: torch's own spans; 16 sequences of 559 tokens.
	{"tracelens/h100-qwen-train.json.gz", Annotation, "u", "8944"},
	{"tracelens/mi300-qwen-train.json.gz", Annotation, "u", "8944"},
	{"hta/diff-control.json.gz", Annotation, "uuuuuu", "? ? ? ? ? ?"},
	{"hta/diff-test.json.gz", Annotation, "uuuuuu", "? ? ? ? ? ?"},
	{"hta/mi250-train.json.gz", Annotation, "uu", "? ?"},
	{"hta/rank-not-found.json.gz", Annotation, "u", "?"},
	{"hta/cpu-only-rank-34.json.gz", Annotation, "u", "?"},
	{"hta/event-sync-multi-stream.json.gz", NoEvidence, "", ""},
}

func rep(s string, n int) string { return strings.Repeat(s, n) }

func TestScanReal(t *testing.T) {
	for _, test := range realScans {
		t.Run(test.file, func(t *testing.T) {
			s := scan(t, shared(t, test.file), NoEvidence)
			if s.Evidence != test.evidence || classes(s.Passes) != test.classes {
				t.Errorf("%q %s, want %q %s", s.Evidence, classes(s.Passes), test.evidence, test.classes)
			}
			if got := tokens(s.Passes); test.tokens != "" && got != strings.TrimSpace(test.tokens) {
				t.Errorf("tokens %s, want %s", got, test.tokens)
			}
			checkPasses(t, s)
		})
	}
}

func tokens(passes []Pass) string {
	var all []string
	for _, p := range passes {
		if p.Tokens == NotKnown {
			all = append(all, "?")
		} else {
			all = append(all, fmt.Sprint(p.Tokens))
		}
	}
	return strings.Join(all, " ")
}

// checkPasses checks what holds of all summaries.
func checkPasses(t *testing.T, s *Summary) {
	t.Helper()
	for i, p := range s.Passes {
		if p.Index != i || p.Start > p.SpanEnd || p.SpanEnd > p.End || p.Start < s.First || p.End > s.Last+1 {
			t.Errorf("pass %d: %d to %d to %d within %d to %d", p.Index, p.Start, p.SpanEnd, p.End, s.First, s.Last)
		}
		if i > 0 && s.Passes[i-1].End != p.Start {
			t.Errorf("pass %d starts at %d, the one before ends at %d", i, p.Start, s.Passes[i-1].End)
		}
		if (p.Tokens == NotKnown) != (p.TokensFrom == NoEvidence) {
			t.Errorf("pass %d has %d tokens from %q", i, p.Tokens, p.TokensFrom)
		}
	}
}

func TestScanOptions(t *testing.T) {
	one, two, three := 1, 2, 3
	zero := 0
	for _, test := range []struct {
		file        string
		options     Options
		activities  Activities
		rank, world *int
		host, vllm  string
	}{
		{"vllm-cpu/v0.32.0-max6-all-options.json.gz", Options{true, true, true, true}, Activities{CPU: true}, &zero, &one, "vm", "0.32.0"},
		{"vllm-cpu/v0.15.1-delay1-max4-memory.json.gz", Options{Memory: true}, Activities{CPU: true}, &zero, &one, "", ""},
		{"vllm-cpu/v0.32.0-tp2/rank1.1795568314377717801.pt.trace.json.gz", Options{Shapes: true}, Activities{CPU: true}, &one, &two, "vm", "0.32.0"},
		{"tracelens/vllm-decode-full-graph.json.gz", Options{true, true, true, true}, Activities{true, true}, &zero, &one, "", ""},
		{"hta/diff-control.json.gz", Options{}, Activities{true, true}, &three, ptr(8), "", ""},
		{"hta/rank-not-found.json.gz", Options{}, Activities{CPU: true}, nil, nil, "", ""},
		{"hta/event-sync-multi-stream.json.gz", Options{}, Activities{true, true}, &zero, nil, "", ""},
	} {
		t.Run(test.file, func(t *testing.T) {
			s := scan(t, shared(t, test.file), NoEvidence)
			got := []any{s.Options, s.Activities, s.Rank, s.WorldSize, s.Host, s.VLLMVersion}
			want := []any{test.options, test.activities, test.rank, test.world, test.host, test.vllm}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func ptr(n int) *int { return &n }

// annotatedFile writes a trace of host events: each argument is name, category,
// start and duration in µs.
func annotatedFile(t *testing.T, events ...[4]any) string {
	t.Helper()
	var list []string
	for _, e := range events {
		list = append(list, fmt.Sprintf(`{"ph":"X","name":%q,"cat":%q,"pid":1,"tid":1,"ts":%v,"dur":%v}`, e[0], e[1], e[2], e[3]))
	}
	return write(t, "x.json", []byte(`{"baseTimeNanoseconds":5,"traceEvents":[`+strings.Join(list, ",")+`]}`))
}

func TestScanMirroredAnnotation(t *testing.T) {
	path := annotatedFile(t,
		[4]any{"execute_new_1_cached_0", "user_annotation", 10, 20},
		[4]any{"execute_new_1_cached_0", "gpu_user_annotation", 50, 20},
		[4]any{"aten::argmax", "cpu_op", 32, 1},
		[4]any{"scheduler.run_batch", "user_annotation", 40, 20})
	s := scan(t, path, NoEvidence)
	if len(s.Passes) != 1 || s.Passes[0].Start != 10005 || s.Passes[0].End != 33006 || !s.Passes[0].Whole {
		t.Errorf("%+v", s.Passes)
	}
}

// TestScanNestedAnnotation: one span tells the class, the other the tokens.
func TestScanNestedAnnotation(t *testing.T) {
	path := annotatedFile(t,
		[4]any{"step[DECODE bs=4]", "user_annotation", 12, 10},
		[4]any{"execute_new_0_cached_4", "user_annotation", 10, 20})
	s := scan(t, path, NoEvidence)
	if len(s.Passes) != 1 || s.Passes[0].Name != "execute_new_0_cached_4" || s.Passes[0].Class != Decode || s.Passes[0].Tokens != 4 {
		t.Errorf("%+v", s.Passes)
	}
}

// TestScanServerOverProfiler: torch's own spans count only without better ones.
func TestScanServerOverProfiler(t *testing.T) {
	path := annotatedFile(t,
		[4]any{"ProfilerStep#1", "user_annotation", 0, 100},
		[4]any{"execute_new_1_cached_0", "user_annotation", 10, 20},
		[4]any{"execute_new_0_cached_1", "user_annotation", 40, 20})
	if s := scan(t, path, NoEvidence); len(s.Passes) != 2 {
		t.Errorf("%+v", s.Passes)
	}
}

func TestScanTruncated(t *testing.T) {
	plain := content(t, "testdata/vllm-0.32.0-four-steps.json.gz")
	s, err := Scan(t.Context(), write(t, "x.json", plain[:len(plain)/2]))
	if !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	if s == nil || s.VLLMVersion != "0.32.0" || s.Events < 1000 || s.Events > 2500 {
		t.Errorf("%+v", s)
	}
}

func TestScanCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, "testdata/vllm-0.32.0-four-steps.json.gz"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
