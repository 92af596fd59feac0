package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"profjob/internal/analysis"
	"profjob/internal/archive"
	"profjob/internal/phrase"
	"profjob/internal/report"
	"profjob/internal/trace"
)

// Analyze says what the traces of the run tell: analysis/round-NN-TARGET.json for each
// round and target, and report.html. It fails no run: whatever it cannot do is a
// warning, for the traces are what the run is about. One trace is read at a time.
type Analyze struct {
	Header
	noUndo
	Record Record `json:"record"` // what was asked for, which the page shows
}

// AnalyzeResult says what was found, a line a round and target.
type AnalyzeResult struct {
	Found []string `json:"found"`
	Left  string   `json:"left,omitempty"` // why it was left out, or broken off
}

// Summary tells the first of what was found.
func (r AnalyzeResult) Summary() string {
	switch n := len(r.Found); {
	case n == 0:
		return r.Left
	case n == 1:
		return r.Found[0]
	default:
		return fmt.Sprintf("%s; %d more in report.html", r.Found[0], n-1)
	}
}

// Kind is the row in the table of kinds.
func (a *Analyze) Kind() string { return "analyze" }

// mostCutOff is how often a run may be cut off while it is analysed: a trace that is
// too much for the machine would be so each time that the run is resumed.
const mostCutOff = 2

// Do analyses what the run has recorded. Its error is the journal's.
func (a *Analyze) Do(ctx context.Context, run *Run) (any, error) {
	if n := run.CutOff(a.ID()); n >= mostCutOff {
		left := fmt.Sprintf("left out: the run was cut off in it %d times; profjob analyze does it outside of the run", n)
		return AnalyzeResult{Found: []string{}, Left: left}, run.warn("analyze: %s", left)
	}
	result := AnalyzeResult{Found: []string{}}
	m := (&Seal{Record: a.Record}).manifest(run)
	page := report.Page{Title: fmt.Sprintf("%s, run %s", m.Job, m.RunID), Run: m}
	groups := archive.TracesOf(collected(run), m.Rounds)
	for i, g := range groups {
		run.progress(fmt.Sprintf("round %d, %s", g.Round, g.Target), int64(i), int64(len(groups)), "targets")
		set, err := a.group(ctx, run, g)
		if ctx.Err() != nil {
			result.Left = "interrupted"
			break
		}
		if err != nil {
			if err := run.warn("analyze round %d, target %s: %v", g.Round, g.Target, err); err != nil {
				return result, err
			}
			continue
		}
		page.Sets = append(page.Sets, set.Slim(report.Rows))
		result.Found = append(result.Found, found(set))
	}
	for _, r := range m.Rounds {
		if n := len(r.Windows); n > 0 {
			attempt := r.Windows[0].Attempt
			if l, ok := report.ReadLoad(run.Dir.Join("rounds", fmt.Sprintf("%02d", r.Number), fmt.Sprintf("attempt-%d", attempt), "load.json"), r.Number, attempt); ok {
				page.Load = append(page.Load, l)
			}
		}
	}
	if result.Left == "" && len(groups) == 0 {
		result.Left = "no traces"
	}
	if err := a.page(run, page); err != nil {
		return result, run.warn("analyze: %v", err)
	}
	return result, nil
}

// group analyses the traces of a round and target and writes what they say. A panic is
// an error of it: a trace must not take the run with it.
func (a *Analyze) group(ctx context.Context, run *Run, g archive.TraceGroup) (set *analysis.Set, err error) {
	err = safely("analyze", func() error {
		var inputs []analysis.Input
		for _, f := range g.Files {
			inputs = append(inputs, analysis.Input{Path: run.Dir.Join(filepath.FromSlash(f.Path)), Name: f.Path})
		}
		if set, err = analysis.ReadSet(ctx, inputs, trace.ScanOptions{}); err != nil {
			return err
		}
		set.Round, set.Target = g.Round, g.Target
		data, err := json.Marshal(set)
		if err != nil {
			return err
		}
		return run.Dir.WriteFile(fmt.Sprintf("analysis/round-%02d-%s.json", g.Round, g.Target), append(data, '\n'))
	})
	return set, err
}

func (a *Analyze) page(run *Run, page report.Page) error {
	return safely("report", func() error {
		var b strings.Builder
		if err := report.Write(&b, page); err != nil {
			return err
		}
		return run.Dir.WriteFile("report.html", []byte(b.String()))
	})
}

// found says in a line what a set of traces tells: "server: 5 decode steps, p50
// 12.3 ms, device 81 % busy".
func found(set *analysis.Set) string {
	most := (*analysis.Group)(nil)
	for i := range set.Traces {
		for j := range set.Traces[i].Classes {
			g := &set.Traces[i].Classes[j]
			if g.Class != trace.Idle && (most == nil || g.Steps > most.Steps) {
				most = g
			}
		}
	}
	if most == nil {
		return set.Target + ": no engine steps were found"
	}
	text := fmt.Sprintf("%s: %s, p50 %s", set.Target, phrase.Of(int64(most.Steps), string(most.Class)+" step"), phrase.Nanos(most.Duration.P50))
	if d := most.Device; d != nil {
		text += fmt.Sprintf(", device %s busy", phrase.Percent(d.Busy, d.Span))
	}
	if n := len(set.Traces); n > 1 {
		text += fmt.Sprintf(", %d traces", n)
	}
	return text
}
