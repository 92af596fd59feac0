package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/wire"
)

// Window opens the profilers of all endpoints together, waits until what was
// asked for has been recorded, and closes them. Its cleanup stops every profiler
// that may be on because of it. Nothing that it sends is sent again but a stop.
type Window struct {
	Header
	Targets      []Target      `json:"targets"`
	Form         string        `json:"form"` // steps, tokens or manual
	Count        int           `json:"count,omitempty"`
	Delay        int           `json:"delay,omitempty"`
	Tokens       *TokensParams `json:"tokens,omitempty"`
	Duration     wire.Duration `json:"duration"`
	Until        string        `json:"until,omitempty"`
	Timeout      wire.Duration `json:"timeout"`
	Record       Record        `json:"record"`
	MinFreeDisk  int64         `json:"min_free_disk"`
	MaxTraceSize int64         `json:"max_trace_size,omitempty"`
}

// WindowResult says when each endpoint recorded, by this machine's clock. There is
// one as soon as every start was answered well, whatever came after that.
type WindowResult struct {
	Ended string `json:"ended"` // as at the endpoint whose window ended worst
	// Limit is why the window was ended early, where a limit of the job file did.
	Limit     string              `json:"limit,omitempty"`
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
	// StartError is why the start failed, where a recording may have begun all the
	// same: what there is of it is kept, and nothing has to be.
	StartError string `json:"start_error,omitempty"`
	// Stopped: the server itself has answered the stop, be it with an error, so
	// that what it writes it has written.
	Stopped   bool   `json:"stopped"`
	StopError string `json:"stop_error,omitempty"`
	Seen      int64  `json:"seen"`            // engine steps by the server's own count; −1: not known
	Hints     int    `json:"hints,omitempty"` // how often the metrics hinted at the first step of a window by tokens
	Ended     string `json:"ended"`
	Error     string `json:"error,omitempty"` // why it could not be recorded to the end
	// ByItself: the server began and ended the recording; nothing was sent to it.
	ByItself bool `json:"by_itself,omitempty"`
	// Gate is what the gate told of the window, where it is the gate that recorded.
	Gate *GateSession `json:"gate,omitempty"`
}

// Lost tells of an endpoint that failed and whose files cannot be waited for.
func (e EndpointWindow) Lost() bool { return e.Error != "" && !e.Stopped }

// How the wait for a window ended, from the best on.
const (
	EndedRecorded    = "recorded"    // the engine steps have passed
	EndedDuration    = "duration"    // the time is over
	EndedStopped     = "stopped"     // the user ended a window that lasts until then
	EndedTimeout     = "timeout"     // the window's own
	EndedLimit       = "limit"       // of disk or size
	EndedInterrupted = "interrupted" // the user interrupted the run
	EndedAborted     = "aborted"     // this or another endpoint failed
)

// endings are those in the order of their constants.
var endings = []string{EndedRecorded, EndedDuration, EndedStopped, EndedTimeout, EndedLimit, EndedInterrupted, EndedAborted}

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

// unopened is how many workers have seen no step to begin with, as their gates told,
// and so have no trace: that they are missing is for verify to say, by name. Of a
// server that records by itself and has not, all are.
func (r WindowResult) unopened() int {
	n := 0
	for _, e := range r.Endpoints {
		switch {
		case e.ByItself && e.Ended != EndedRecorded:
			return math.MaxInt
		case e.Gate != nil:
			for _, w := range e.Gate.Workers {
				if neverRecorded(w) {
					n++
				}
			}
		}
	}
	return n
}

// opened is when the first start was answered, from which the window counts.
func (r WindowResult) opened() time.Time {
	first := r.Endpoints[0].StartAnswered
	for _, e := range r.Endpoints[1:] {
		if e.StartAnswered.Before(first) {
			first = e.StartAnswered
		}
	}
	return first
}

// Kind is the row in the table of kinds.
func (w *Window) Kind() string { return "window" }

// Do records the window.
func (w *Window) Do(ctx context.Context, run *Run) (any, error) {
	servers, err := run.servers(w.Targets)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	if len(servers) == 0 {
		return nil, backoff.Permanent(finalServerFailure("window: no target has an endpoint"))
	}
	result := WindowResult{Before: map[string]Snapshot{}}
	for _, t := range w.Targets {
		if run.byGate(t) {
			continue // the gate tells which files are the window's
		}
		if run.byItself(t) { // it may have recorded since
			probed, _ := Latest[ProbeResult](run.State)
			result.Before[t.Name] = probed.Before[t.Name]
			continue
		}
		result.Before[t.Name], err = run.snapshot(ctx, t)
		switch {
		case ctx.Err() != nil:
			return nil, backoff.Permanent(context.Cause(ctx))
		case err != nil:
			return nil, backoff.Permanent(fmt.Errorf("list trace_dir of %s: %w", t.Name, err))
		}
	}
	if err := run.keepMetrics(ctx, servers, "before"); err != nil {
		return nil, backoff.Permanent(err)
	}
	// What records by itself may have begun: its window is opened, and ends at once.
	if limit := w.limits(run, result.Before).disks(ctx); limit != nil && !slices.ContainsFunc(w.Targets, run.byItself) {
		return nil, backoff.Permanent(finalIncomplete("nothing was recorded: %w", limit))
	}
	err = w.record(ctx, run, servers, &result)
	if err != nil && result.Endpoints == nil {
		return nil, backoff.Permanent(err) // what was started all the same, Undo stops
	}
	trafficErr := run.stopTraffic()
	late, cancel := run.untilAbandoned(ctx)
	defer cancel()
	return result, errorPermanent(errors.Join(err, trafficErr, run.keepMetrics(late, servers, "stop")))
}

// Undo stops what may still be on.
func (w *Window) Undo(ctx context.Context, run *Run) error { return run.stopArmed(ctx) }

func errorPermanent(err error) error {
	if err == nil {
		return nil
	}
	return backoff.Permanent(err)
}

// stopBegun stops what may have begun though not all starts were answered well, and
// gives the windows of those endpoints: what they wrote is kept.
func (w *Window) stopBegun(ctx context.Context, run *Run, servers []server, windows []EndpointWindow) []EndpointWindow {
	begun := make([]*EndpointWindow, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers[:len(windows)] {
		if !run.armed.has(s) {
			continue // a refusal, or never sent
		}
		e := &windows[i]
		e.Ended, begun[i] = EndedAborted, e
		wg.Go(func() {
			err := safely("stop "+s.Endpoint, func() error { return w.stopOne(ctx, run, s, e) })
			if err != nil {
				e.Error = err.Error()
			}
		})
	}
	wg.Wait()
	var all []EndpointWindow
	for _, e := range begun {
		if e != nil {
			all = append(all, *e)
		}
	}
	return all
}

// startAll sends every start at once. Where one fails, the error is returned with
// the windows, of which some may be open.
func (w *Window) startAll(ctx context.Context, run *Run, servers []server, before map[string]Snapshot) ([]EndpointWindow, error) {
	windows := make([]EndpointWindow, len(servers))
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i := range servers {
		s := &servers[i]
		choice, bound := w.choice(run, *s)
		windows[i] = EndpointWindow{Target: s.Target.Name, Endpoint: s.Endpoint, Strategy: choice.Strategy, Bound: bound, ByItself: choice.ByItself, Seen: -1}
		if choice.Strategy == StrategyGate {
			s.session = run.session()
			windows[i].Gate = &GateSession{Session: s.session}
		}
	}
	if err := w.note(run, before, windows); err != nil {
		return nil, err
	}
	for i, s := range servers {
		wg.Go(func() {
			windows[i].StartSent = run.Clock.Now()
			errs[i] = safely("start "+s.Endpoint, func() error { return w.start(ctx, run, s, &windows[i]) })
			windows[i].StartAnswered = run.Clock.Now()
			if errs[i] != nil {
				windows[i].StartError = errs[i].Error()
			}
		})
	}
	wg.Wait()
	return windows, errors.Join(append(errs, w.note(run, before, windows))...)
}

// note journals the window as it is known so far, for a resume.
func (w *Window) note(run *Run, before map[string]Snapshot, windows []EndpointWindow) error {
	raw, err := json.Marshal(WindowResult{Before: before, Endpoints: windows})
	if err != nil {
		return err
	}
	return run.Emit(event.StepNoted{Place: run.Place, StepKind: w.Kind(), Result: raw})
}

// start asks one server to record, by its gate or by its own profiler. One that
// records by itself may have since it was launched.
func (w *Window) start(ctx context.Context, run *Run, s server, e *EndpointWindow) error {
	switch launched, ok := run.launchedServer(s.Target); {
	case s.session != "":
		return run.arm(ctx, s, w.armRequest(s.session))
	case !e.ByItself:
		return run.start(ctx, s, engine.StartOptions{MaxSteps: e.Bound})
	case ok:
		e.StartSent = launched.Began
	}
	return nil
}

// choice gives the strategy that the probe chose, and the bound to ask for.
func (w *Window) choice(run *Run, s server) (choice Choice, bound int) {
	probed, _ := Latest[ProbeResult](run.State)
	for _, e := range probed.Endpoints {
		if e.Target == s.Target.Name && e.Endpoint == s.Endpoint {
			choice = e.Choice
		}
	}
	if choice.Strategy == StrategyBounded && !choice.ByItself {
		bound = w.bound()
	}
	return choice, bound
}

// byItself tells whether a target's servers record by themselves.
func (r *Run) byItself(t Target) bool {
	probed, _ := Latest[ProbeResult](r.State)
	return slices.ContainsFunc(probed.Endpoints, func(e Probed) bool { return e.Target == t.Name && e.Choice.ByItself })
}

// bound is what the server is told to stop after. It counts idle passes, too: in
// thin traffic there may be one after each engine step. The window is closed
// before that by what is seen; the bound holds should profjob be gone by then.
func (w *Window) bound() int {
	const slack = 16
	return 2*(w.Delay+w.Count) + slack
}

// errWindowEnded is what ends the wait for a window that lasts until it is told to stop.
var errWindowEnded = errors.New("the window was told to end")

// record starts all endpoints, watches each until its window is over, and stops it.
// It fills in the windows of the result, unless a start failed.
func (w *Window) record(ctx context.Context, run *Run, servers []server, result *WindowResult) error {
	waiting, end := context.WithCancelCause(ctx)
	defer end(nil)
	if w.Until != "" { // before the start: a wish to end that comes right after it is the window's
		defer run.Interrupts.Claim(func() { end(errWindowEnded) })()
	}
	windows, err := w.startAll(ctx, run, servers, result.Before)
	if err != nil {
		result.Endpoints = w.stopBegun(ctx, run, servers, windows)
		result.Ended = EndedAborted
		return err
	}
	result.Endpoints = windows
	watch := watcher{window: w, run: run, opened: result.opened(), before: result.Before}
	limits := w.limits(run, result.Before).begin(waiting, end)
	errs := make([]error, len(servers)+1)
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			e := &result.Endpoints[i]
			err := safely("watch "+s.Endpoint, func() error { return watch.one(waiting, s, e) })
			if err != nil {
				e.Ended = EndedAborted
				end(err) // the others end their windows, too
			}
			err = errors.Join(err, safely("stop "+s.Endpoint, func() error { return w.stopOne(ctx, run, s, e) }))
			if errs[i] = err; err != nil {
				e.Error = err.Error()
			}
		})
	}
	// The files of metrics must not make the window longer: they are read beside it.
	wg.Go(func() {
		errs[len(servers)] = safely("keep metrics", func() error { return run.keepMetrics(waiting, servers, "start") })
	})
	wg.Wait()
	limitErr := limits.over(result)
	result.Ended = ended(result.Endpoints)
	return errors.Join(append(errs, limitErr)...)
}

// ended gives the worst ending of several windows.
func ended(windows []EndpointWindow) string {
	worst := 0
	for _, e := range windows {
		for i, how := range endings {
			if e.Ended == how {
				worst = max(worst, i)
			}
		}
	}
	return endings[worst]
}

// stopOne closes one endpoint's window. Only the third interrupt leaves a stop
// unanswered. An error means that the server cannot be reached any more; whether a
// stop that failed otherwise has lost anything is for the files to say.
func (w *Window) stopOne(ctx context.Context, run *Run, s server, e *EndpointWindow) error {
	ctx, cancel := run.untilAbandoned(ctx)
	defer cancel()
	e.StopSent = run.Clock.Now()
	var err error
	switch {
	case e.ByItself: // it ends by itself, and a stop it would not carry out
	case s.session != "":
		err = w.disarmOne(ctx, run, s, e)
	default:
		err = run.stop(ctx, s)
	}
	e.StopAnswered = run.Clock.Now()
	e.Stopped = err == nil || engine.StopAnswered(err) && !errors.Is(err, errStillOn)
	if err == nil {
		return nil
	}
	e.StopError = err.Error()
	if errors.Is(err, engine.ErrUnreachable) {
		return finalServerFailure("%s died while it recorded: %w", s.Target.Name, err)
	}
	return run.warn("%s: %v", s.Target.Name, err)
}

// disarmOne closes a window of the gate and keeps what each worker says of it.
func (w *Window) disarmOne(ctx context.Context, run *Run, s server, e *EndpointWindow) error {
	status, err := run.disarm(ctx, s)
	if status != nil {
		e.Gate.Workers = status.Workers
	}
	return err
}

// untilAbandoned gives a context that outlives the given one, but not the user's third interrupt.
func (r *Run) untilAbandoned(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	third := r.Interrupts.Level(3)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-third:
			cancel(ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-watched
	}
}

// Snapshot says of each file in a directory, by its path, what tells a change: size, time and identity.
type Snapshot map[string]string

// snapshot lists a target's trace directory; one that is not there yet is empty.
func (r *Run) snapshot(ctx context.Context, t Target) (Snapshot, error) {
	return r.snapshotOf(ctx, r.traceDir(t))
}

func (r *Run) snapshotOf(ctx context.Context, dir string) (Snapshot, error) {
	files, err := r.Files(dir).List(ctx, ".")
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
