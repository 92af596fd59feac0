package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/engine"
	"profjob/internal/wire"
)

// Window opens the profilers of all endpoints together, waits until what was
// asked for has been recorded, and closes them. Its cleanup stops every profiler
// that may be on because of it. Nothing that it sends is sent again but a stop.
type Window struct {
	Header
	Targets      []Target      `json:"targets"`
	Form         string        `json:"form"` // steps or manual
	Count        int           `json:"count,omitempty"`
	Delay        int           `json:"delay,omitempty"`
	Duration     wire.Duration `json:"duration"`
	Until        string        `json:"until,omitempty"`
	Timeout      wire.Duration `json:"timeout"`
	MinFreeDisk  int64         `json:"min_free_disk"`
	MaxTraceSize int64         `json:"max_trace_size,omitempty"`
}

// WindowResult says when each endpoint recorded, by this machine's clock.
type WindowResult struct {
	Ended     string              `json:"ended"`
	Endpoints []EndpointWindow    `json:"endpoints"`
	Before    map[string]Snapshot `json:"before"` // by target: what lay in the trace directory before
}

// EndpointWindow is what happened at one endpoint. Times that did not come are zero.
type EndpointWindow struct {
	Target        string    `json:"target"`
	Endpoint      string    `json:"endpoint"`
	Strategy      string    `json:"strategy"`
	Bound         int       `json:"bound,omitempty"` // passes the server was told to stop after
	StartSent     time.Time `json:"start_sent"`
	StartAnswered time.Time `json:"start_answered"`
	StopSent      time.Time `json:"stop_sent"`
	StopAnswered  time.Time `json:"stop_answered"`
	StopError     string    `json:"stop_error,omitempty"`
	Seen          int64     `json:"seen"` // engine steps by the server's own count; −1: not known
	Ended         string    `json:"ended"`
}

// How the wait for a window ended.
const (
	EndedRecorded    = "recorded"    // the engine steps have passed
	EndedDuration    = "duration"    // the time is over
	EndedStopped     = "stopped"     // the user ended a window that lasts until then
	EndedInterrupted = "interrupted" // the user interrupted the run
	EndedTimeout     = "timeout"
	EndedLimit       = "limit" // of disk or size
)

// Summary tells how long the window was open.
func (r WindowResult) Summary() string {
	if len(r.Endpoints) == 0 {
		return ""
	}
	e := r.Endpoints[0]
	text := fmt.Sprintf("open for %s (%s), stopped in %s", e.StopSent.Sub(e.StartAnswered).Round(time.Millisecond),
		e.Ended, e.StopAnswered.Sub(e.StopSent).Round(time.Millisecond))
	if len(r.Endpoints) > 1 {
		text += fmt.Sprintf(", %d endpoints", len(r.Endpoints))
	}
	return text
}

// Kind is the row in the table of kinds.
func (w *Window) Kind() string { return "window" }

// Do records the window.
func (w *Window) Do(ctx context.Context, run *Run) (any, error) {
	servers, err := run.servers(w.Targets)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	result := WindowResult{Before: map[string]Snapshot{}}
	for _, t := range w.Targets {
		if result.Before[t.Name], err = run.snapshot(ctx, t); err != nil {
			return nil, backoff.Permanent(fmt.Errorf("list trace_dir of %s: %w", t.Name, err))
		}
	}
	if err := run.keepMetrics(ctx, servers, "before"); err != nil {
		return nil, backoff.Permanent(err)
	}
	result.Endpoints, err = w.record(ctx, run, servers)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	for _, e := range result.Endpoints {
		result.Ended = e.Ended
	}
	if err := run.keepMetrics(context.WithoutCancel(ctx), servers, "stop"); err != nil {
		return nil, backoff.Permanent(err)
	}
	return result, errorPermanent(run.stopTraffic())
}

// Undo stops what may still be on.
func (w *Window) Undo(ctx context.Context, run *Run) error { return run.stopArmed(ctx) }

func errorPermanent(err error) error {
	if err == nil {
		return nil
	}
	return backoff.Permanent(err)
}

// record starts all endpoints, watches each until its window is over, and stops it.
func (w *Window) record(ctx context.Context, run *Run, servers []server) ([]EndpointWindow, error) {
	// Before the start, so that a wish to end which comes right after it is the window's.
	end, release := w.until(run)
	defer release()
	windows, err := w.startAll(ctx, run, servers)
	if err != nil {
		return nil, err
	}
	if err := run.keepMetrics(ctx, servers, "start"); err != nil && ctx.Err() == nil {
		return nil, err
	}
	watch := watcher{window: w, run: run, opened: firstAnswer(windows), end: end}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if errs[i] = watch.one(ctx, s, &windows[i]); errs[i] != nil {
				cancel(errs[i]) // the others end their windows, too
			}
			stopErr := w.stopOne(ctx, run, s, &windows[i])
			if errors.Is(stopErr, engine.ErrUnreachable) {
				errs[i] = errors.Join(errs[i], finalServerFailure("%s died while it recorded: %w", s.Endpoint, stopErr))
			}
		})
	}
	wg.Wait()
	return windows, errors.Join(errs...)
}

// until gives a channel that ends a window which lasts until it is told to stop.
func (w *Window) until(run *Run) (end chan struct{}, release func()) {
	if w.Until == "" {
		return nil, func() {}
	}
	end = make(chan struct{})
	return end, run.Interrupts.Claim(func() { close(end) })
}

// startAll sends every start at once. Where one fails, the error is returned and
// the others are left for Undo to stop.
func (w *Window) startAll(ctx context.Context, run *Run, servers []server) ([]EndpointWindow, error) {
	windows := make([]EndpointWindow, len(servers))
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		choice, bound := w.choice(run, s)
		windows[i] = EndpointWindow{Target: s.Target.Name, Endpoint: s.Endpoint, Strategy: choice, Bound: bound, Seen: -1}
		wg.Go(func() {
			windows[i].StartSent = run.Clock.Now()
			errs[i] = run.start(ctx, s, engine.StartOptions{MaxSteps: bound})
			windows[i].StartAnswered = run.Clock.Now()
		})
	}
	wg.Wait()
	for i, err := range errs {
		errs[i] = startFailure(servers[i], err)
	}
	return windows, errors.Join(errs...)
}

// choice gives the strategy that the probe chose, and the bound to ask for.
func (w *Window) choice(run *Run, s server) (strategy string, bound int) {
	probed, _ := Latest[ProbeResult](run.State)
	for _, e := range probed.Endpoints {
		if e.Endpoint == s.Endpoint {
			strategy = e.Choice.Strategy
		}
	}
	if strategy == StrategyBounded {
		bound = w.bound()
	}
	return strategy, bound
}

// bound is what the server is told to stop after. It counts idle passes, too: in
// thin traffic there may be one after each engine step. The window is closed
// before that by what is seen; the bound holds should profjob be gone by then.
func (w *Window) bound() int {
	const slack = 16
	return 2*(w.Delay+w.Count) + slack
}

// startFailure tells how a run ends whose start failed.
func startFailure(s server, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrUnreachable), errors.Is(err, engine.ErrNotConfigured), errors.Is(err, engine.ErrRefused):
		return finalServerFailure("%s: %w", s.Target.Name, err)
	}
	return serverFailure("%s: %w", s.Target.Name, err)
}

func firstAnswer(windows []EndpointWindow) time.Time {
	first := windows[0].StartAnswered
	for _, e := range windows[1:] {
		if e.StartAnswered.Before(first) {
			first = e.StartAnswered
		}
	}
	return first
}

// stopOne closes one endpoint's window. Only the third interrupt leaves a stop unanswered.
func (w *Window) stopOne(ctx context.Context, run *Run, s server, e *EndpointWindow) error {
	ctx, cancel := run.untilAbandoned(ctx)
	defer cancel()
	e.StopSent = run.Clock.Now()
	err := run.stop(ctx, s)
	e.StopAnswered = run.Clock.Now()
	if err == nil {
		return nil
	}
	e.StopError = err.Error()
	// Whether anything was lost is for the files to say: a stop that fails may have written them.
	return errors.Join(err, run.warn("%s: %v", s.Target.Name, err))
}

// untilAbandoned gives a context that outlives the given one, but not the user's third interrupt.
func (r *Run) untilAbandoned(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	third := r.Interrupts.Level(3)
	go func() {
		select {
		case <-third:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Snapshot says of each file in a directory, by its path, what tells a change: size, time and identity.
type Snapshot map[string]string

// snapshot lists a target's trace directory; one that is not there yet is empty.
func (r *Run) snapshot(ctx context.Context, t Target) (Snapshot, error) {
	files, err := r.Files(r.traceDir(t)).List(ctx, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, nil
	}
	if err != nil {
		return nil, finalIncomplete("%w", err)
	}
	s := make(Snapshot, len(files))
	for _, f := range files {
		s[f.Path] = fingerprint(f)
	}
	return s, nil
}
