package steps

import (
	"fmt"
	"time"

	"profjob/internal/archive"
	"profjob/internal/gate"
	"profjob/internal/trace"
)

// gateWorker gives the worker that wrote a file, as its gate told; nil where no
// gate did.
func gateWorker(window WindowResult, f archive.File) *gate.Worker {
	for _, e := range window.Endpoints {
		if e.Gate == nil || e.Target != f.Target || f.Endpoint == nil || e.Endpoint != *f.Endpoint {
			continue
		}
		for i := range e.Gate.Workers {
			for _, file := range e.Gate.Workers[i].Files {
				if file.Name == f.OriginalName {
					return &e.Gate.Workers[i]
				}
			}
		}
	}
	return nil
}

// gateWindow describes what the trace of a gate's worker holds. The gate has
// recorded the window and nothing else, so that nothing is cut; that it has, the
// trace itself must show, and the gate's own list must say the same.
func (v *Verify) gateWindow(f archive.File, scan *trace.Summary, window WindowResult, worker *gate.Worker) archive.Window {
	w := v.window(f, scan, window)
	core, rank := worker.Core, globalRank(*worker)
	w.Core, w.Rank = &core, &rank
	if v.Form == "manual" {
		w.Got.DurationNS = scan.Recorded
		w.Reason = v.refusal(scan, openedAt(window, f))
		if w.Reason == "" {
			w.Reason = v.gateManualReason(worker, scan, w.Got)
		}
	} else if w.Reason == "" {
		w.Reason = v.gateReason(worker, scan)
	}
	w.Exact = w.Reason == ""
	return w
}

func openedAt(window WindowResult, f archive.File) time.Time {
	_, asked := openedFor(window, f)
	return asked
}

// gateReason says why a trace of the gate is not the window asked for; empty if it is.
func (v *Verify) gateReason(worker *gate.Worker, scan *trace.Summary) string {
	if worker.EndedBy != "steps" {
		return fmt.Sprintf("the gate ended it before its time (%s), after %d of %d engine steps", worker.EndedBy, worker.Recorded, v.Count)
	}
	steps := wholeSteps(scan.Passes)
	if len(steps) != v.Count {
		return fmt.Sprintf("the trace shows %d whole engine steps", len(steps))
	}
	for i, s := range steps {
		if v.Tokens != nil && (i == 0 || v.Tokens.All) && !v.Tokens.qualifies(s) {
			return fmt.Sprintf("the %d. engine step, %s, is none that was asked for", i+1, s.Name)
		}
	}
	return disagreement(worker.Steps, steps)
}

func wholeSteps(passes []trace.Pass) []*trace.Pass {
	var all []*trace.Pass
	for i := range passes {
		if passes[i].IsStep() && passes[i].Whole {
			all = append(all, &passes[i])
		}
	}
	return all
}

// disagreement says in what the gate's own list differs from the trace.
func disagreement(told []gate.Step, seen []*trace.Pass) string {
	if len(told) != len(seen) {
		return fmt.Sprintf("the gate tells of %d engine steps, its trace shows %d", len(told), len(seen))
	}
	for i, t := range told {
		s := seen[i]
		switch {
		case !t.Sampled:
			return fmt.Sprintf("the %d. engine step was recorded without its sampling", i+1)
		case s.Tokens != trace.NotKnown && s.Tokens != t.Tokens, s.Requests != trace.NotKnown && s.Requests != t.Requests:
			return fmt.Sprintf("the gate tells of %d tokens of %d requests in the %d. engine step, the trace of %s", t.Tokens, t.Requests, i+1, s.Name)
		case s.Tokens != trace.NotKnown && s.Class != t.Class:
			return fmt.Sprintf("the gate calls the %d. engine step %s, the trace %s", i+1, t.Class, s.Class)
		}
	}
	return ""
}

// gateManualReason says why a window by hand is not what was asked. The gate counts
// its duration from the first engine step on and ends between two: a step that runs
// while the time ends is recorded whole.
func (v *Verify) gateManualReason(worker *gate.Worker, scan *trace.Summary, got archive.Got) string {
	switch {
	case got.Steps == 0:
		return "no engine step was recorded: was there traffic?"
	case v.Until != "" && worker.EndedBy == "disarm":
		return ""
	case worker.EndedBy != "duration":
		return "the gate ended it before its time: " + worker.EndedBy
	case v.Until != "":
		return "nobody ended the window before its timeout"
	case scan.Recorded == 0:
		return ""
	}
	asked, open := time.Duration(v.Duration), time.Duration(scan.Recorded)
	var longest time.Duration
	for _, s := range got.EngineSteps {
		longest = max(longest, time.Duration(s.DurationNS))
	}
	tolerance := max(asked/20, 50*time.Millisecond)
	if open < asked-tolerance || open > asked+tolerance+longest {
		return fmt.Sprintf("it was recorded for %s, %s were asked for", open.Round(time.Millisecond), asked)
	}
	return ""
}

// unmet are windows of workers whose gate never saw a step that qualifies: they
// have no trace, and are named.
func (v *Verify) unmet(window WindowResult, attempt int) []archive.Window {
	var all []archive.Window
	for _, e := range window.Endpoints {
		if e.Gate == nil {
			continue
		}
		for _, worker := range e.Gate.Workers {
			if !neverRecorded(worker) {
				continue
			}
			endpoint, core, rank := e.Endpoint, worker.Core, globalRank(worker)
			all = append(all, archive.Window{Target: e.Target, Endpoint: &endpoint, Core: &core, Rank: &rank, Attempt: attempt,
				Strategy: e.Strategy, Evidence: "none", Asked: v.asked(), Got: gotOf(nil), Reason: neverOpened(worker)})
		}
	}
	return all
}

// neverRecorded tells of a worker that it has no trace since no step came to begin with.
func neverRecorded(w gate.Worker) bool { return w.Recorded == 0 && len(w.Files) == 0 }

func neverOpened(w gate.Worker) string {
	switch {
	case w.Error != "":
		return string(w.Error)
	case w.Counted == 0:
		return "no engine step came while the gate was armed: was there traffic?"
	}
	return fmt.Sprintf("of %d engine steps that came while the gate was armed, none was one to begin with", w.Counted)
}
