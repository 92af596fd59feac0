package runner

import (
	"context"

	"profjob/internal/event"
	"profjob/steps"
)

// contexts are those of the plan steps, by what ends them. Each ends with the
// cause steps.ErrInterrupted.
type contexts struct {
	work context.Context // the first interrupt: what comes before there is something to keep
	keep context.Context // the second: collecting and verifying
	seal context.Context // the third: cleanup and sealing
	// interrupted tells whether the run has been told to end.
	interrupted func() bool
	cancel      func()
}

// contexts ties the user's interrupts to the plan steps that each ends. The
// caller's own end counts as the first interrupt.
func (r *runner) contexts(caller context.Context) contexts {
	detached := context.WithoutCancel(caller)
	work, endWork := context.WithCancelCause(detached)
	keep, endKeep := context.WithCancelCause(detached)
	seal, endSeal := context.WithCancelCause(detached)
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		called := caller.Done()
		for i, end := range []context.CancelCauseFunc{endWork, endKeep, endSeal} {
			select {
			case <-r.opts.Interrupts.Level(i + 1):
			case <-called:
			case <-done:
				return
			}
			called = nil // it ends once
			end(steps.ErrInterrupted)
			_ = r.emit(event.Interrupted{Count: i + 1}) // an error of the journal is reported by its next line
		}
	}()
	return contexts{work: work, keep: keep, seal: seal,
		interrupted: func() bool { return r.opts.Interrupts.Count() > 0 || caller.Err() != nil },
		cancel: func() {
			close(done)
			<-watched
			endWork(context.Canceled)
			endKeep(context.Canceled)
			endSeal(context.Canceled)
		}}
}
