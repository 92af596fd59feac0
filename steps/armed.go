package steps

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"profjob/internal/engine"
	"profjob/internal/event"
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
	return all
}

const (
	startTimeout  = time.Minute
	stopAgainWait = time.Second
)

// start asks one server to begin; from before the request until a stop the
// endpoint counts as armed, unless the answer proves that it is not.
func (r *Run) start(ctx context.Context, s server, w engine.StartOptions) error {
	r.armed.add(s)
	if err := r.intend(ctx, Intent{Action: "start", Target: s.Target.Name, Endpoint: s.Endpoint}); err != nil {
		r.armed.remove(s)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	began := r.Clock.Now()
	err := s.Client.Start(ctx, w)
	if engine.NotStarted(err) {
		r.armed.remove(s)
	}
	return errors.Join(err, r.outcome("start", s, began, err))
}

// stop asks one server to end its recording, and once more where the first
// answer proves nothing. The endpoint stays armed only where no answer came.
func (r *Run) stop(ctx context.Context, s server) error {
	var err error
	for try := range 2 {
		if try > 0 {
			if sleepErr := r.Clock.Sleep(ctx, stopAgainWait); sleepErr != nil {
				break
			}
		}
		began := r.Clock.Now()
		if emitErr := r.Emit(event.Intent{Place: r.Place, Action: "stop", Target: s.Target.Name, Endpoint: s.Endpoint}); emitErr != nil {
			_ = emitErr // the stop matters more than its journal line; the next line's error is reported
		}
		err = s.Client.Stop(ctx)
		emitErr := r.outcome("stop", s, began, err)
		if err == nil || engine.NotRecording(err) {
			r.armed.remove(s)
			return emitErr
		}
		if errors.Is(err, engine.ErrUnreachable) {
			r.armed.remove(s)
			return fmt.Errorf("stop: the server is gone: %w", err)
		}
	}
	var status *engine.StatusError
	if errors.As(err, &status) {
		r.armed.remove(s)
	}
	return err
}

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
		wg.Go(func() { errs[i] = r.stopOwed(ctx, s) })
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
	case r.armed.hasWritten(s.Target):
		r.armed.remove(s)
		return r.warn("%s: %v; its trace is complete, so its profiler is off", s.Target.Name, err)
	}
	return finalServerFailure("%s: its profiler may still be on (`profjob stop` stops it by hand): %w", s.Target.Name, err)
}
