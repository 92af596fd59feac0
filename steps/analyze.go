package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

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

// Keeps tells whether the run has traces.
func (a *Analyze) Keeps(run *Run) bool { return count(collected(run), archive.KindTrace) > 0 }

// Do analyses what the run has recorded. Its error is the journal's.
func (a *Analyze) Do(ctx context.Context, run *Run) (any, error) {
	result := AnalyzeResult{Found: []string{}}
	var told error // of the journal
	err := safely("analyze", func() error {
		page := a.pageOf(run)
		if told = a.groups(ctx, run, page, &result); told != nil {
			return nil
		}
		return a.write(run, page)
	})
	if err != nil && told == nil {
		told = run.warn("analyze: %v", err)
	}
	return result, told
}

// pageOf is the page without what the traces say.
func (a *Analyze) pageOf(run *Run) *report.Page {
	m := (&Seal{Record: a.Record}).manifest(run)
	page := &report.Page{Title: fmt.Sprintf("%s, run %s", m.Job, m.RunID), Run: m}
	for _, r := range m.Rounds {
		if len(r.Windows) == 0 {
			continue
		}
		attempt := r.Windows[0].Attempt
		file := run.Dir.Join("rounds", fmt.Sprintf("%02d", r.Number), fmt.Sprintf("attempt-%d", attempt), "load.json")
		if l, ok := report.ReadLoad(file, r.Number, attempt); ok {
			page.Load = append(page.Load, l)
		}
	}
	return page
}

// groups analyses one round and target after the other. Its error is the journal's.
func (a *Analyze) groups(ctx context.Context, run *Run, page *report.Page, result *AnalyzeResult) error {
	groups := archive.TracesOf(collected(run), page.Run.Rounds)
	for i, g := range groups {
		run.progress(fmt.Sprintf("round %d, %s", g.Round, g.Target), int64(i), int64(len(groups)), "targets")
		set, err := a.group(ctx, run, g)
		if ctx.Err() != nil {
			result.Left = "interrupted"
			return nil
		}
		if err != nil {
			if err := run.warn("analyze round %d, target %s: %v", g.Round, g.Target, err); err != nil {
				return err
			}
		}
		if set != nil && len(set.Traces) > 0 {
			page.Sets = append(page.Sets, set.Slim(report.Rows))
			result.Found = append(result.Found, found(set))
		}
	}
	return nil
}

// group analyses the traces of a round and target and writes what they say. A panic is
// an error of it: a trace must not take the run with it.
func (a *Analyze) group(ctx context.Context, run *Run, g archive.TraceGroup) (set *analysis.Set, err error) {
	err = safely("analyze the traces", func() error {
		var inputs []analysis.Input
		for _, f := range g.Files {
			inputs = append(inputs, analysis.Input{Path: run.Dir.Join(filepath.FromSlash(f.Path)), Name: f.Path})
		}
		var unread error
		set, unread = analysis.ReadSet(ctx, inputs, trace.ScanOptions{Evidence: evidenceOf(run, g)})
		if len(set.Traces) == 0 {
			return unread
		}
		set.Round, set.Target = g.Round, g.Target
		data, err := json.Marshal(set)
		if err == nil {
			err = run.Dir.WriteFile(fmt.Sprintf("analysis/round-%02d-%s.json", g.Round, g.Target), append(data, '\n'))
		}
		return errors.Join(unread, err)
	})
	return set, err
}

// evidenceOf is what the windows of a round and target were proved by: their steps are
// the ones that are analysed.
func evidenceOf(run *Run, g archive.TraceGroup) trace.Evidence {
	for _, r := range rounds(run) {
		for _, w := range r.Windows {
			e := trace.Evidence(w.Evidence)
			if r.Number == g.Round && w.Target == g.Target && (e == trace.Annotation || e == trace.Scope || e == trace.Structure) {
				return e
			}
		}
	}
	return trace.NoEvidence
}

func (a *Analyze) write(run *Run, page *report.Page) error {
	var b bytes.Buffer
	if err := report.Write(&b, *page); err != nil {
		return err
	}
	return run.Dir.WriteFile("report.html", b.Bytes())
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
