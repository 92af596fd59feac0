package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/load"
	"profjob/internal/wire"
)

// Warmup begins the load and waits until all its conditions hold; without a
// condition it goes on at once. Its cleanup ends the load.
type Warmup struct {
	Header
	Targets  []Target       `json:"targets"`
	Traffic  *TrafficParams `json:"load,omitempty"`
	Running  int            `json:"running,omitempty"`
	Stable   wire.Duration  `json:"stable"`
	Requests int            `json:"requests,omitempty"`
	Duration wire.Duration  `json:"duration"`
	Timeout  wire.Duration  `json:"timeout"`
}

// WarmupResult says how the server stood when the window could open.
type WarmupResult struct {
	Took      wire.Duration `json:"took"`
	Running   int64         `json:"running"` // requests running on the servers; −1: not known
	Completed int64         `json:"completed"`
}

// Summary tells requests and time.
func (r WarmupResult) Summary() string {
	if r.Running < 0 {
		return fmt.Sprintf("%d requests completed", r.Completed)
	}
	return fmt.Sprintf("%d running, %d requests completed", r.Running, r.Completed)
}

const (
	warmupPoll = 50 * time.Millisecond
	// dip is how long fewer requests may run without an end to what is stable:
	// between the end of one request and the start of the next there are fewer.
	dip = 250 * time.Millisecond
)

// Kind is the row in the table of kinds.
func (w *Warmup) Kind() string { return "warmup" }

// Do starts the load and waits.
func (w *Warmup) Do(ctx context.Context, run *Run) (any, error) {
	servers, err := run.servers(w.Targets)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	if w.Traffic != nil && run.traffic == nil {
		if err := run.startTraffic(*w.Traffic, w.Targets); err != nil {
			return nil, backoff.Permanent(err)
		}
	}
	// A server that dies completes no more requests: that is its end, no warmup that is too slow.
	alive, stop := run.whileAlive(ctx, servers, "warmed up", patience)
	defer stop()
	return w.wait(alive, run, servers)
}

// Undo ends the load.
func (w *Warmup) Undo(_ context.Context, run *Run) error { return run.stopTraffic() }

// wait gives a WarmupResult; its type is any so that an error comes without one.
func (w *Warmup) wait(ctx context.Context, run *Run, servers []server) (any, error) {
	began := run.Clock.Now()
	var steadySince, reached time.Time // zero: not enough requests are running, never were
	for {
		now := run.Clock.Now()
		at, err := w.look(ctx, run, servers)
		if err != nil {
			return nil, err
		}
		switch {
		case at.Running >= int64(w.Running) || w.Running == 0:
			reached = now
			if steadySince.IsZero() {
				steadySince = now
			}
		case now.Sub(reached) > dip:
			steadySince = time.Time{}
		}
		missing := w.missing(at, now.Sub(began), now, steadySince)
		if len(missing) == 0 {
			at.Took = wire.Duration(now.Sub(began))
			return at, nil
		}
		if now.Sub(began) > time.Duration(w.Timeout) {
			return nil, backoff.Permanent(windowNotMet("warmup: not reached within %s: %s", w.Timeout, strings.Join(missing, ", ")))
		}
		run.progress(strings.Join(missing, ", "), at.Completed, int64(w.Requests), "requests")
		if err := run.Clock.Sleep(ctx, warmupPoll); err != nil {
			return nil, backoff.Permanent(fmt.Errorf("warmup: %w", err))
		}
	}
}

// look takes one reading of load and servers.
func (w *Warmup) look(ctx context.Context, run *Run, servers []server) (WarmupResult, error) {
	at := WarmupResult{Running: -1}
	if run.traffic != nil {
		stats := run.traffic.run.Stats()
		at.Completed = int64(stats.Completed)
		if err := failing(stats); err != nil {
			return at, backoff.Permanent(err)
		}
	}
	if w.Running == 0 {
		return at, nil
	}
	at.Running = 0
	for _, s := range servers {
		m, err := s.Client.Metrics(ctx)
		if err != nil {
			return at, fmt.Errorf("warmup: %w", w.metricsFailure(ctx, s, err))
		}
		if m.Running < 0 {
			return at, backoff.Permanent(finalServerFailure("warmup: %s tells no number of running requests: use requests or duration", s.Endpoint))
		}
		at.Running += m.Running
	}
	return at, nil
}

func (w *Warmup) metricsFailure(ctx context.Context, s server, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return finalServerFailure("read how many requests run on %s: %w", s.Endpoint, err)
}

// failing ends a warmup whose load gets nothing but errors.
func failing(s load.Stats) error {
	const enough = 10
	if s.Completed > 0 || s.Failed < enough {
		return nil
	}
	return finalServerFailure("the load's first %d requests all failed: %w", s.Failed, errors.New(s.LastError))
}

// missing names the conditions that do not hold yet.
func (w *Warmup) missing(at WarmupResult, elapsed time.Duration, now, steadySince time.Time) []string {
	var missing []string
	if w.Running > 0 && at.Running < int64(w.Running) {
		missing = append(missing, fmt.Sprintf("%d of %d requests running", at.Running, w.Running))
	}
	if w.Running > 0 && at.Running >= int64(w.Running) && now.Sub(steadySince) < time.Duration(w.Stable) {
		missing = append(missing, fmt.Sprintf("running for %s of %s", now.Sub(steadySince).Round(100*time.Millisecond), w.Stable))
	}
	if at.Completed < int64(w.Requests) {
		missing = append(missing, fmt.Sprintf("%d of %d requests completed", at.Completed, w.Requests))
	}
	if elapsed < time.Duration(w.Duration) {
		missing = append(missing, fmt.Sprintf("%s of %s passed", elapsed.Round(100*time.Millisecond), w.Duration))
	}
	return missing
}
