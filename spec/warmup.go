package spec

import "time"

// Warmup is what must be so before the window opens. All conditions that are set must hold.
type Warmup struct {
	Running  int           // requests running on the server (its own metric), 0: not asked
	Stable   time.Duration // for so long without a break; 0: once is enough
	Requests int           // requests of the load that have ended well, 0: not asked
	Duration time.Duration // time since the load began, 0: not asked
	Timeout  time.Duration // default 5m
}

var warmupSchema = &Block{
	Name: "warmup",
	Doc:  "What must be so before the window opens; all of what is set. Without the block the window opens at once.",
	Arguments: []Argument{
		{Name: "requests", Type: TypeInteger, Min: 1, Max: 1e9, Doc: "Requests of the load that have ended well."},
		{Name: "duration", Type: TypeDuration, Min: oneMillisecond, Max: oneDay, Doc: "Time since the load began."},
		{Name: "timeout", Type: TypeDuration, Default: "5m", Min: oneMillisecond, Max: oneDay, Doc: "How long to wait for it."},
	},
	Blocks: []*Block{{
		Name: "until",
		Doc:  "A state of the server.",
		Arguments: []Argument{
			{Name: "running", Type: TypeInteger, Required: true, Min: 1, Max: 1e6, Doc: "Requests running on the server, or more, by its own metric."},
			{Name: "stable", Type: TypeDuration, Default: "0s", Max: oneDay, Doc: "For how long without a break."},
		},
	}},
}

// decodeWarmup is nil where no warmup is asked for.
func decodeWarmup(job *body) *Warmup {
	if job.block("warmup") == nil {
		return nil
	}
	b := job.child("warmup")
	until := b.child("until")
	w := &Warmup{
		Running:  until.integer("running"),
		Stable:   until.duration("stable"),
		Requests: b.integer("requests"),
		Duration: b.duration("duration"),
		Timeout:  b.duration("timeout"),
	}
	if !b.has("requests") && !b.has("duration") && b.block("until") == nil {
		b.report.errorAt(b.header, "Nothing chosen", "A warmup block needs at least one of until, requests, duration.")
	}
	if w.Timeout > 0 {
		b.checkBelow("duration", w.Duration, "timeout", w.Timeout)
		until.checkBelow("stable", w.Stable, "timeout", w.Timeout)
	}
	if !job.has("load") && b.has("requests") {
		b.fail(b.given["requests"], "", "No load", "requests counts those of the job's load, but the job has none.")
	}
	return w
}

// checkBelow refuses a duration that a timeout would cut off.
func (b *body) checkBelow(name string, d time.Duration, limitName string, limit time.Duration) {
	if d < limit || d == 0 {
		return
	}
	at := b.header
	g, ok := b.given[name]
	if ok {
		at = g.at
	}
	b.report.errorAt(at, "Out of range", "%s (%s) must be less than %s (%s).", name, formatDuration(d), limitName, formatDuration(limit))
}
