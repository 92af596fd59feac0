package runner

import (
	"profjob/internal/event"
	"profjob/steps"
)

// mostCutOff is how often a run may be cut off in its analysis: a trace that has
// ended profjob twice, by the memory that it takes, would do so again.
const mostCutOff = 2

// analyze says what the traces tell, now that nothing is on any more. It is left out
// from the second interrupt on, and where an earlier life of the run has done it.
//
// The guard is still there, and has the locks: nobody else takes the run for one that
// was cut off.
func (r *runner) analyze(levels contexts) {
	_, done := steps.Latest[steps.AnalyzeResult](r.run.State)
	for _, p := range r.plan.Steps {
		a, ok := p.Step.(*steps.Analyze)
		if !ok || done || levels.keep.Err() != nil || !a.Keeps(r.run) {
			continue
		}
		if n := r.cutOff[a.ID()]; n >= mostCutOff {
			r.run.Place = event.Place{Step: a.ID()}
			if err := r.run.Warn("the traces are not analysed: the run was cut off in that %d times; profjob analyze does it where there is more memory", n); err != nil {
				r.fail(err)
			}
			continue
		}
		var none []owed
		r.step(levels.keep, a, &none)
	}
}
