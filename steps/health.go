package steps

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"profjob/internal/engine"
)

// unhealthy waits until a server does not serve any more, or all of the load
// fails, and gives that as an error; nil once ctx has ended. doing says what the
// server did meanwhile ("recorded"), patience how long it may go on with an error.
func (r *Run) unhealthy(ctx context.Context, s server, doing string, patience func(error) time.Duration) error {
	answered := r.Clock.Now()
	for r.Clock.Sleep(ctx, checkEvery) == nil {
		if t := r.traffic; t != nil {
			if err := failing(t.run.Stats()); err != nil {
				return err
			}
		}
		err := ready(ctx, s)
		if ctx.Err() != nil {
			break
		}
		now := r.Clock.Now()
		if err == nil {
			answered = now
			continue
		}
		if now.Sub(answered) >= patience(err) {
			return finalServerFailure("%s died while it %s: %w", s.Target.Name, doing, err)
		}
	}
	return nil
}

func ready(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s.Client.Ready(ctx)
}

// patience is how long a server may go on with such an error before it counts as
// dead. One whose answers do not come may only be busy: starting and writing freeze
// some servers for half a minute (SGLang 34942).
func patience(err error) time.Duration {
	const refused, failing, mute = 0, 2 * time.Second, time.Minute
	var status *engine.StatusError
	switch {
	case engine.Gone(err):
		return refused
	case errors.As(err, &status):
		return failing
	}
	return mute
}

// patienceOfWriting is that with a server which writes: as long as its answers do not
// come it may be frozen for many minutes (vLLM 22748, 54322).
func patienceOfWriting(err error) time.Duration {
	if errors.Is(err, context.DeadlineExceeded) {
		return math.MaxInt64
	}
	return patience(err)
}

// overBefore waits for the end of a launched server and gives it as an error; nil
// where ctx ended before.
func overBefore(ctx context.Context, p Process, t Target, doing string) error {
	select {
	case <-p.Exited():
		return finalServerFailure("%s ended while it %s (%w)", t.Name, doing, exitText(p))
	case <-ctx.Done():
		return nil
	}
}

// whileAlive gives a context that ends, with the reason as its cause, once one of
// the servers has died or all of the load fails. The caller calls stop, which
// returns when nothing looks at the servers any more.
func (r *Run) whileAlive(ctx context.Context, servers []server, doing string, patience func(error) time.Duration) (alive context.Context, stop func()) {
	alive, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	watch := func(where string, wait func() error) {
		wg.Go(func() {
			if err := safely("watch "+where, wait); err != nil {
				cancel(err)
			}
		})
	}
	watched := map[string]bool{}
	for _, s := range servers {
		watch(s.Endpoint, func() error { return r.unhealthy(alive, s, doing, patience) })
		if p, launched := r.processes[s.Target.Name]; launched && !watched[s.Target.Name] {
			watched[s.Target.Name] = true
			watch(s.Target.Name, func() error { return overBefore(alive, p, s.Target, doing) })
		}
	}
	return alive, func() {
		cancel(context.Canceled)
		wg.Wait()
	}
}
