package steps

import (
	"profjob/internal/archive"
	"profjob/internal/trace"
)

// gotOf tells the passes of a trace as the manifest has them. The duration is from
// the begin of the first engine step to the end of the last.
func gotOf(passes []trace.Pass) archive.Got {
	got := archive.Got{Annotations: []string{}, EngineSteps: []archive.Step{}}
	for i := range passes {
		p := &passes[i]
		if !p.IsStep() {
			got.IdlePasses++
			continue
		}
		if !p.Whole {
			continue
		}
		got.Steps++
		got.Annotations = append(got.Annotations, p.Name)
		got.EngineSteps = append(got.EngineSteps, archive.Step{Name: p.Name, Class: string(p.Class),
			Requests: known(p.Requests), Tokens: known(p.Tokens), StartNS: p.Start, DurationNS: p.End - p.Start})
	}
	got.RecordedSteps = got.Steps
	if n := len(got.EngineSteps); n > 0 {
		last := got.EngineSteps[n-1]
		got.DurationNS = last.StartNS + last.DurationNS - got.EngineSteps[0].StartNS
	}
	return got
}

func known(n int64) *int {
	if n == trace.NotKnown {
		return nil
	}
	v := int(n)
	return &v
}

// skew is the time between the first and the last start of the windows.
func skew(windows []archive.Window) *int64 {
	var first, last int64
	n := 0
	for _, w := range windows {
		if len(w.Got.EngineSteps) == 0 {
			continue
		}
		start := w.Got.EngineSteps[0].StartNS
		if n == 0 || start < first {
			first = start
		}
		if n == 0 || start > last {
			last = start
		}
		n++
	}
	if n < 2 {
		return nil
	}
	d := last - first
	return &d
}
