package runner

import (
	"context"

	"profjob/steps"
)

// contexts are those of the plan steps, by what ends them.
type contexts struct {
	work   context.Context // the first interrupt: what comes before there is something to keep
	keep   context.Context // the second: collecting and verifying
	seal   context.Context // the third: cleanup and sealing
	cancel func()
}

// contexts ties the user's interrupts to the plan steps that each ends. The
// caller's own end counts as the first interrupt.
func (r *runner) contexts(ctx context.Context) contexts {
	detached := context.WithoutCancel(ctx)
	work, cancelWork := r.endedBy(ctx, 1)
	keep, cancelKeep := r.endedBy(detached, 2)
	seal, cancelSeal := r.endedBy(detached, 3)
	return contexts{work: work, keep: keep, seal: seal, cancel: func() {
		cancelWork()
		cancelKeep()
		cancelSeal()
	}}
}

// endedBy gives a context that the n-th interrupt ends.
func (r *runner) endedBy(parent context.Context, n int) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	level := r.opts.Interrupts.Level(n)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-level:
			cancel(steps.ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}
