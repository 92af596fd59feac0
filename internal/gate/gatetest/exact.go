package gatetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/gate"
	"profjob/internal/trace"
)

// exact checks a worker's window by its trace.
func (b *bench) exact(t *testing.T, session string, r gate.ArmRequest, w gate.Worker) {
	t.Helper()
	if why := Wrong(t, b.client, session, r, w); why != "" {
		t.Errorf("%s core %d rank %d, asked for %+v: %s", session, w.Core, w.Rank, r.Window, why)
	}
}

// Wrong says what of a worker's window is not as asked, by its trace, which it fetches
// and deletes; "" if nothing is: the steps that the worker says it recorded, as many
// as were asked for, the first as asked, none missing in between, the last one whole,
// with the options asked for.
func Wrong(t *testing.T, c *gate.Client, session string, r gate.ArmRequest, w gate.Worker) string {
	t.Helper()
	if w.Error != "" || len(w.Files) != 1 {
		return fmt.Sprintf("%s: %s, %d files", w.State, w.Error, len(w.Files))
	}
	name := w.Files[0].Name
	if !strings.HasPrefix(name, r.Prefix) || !strings.Contains(name, session) || !strings.HasSuffix(name, ".pt.trace.json.gz") {
		return "the file is named " + name
	}
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.File(t.Context(), session, w.Files[0], f), f.Close()); err != nil {
		return err.Error()
	}
	if err := c.Delete(t.Context(), session, name); err != nil {
		return err.Error()
	}
	sum, err := trace.Scan(t.Context(), path)
	if err != nil {
		return err.Error()
	}
	if want := (trace.Options{Shapes: r.Record.Shapes, Memory: r.Record.Memory, Stack: r.Record.Stack, FLOPs: r.Record.FLOPs}); sum.Options != want {
		return fmt.Sprintf("options %+v, want %+v", sum.Options, want)
	}
	if sum.Evidence != trace.Annotation {
		return fmt.Sprintf("the evidence is %q", sum.Evidence)
	}
	if why := wrongWindow(r.Window, w.Steps); why != "" {
		return why
	}
	return wrongSteps(w.Steps, sum.Passes)
}

// wrongWindow says what of a window is not as asked.
func wrongWindow(asked gate.Window, got []gate.Step) string {
	switch {
	case len(got) == 0:
		return "no steps"
	case asked.Steps > 0 && len(got) != asked.Steps:
		return fmt.Sprintf("%d steps, %d asked", len(got), asked.Steps)
	}
	for i, s := range got {
		if i > 0 && !asked.All {
			return ""
		}
		if s.Tokens < int64(asked.Threshold) || asked.AtMost > 0 && s.Tokens > int64(asked.AtMost) {
			return fmt.Sprintf("step %d has %d tokens", i, s.Tokens)
		}
		if asked.Phase != "" && asked.Phase != gate.Any && string(s.Class) != string(asked.Phase) {
			return fmt.Sprintf("step %d is %s", i, s.Class)
		}
	}
	return ""
}

// wrongSteps compares what a worker says of its steps with its trace.
func wrongSteps(said []gate.Step, passes []trace.Pass) string {
	first := slices.IndexFunc(passes, func(p trace.Pass) bool { return p.IsStep() })
	if first != 0 {
		return fmt.Sprintf("the trace begins with %d idle passes of %d", first, len(passes))
	}
	i, last := 0, said[0].Pass
	for n, p := range passes {
		if !p.IsStep() {
			continue
		}
		if i == len(said) {
			return fmt.Sprintf("the trace has more than the %d steps said", i)
		}
		s := said[i]
		if p.Class != s.Class || p.Tokens != s.Tokens || p.Requests != s.Requests || p.ContextTokens != s.ContextTokens || p.ContextRequests != s.ContextRequests {
			return fmt.Sprintf("step %d is %s in the trace, %+v said", i, p.Name, s)
		}
		if s.Pass != said[0].Pass+int64(n) {
			return fmt.Sprintf("step %d was pass %d of the server after %d, and is pass %d of the trace", i, s.Pass, last, n)
		}
		if !p.Whole || !s.Sampled || s.End < s.Start {
			return fmt.Sprintf("step %d has no sampling (in the trace: %t): %+v", i, p.Whole, s)
		}
		i, last = i+1, s.Pass
	}
	if i != len(said) {
		return fmt.Sprintf("%d steps in the trace, %d said", i, len(said))
	}
	return ""
}

// SameSteps checks that workers of one core recorded the same passes.
func SameSteps(t *testing.T, workers []gate.Worker) {
	t.Helper()
	passes := map[int][]int64{}
	for _, w := range workers {
		var got []int64
		for _, s := range w.Steps {
			got = append(got, s.Pass)
		}
		if first, ok := passes[w.Core]; ok && !slices.Equal(first, got) {
			t.Errorf("core %d: its workers recorded the passes %v and %v", w.Core, first, got)
		}
		passes[w.Core] = got
	}
}
