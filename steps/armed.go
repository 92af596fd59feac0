package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/gate"
	"profjob/internal/wire"
)

// armed is the set of endpoints whose profiler may be on because of this run.
// An endpoint is in it from before the start is sent until a stop was answered,
// or until an answer proves that nothing of ours was started.
type armed struct {
	mu      sync.Mutex
	all     map[string]server
	written map[string]bool // targets whose complete traces prove that recording has ended
}

func (a *armed) add(s server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]server{}
	}
	a.all[s.Endpoint] = s
	delete(a.written, s.Target.Name)
}

// wrote notes that the complete traces of a target are there: its profilers have
// written them, and so have ended, whatever became of the answers to their stops.
func (a *armed) wrote(t Target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.written == nil {
		a.written = map[string]bool{}
	}
	a.written[t.Name] = true
}

func (a *armed) hasWritten(t Target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.written[t.Name]
}

func (a *armed) has(s server) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.all[s.Endpoint]
	return ok
}

func (a *armed) remove(s server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, s.Endpoint)
}

func (a *armed) list() []server {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []server
	for _, s := range a.all {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y server) int { return strings.Compare(x.Endpoint, y.Endpoint) })
	return all
}

const (
	startTimeout  = time.Minute
	stopAgainWait = time.Second
	// goneFor is how long nobody listens at an endpoint until its server counts as gone
	// and its profiler with it.
	goneFor = 10 * time.Second
	// stopTries is how often a stop is sent that is answered while its session goes on.
	stopTries = 5
)

// start asks one server to begin; from before the request until a stop the
// endpoint counts as armed, unless the answer proves that it is not. An error
// tells how the run ends because of it.
//
// An interrupt does not cut the answer short: a start whose request was given up
// may still be carried out, also after the stop that is sent because of that.
func (r *Run) start(ctx context.Context, s server, w engine.StartOptions) error {
	call := func(ctx context.Context) error { return s.Client.Start(ctx, w) }
	err, journal := r.begin(ctx, s, "start", startTimeout, call, engine.NotStarted)
	return errors.Join(startFailure(s, err), journal)
}

// begin sends what may begin a recording: err is the server's, journal the run's
// own. notBegun tells which errors prove that nothing of ours has begun.
func (r *Run) begin(ctx context.Context, s server, action string, timeout time.Duration, call func(context.Context) error, notBegun func(error) bool) (err, journal error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	what, err := r.intentTo(action, s)
	if err != nil {
		return nil, err
	}
	r.armed.add(s)
	if err := r.intend(ctx, what); err != nil {
		r.disown(ctx, s) // the guard may have heard of it, and must not stop what is another's
		return nil, err
	}
	ctx, abandon := r.untilAbandoned(ctx)
	defer abandon()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := r.Clock.Now()
	err = call(ctx)
	outcome := r.outcome(action, s, began, err)
	switch {
	case notBegun(err):
		r.disown(ctx, s)
	case err == nil:
		outcome = errors.Join(outcome, r.Guard.Begun(ctx, what))
	}
	return err, outcome
}

// intentTo says what is about to begin at a server, and how it can be ended.
func (r *Run) intentTo(action string, s server) (Intent, error) {
	what := Intent{Action: action, Target: s.Target.Name, Endpoint: s.Endpoint, Session: s.session, Engine: s.Target.Engine}
	var err error
	if what.Access, err = r.access(s.Target); err == nil && s.session != "" {
		what.GateSecret, err = r.gateSecret(s.Target)
	}
	return what, err
}

// disown notes that nothing of ours is on at an endpoint. A guard that is gone
// stops nothing any more, and need not know.
func (r *Run) disown(ctx context.Context, s server) {
	r.armed.remove(s)
	_ = r.Guard.Over(ctx, Intent{Target: s.Target.Name, Endpoint: s.Endpoint, Session: s.session})
}

// Owes tells whether a profiler may be on, or a launched server may run, because of this run.
func (r *Run) Owes() bool { return len(r.armed.list()) > 0 || len(r.processes) > 0 }

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

// stop asks one server to end its recording, and once more where the first
// answer proves nothing; a few times where the server itself says that its session
// goes on. The endpoint stays armed unless the server itself has answered, or nobody
// listens there any more.
//
// The journal's own errors do not keep a stop from being sent; its next line
// reports them.
func (r *Run) stop(ctx context.Context, s server) error {
	if s.session != "" {
		_, err := r.disarm(ctx, s)
		return err
	}
	var err error
	active, gone := false, false
	for try, tries := 0, 2; try < tries && !gone; try++ {
		if try > 0 && r.Clock.Sleep(ctx, stopAgainWait) != nil {
			break
		}
		_ = r.Emit(event.Intent{Place: r.Place, Action: "stop", Target: s.Target.Name, Endpoint: s.Endpoint})
		began := r.Clock.Now()
		err = s.Client.Stop(ctx)
		_ = r.outcome("stop", s, began, err)
		active = (err == nil || engine.StopAnswered(err)) && engine.Active(ctx, s.Client)
		if err == nil && !active || engine.NotRecording(err) {
			r.disown(ctx, s)
			return nil
		}
		gone = engine.Gone(err) && !r.comesBack(ctx, s)
		if active || engine.Gone(err) {
			tries = min(try+2, stopTries)
		}
	}
	switch {
	case active && err == nil:
		return errStillOn
	case active:
		return fmt.Errorf("%w: %w", errStillOn, err)
	case engine.StopAnswered(err), engine.Gone(err):
		r.disown(ctx, s)
	}
	return err
}

// comesBack tells whether somebody listens at an endpoint again, for which it waits a
// little: what refuses connections need not be the server itself. A launched server
// whose process has ended does not come back.
func (r *Run) comesBack(ctx context.Context, s server) bool {
	p, launched := r.processes[s.Target.Name]
	for began := r.Clock.Now(); r.Clock.Now().Sub(began) < goneFor; {
		if launched && hasEnded(p) {
			return false
		}
		if !engine.Gone(ready(ctx, s)) {
			return true
		}
		if r.Clock.Sleep(ctx, stopAgainWait/2) != nil {
			return false
		}
	}
	return false
}

func hasEnded(p Process) bool {
	select {
	case <-p.Exited():
		return true
	default:
		return false
	}
}

// errStillOn: the server says that its session goes on, whatever it answered.
var errStillOn = errors.New("the server says that its profiling session is still active")

func (r *Run) outcome(action string, s server, began time.Time, err error) error {
	ev := event.Outcome{Place: r.Place, Action: action, Target: s.Target.Name, Endpoint: s.Endpoint,
		Took: wire.Duration(r.Clock.Now().Sub(began))}
	if err != nil {
		ev.Error = err.Error()
	}
	return r.Emit(ev)
}

// stopArmed stops every profiler that may be on because of this run, all at once.
func (r *Run) stopArmed(ctx context.Context) error {
	servers := r.armed.list()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			errs[i] = safely("stop "+s.Endpoint, func() error { return r.stopOwed(ctx, s) })
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stopOwed is the last stop that is sent to an endpoint. Where it is not answered
// either, only a complete trace can tell that the profiler is off.
func (r *Run) stopOwed(ctx context.Context, s server) error {
	err := r.stop(ctx, s)
	switch {
	case err == nil:
		return nil
	case engine.Gone(err):
		return r.warn("%s: the server is gone, and its profiler with it: %v", s.Target.Name, err)
	case engine.StopAnswered(err) && !errors.Is(err, errStillOn):
		return r.warn("%s: %v: nothing was recording any more, or it could not write its trace", s.Target.Name, err)
	case errors.Is(err, gate.ErrSession):
		return r.warn("%s: the gate knows nothing of the window any more: it is not armed", s.Target.Name)
	case s.session != "":
		return finalServerFailure("%s: its gate may still be armed; it ends by itself %s after it last heard of us: %w", s.Target.Name, gateLease, err)
	case r.armed.hasWritten(s.Target) && !errors.Is(err, errStillOn):
		r.disown(ctx, s)
		return r.warn("%s: %v; its trace is complete, so its profiler is off", s.Target.Name, err)
	}
	return finalServerFailure("%s: its profiler may still be on (`profjob stop` stops it by hand): %w", s.Target.Name, err)
}
