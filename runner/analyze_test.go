package runner

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/steps"
)

const analysisFile = "analysis/round-01-server.json"

// traced puts a real trace into a run and gives what a collection of it says.
func traced(t testing.TB, dir *archive.Dir) steps.CollectResult {
	t.Helper()
	data, err := os.ReadFile("../steps/testdata/traces/v0.32.0-four-steps.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	const rel = "rounds/01/attempt-1/traces/server/t.pt.trace.json.gz"
	if err := dir.WriteFile(rel, data); err != nil {
		t.Fatal(err)
	}
	sum, err := archive.HashFile(dir.Join(filepath.FromSlash(rel)))
	if err != nil {
		t.Fatal(err)
	}
	return steps.CollectResult{Files: []archive.File{{Path: rel, Size: sum.Size, SHA256: sum.SHA256, Kind: archive.KindTrace, Round: 1, Attempt: 1, Target: "server"}}}
}

// analysed is a plan that ends with the analysis and the seal.
func analysed(p *Plan) *Plan {
	last := len(p.Steps) - 1
	p.Steps = append(p.Steps[:last:last], Planned{0, &steps.Analyze{Header: header("analyze", 0)}})
	return p.sealed()
}

func kindOf(m *archive.Manifest, rel string) (archive.File, bool) {
	for _, f := range m.Files {
		if f.Path == rel {
			return f, true
		}
	}
	return archive.File{}, false
}

// TestAnalysisAfterInterrupts: what there is is analysed after a failure and after the
// first interrupt; after the second it is not.
func TestAnalysisAfterInterrupts(t *testing.T) {
	for name, c := range map[string]struct {
		signals int
		err     error
		want    bool
	}{
		"none":      {0, nil, true},
		"a failure": {0, backoff.Permanent(failure(steps.ExitWindow, true)), true},
		"one":       {1, nil, true},
		"two":       {2, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s script
			interrupts := &steps.Interrupts{}
			collect := &keeper{fake: *s.step("collect", nil), keeps: true}
			collect.do = func(_ context.Context, run *steps.Run) (any, error) {
				for range c.signals {
					interrupts.Signal()
				}
				return traced(t, run.Dir), c.err
			}
			result := run(t, analysed(planOf().round(1, collect)), func(o *Options) { o.Interrupts = interrupts })
			if result.Manifest == nil {
				t.Fatalf("not sealed: %q", result.Errors)
			}
			f, got := kindOf(result.Manifest, analysisFile)
			if got != c.want {
				t.Errorf("analysed: %v", got)
			}
			if got && (f.Kind != archive.KindAnalysis || f.Round != 1 || f.Target != "server" || f.SHA256 == "") {
				t.Errorf("the manifest has %+v", f)
			}
		})
	}
}

// TestNothingToAnalyse: a run without traces does not speak of an analysis.
func TestNothingToAnalyse(t *testing.T) {
	var s script
	result := run(t, analysed(planOf(s.step("a", nil))))
	result.ended(t, archive.StatusOK, steps.ExitOK, "")
	if text := told(journaled(t, result.Path)); strings.Contains(text, "analyze") {
		t.Errorf("journaled %s", text)
	}
}

// TestResumeAnalyses: a run that was cut off in its analysis is analysed when it is
// finished, but not a third time.
func TestResumeAnalyses(t *testing.T) {
	for cutOffs, want := range []bool{true, true, false} {
		plan := analysed(&Plan{FormatVersion: PlanVersion, Job: "job", Attempts: 1, Retry: Retry{Attempts: 1}, Steps: []Planned{{}}})
		var err error
		if plan.Digest, err = plan.digest(); err != nil {
			t.Fatal(err)
		}
		opts := options(t)
		r, err := begin(plan, opts)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(traced(t, r.run.Dir))
		if err != nil {
			t.Fatal(err)
		}
		events := []event.Event{event.RunStarted{RunID: r.run.Dir.RunID, Job: "job"},
			event.StepNoted{Place: event.Place{Step: "round-01/collect", Round: 1, Attempt: 1}, StepKind: "collect", Result: raw}}
		for range cutOffs {
			events = append(events, event.StepStarted{Place: event.Place{Step: "analyze"}, StepKind: "analyze"})
		}
		for _, e := range events {
			if err := r.emit(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.journal.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.guard.Close(); err != nil {
			t.Fatal(err)
		}
		u, err := OpenUnfinished(r.run.Dir.Path())
		if err != nil {
			t.Fatal(err)
		}
		result, err := u.Resume(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		result.ended(t, archive.StatusOK, steps.ExitOK, "")
		if _, got := kindOf(result.Manifest, analysisFile); got != want {
			t.Errorf("cut off %d times: analysed: %v", cutOffs, got)
		}
		if warned := strings.Contains(strings.Join(result.Manifest.Warnings, "\n"), "cut off in that 2 times"); warned == want {
			t.Errorf("cut off %d times: warnings %q", cutOffs, result.Manifest.Warnings)
		}
	}
}
