//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"profjob/internal/archive"
)

// TestObserved asks servers without a gate for windows by tokens, one after the
// other on one process each, and reads each trace with nothing of profjob's own.
func TestObserved(t *testing.T) {
	if !full() {
		t.Skip("in the long part; TestVLLM has some such windows of each version")
	}
	const asked, least = 50, 48
	var rows []string
	defer func() { printObserved(t, rows) }()
	for _, version := range []string{"0.11.0", "0.15.1", "0.32.0"} {
		t.Run(version, func(t *testing.T) {
			blind := version == "0.11.0" // its traces tell no class, and tokens by their shapes
			var env []string
			if blind {
				env = []string{"SHAPES=1"}
			}
			s := startServer(t, version, env, "--max-num-seqs", "80")
			args := vars(s, fmt.Sprintf("shapes=%t", blind))
			if blind {
				phasesRefused(t, args)
			}
			exact, all := observed(t, s, observedWindows(asked, blind), args)
			rows = append(rows, all...)
			t.Logf("%d of %d exact", exact, asked)
			if exact < least {
				t.Errorf("%d of %d windows are exact, want at least %d", exact, asked, least)
			}
			s.healthy(t)
		})
	}
}

// askedWindow is a window by tokens and the load under which it is asked for.
type askedWindow struct {
	threshold, steps int
	phase, load      string
	warmup           int // requests before it opens
}

// observedWindows makes windows with thresholds from 1 to 64 and 1 to 20 steps, of
// all phases; the same ones in every run.
func observedWindows(n int, anyPhase bool) []askedWindow {
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]askedWindow, n)
	for i := range all {
		q := &all[i]
		q.phase, q.load = []string{"any", "decode", "mixed", "prefill"}[i%4], "bursty"
		q.threshold, q.steps = 1+r.IntN(64), 1+r.IntN(20)
		q.warmup = 1 + r.IntN(12)
		if anyPhase {
			q.phase, q.load = "any", []string{"bursty", "wide", "thin"}[i%3]
		}
		switch q.phase {
		case "prefill":
			q.load = "thin"
		case "decode": // most of bursty is 6
			if q.load = "wide"; i%8 == 1 {
				q.load, q.threshold = "bursty", 1+r.IntN(5)
			}
		}
	}
	return all
}

// phasesRefused checks that a phase is refused, before anything is recorded, where
// the traces cannot tell it.
func phasesRefused(t *testing.T, args []string) {
	t.Helper()
	for _, phase := range []string{"decode", "prefill", "mixed"} {
		r := run(t, "jobs/observed.hcl", append(slices.Clone(args), "--var", fmt.Sprintf("windows={no={phase=%q}}", phase))...)
		if m := r.one(t, 4); len(windows(m)) > 0 {
			t.Errorf("%s: recorded %v", phase, windows(m))
		}
		contains(t, r.stderr, fmt.Sprintf("the phase %q cannot be told in traces of vllm 0.11.0", phase))
	}
}

// observed runs the windows and gives how many are exact, and a row for each.
func observed(t *testing.T, s server, asked []askedWindow, args []string) (exact int, rows []string) {
	t.Helper()
	var list strings.Builder
	for i, q := range asked {
		fmt.Fprintf(&list, "  w%02d = { threshold = %d, steps = %d, phase = %q, load = %q, warmup = %d }\n", i, q.threshold, q.steps, q.phase, q.load, q.warmup)
	}
	file := filepath.Join(t.TempDir(), "windows.hcl")
	if err := os.WriteFile(file, []byte("windows = {\n"+list.String()+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, "jobs/observed.hcl", append(slices.Clone(args), "--var-file", file)...)
	if len(r.manifests) != len(asked) {
		t.Fatalf("exit %d, %d of %d jobs\n%s", r.exit, len(r.manifests), len(asked), r.stderr)
	}
	for _, m := range r.manifests {
		i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(m.Job, `tokens["w`), `"]`))
		if err != nil || i >= len(asked) {
			t.Fatalf("job %s: %v", m.Job, err)
		}
		ok, row := observedOne(t, s, m, asked[i])
		if rows = append(rows, row); ok {
			exact++
		}
	}
	return exact, rows
}

// observedOne tells whether a run's last window is said to be exact, having checked
// that it is.
func observedOne(t *testing.T, s server, m archive.Manifest, q askedWindow) (exact bool, row string) {
	t.Helper()
	all := windows(m)
	if len(all) == 0 {
		t.Errorf("%s: no window: %v", m.Job, m.Errors)
		return false, ""
	}
	w := all[len(all)-1]
	if w.Exact != (m.Status == archive.StatusOK) || w.Strategy != "observed" {
		t.Errorf("%s: exact %t by %s, status %s: %v", m.Job, w.Exact, w.Strategy, m.Status, m.Errors)
	}
	why, size := w.Reason, int64(0)
	for _, f := range m.Files {
		if f.Attempt == w.Attempt && f.Kind == archive.KindTrace && f.TrimmedFrom == "" {
			size = f.Size
		}
	}
	if w.Exact {
		if why = notObserved(m, w, q); why != "" {
			t.Errorf("%s: said to be exact, but %s", m.Job, why)
		}
		if q.threshold++; deref(w.Got.EngineSteps[0].Tokens) < q.threshold && notObserved(m, w, q) == "" {
			t.Errorf("%s: the check passes for a step of too few tokens", m.Job)
		}
		if q.threshold--; notObserved(m, w, askedWindow{threshold: q.threshold, steps: q.steps + 1, phase: q.phase}) == "" {
			t.Errorf("%s: the check passes for a step less", m.Job)
		}
	} else {
		t.Logf("%s: %s", m.Job, w.Reason)
	}
	first := ""
	if len(w.Got.EngineSteps) > 0 {
		first = fmt.Sprintf("%s of %d", w.Got.EngineSteps[0].Class, deref(w.Got.EngineSteps[0].Tokens))
	}
	verdict := "yes"
	if why != "" {
		verdict = "NO: " + why
	}
	return w.Exact, fmt.Sprintf("%s\t%s\t%d from %s of %d\t%s\t%s\t%d\t%d of %d\t%s\t%d\t%s", s.version, m.Job, q.steps, q.phase, q.threshold,
		q.load, w.Evidence, w.Attempt, w.Got.Steps, w.Got.RecordedSteps, first, size>>10, verdict)
}

func printObserved(t *testing.T, rows []string) {
	t.Helper()
	printTable(t, "server\tjob\tasked\tload\tevidence\tattempts\tsteps of recorded\tfirst\tKiB\texact", rows)
}

// notObserved finds a window in the uncut trace, without anything of profjob's, and
// says in what the cut trace or the manifest differ; "" if they do not.
func notObserved(m archive.Manifest, w archive.Window, q askedWindow) string {
	uncut := ""
	for _, f := range m.Files {
		if f.Path == w.File {
			uncut = f.TrimmedFrom
		}
	}
	if uncut == "" {
		return "there is no uncut trace"
	}
	recorded, err := plainSteps(filepath.Join(m.Dir, filepath.FromSlash(uncut)))
	if err != nil {
		return err.Error()
	}
	cut, err := plainSteps(filepath.Join(m.Dir, filepath.FromSlash(w.File)))
	if err != nil {
		return err.Error()
	}
	first := slices.IndexFunc(recorded, func(s plainStep) bool {
		return s.tokens >= q.threshold && (q.phase == "any" || s.class() == q.phase)
	})
	if first < 0 || len(recorded) < first+q.steps {
		return fmt.Sprintf("encoding/json finds the first step that qualifies at %d of %d", first, len(recorded))
	}
	want := recorded[first : first+q.steps]
	if i := slices.IndexFunc(want, func(s plainStep) bool { return s.choices == 0 }); i >= 0 {
		return fmt.Sprintf("step %d chose no tokens before the next began: %v", i, want)
	}
	if !slices.Equal(cut, want) {
		return fmt.Sprintf("the cut trace has %v, want %v", cut, want)
	}
	if len(w.Got.EngineSteps) != len(want) {
		return fmt.Sprintf("the manifest has %d steps", len(w.Got.EngineSteps))
	}
	for i, s := range w.Got.EngineSteps {
		if deref(s.Tokens) != want[i].tokens || want[i].name != "" && s.Name != want[i].name {
			return fmt.Sprintf("step %d is %s of %d tokens by the manifest, want %+v", i, s.Name, deref(s.Tokens), want[i])
		}
	}
	return ""
}
