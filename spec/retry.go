package spec

import "time"

// Retry is how often and how fast a plan step is tried again after a transient error.
type Retry struct {
	Attempts   int           // tries in all, default 4
	Initial    time.Duration // default 500ms
	Max        time.Duration // default 30s
	Multiplier float64       // default 2
}

var retrySchema = &Block{
	Name: "retry",
	Doc:  "How a step of the plan is tried again after an error that may pass.",
	Arguments: []Argument{
		{Name: "attempts", Type: TypeInteger, Default: "4", Min: 1, Max: 100, Doc: "Tries in all; 1: none is repeated."},
		{Name: "initial", Type: TypeDuration, Default: "500ms", Min: oneMillisecond, Max: oneDay, Doc: "The pause before the second try."},
		{Name: "max", Type: TypeDuration, Default: "30s", Min: oneMillisecond, Max: oneDay, Doc: "The longest pause."},
		{Name: "multiplier", Type: TypeNumber, Default: "2", Min: 1, Max: 100, Doc: "How much longer each pause is than the one before."},
	},
}

func decodeRetry(job *body) Retry {
	b := job.child("retry")
	r := Retry{
		Attempts:   b.integer("attempts"),
		Initial:    b.duration("initial"),
		Max:        b.duration("max"),
		Multiplier: b.number("multiplier"),
	}
	if r.Initial > 0 && r.Max > 0 && r.Initial > r.Max {
		at := b.header
		for _, name := range []string{"max", "initial"} {
			if b.has(name) {
				at = b.given[name].at
			}
		}
		b.report.errorAt(at, "Out of range", "initial (%s) must not be more than max (%s).", formatDuration(r.Initial), formatDuration(r.Max))
	}
	return r
}
