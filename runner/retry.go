package runner

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/event"
	"profjob/internal/wire"
	"profjob/steps"
)

// retrying carries out a plan step, and again after a transient error as the
// plan says. The result of the last try is given also where it failed.
func (r *runner) retrying(ctx context.Context, s steps.Step) (result any, err error) {
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Duration(r.plan.Retry.Initial)),
		backoff.WithMaxInterval(time.Duration(r.plan.Retry.Max)),
		backoff.WithMultiplier(r.plan.Retry.Multiplier),
		backoff.WithMaxElapsedTime(0))
	limited := backoff.WithContext(backoff.WithMaxRetries(policy, uint64(r.plan.Retry.Attempts-1)), ctx)
	tries := 0
	err = backoff.RetryNotify(func() error {
		tries++
		var err error
		result, err = s.Do(ctx, r.run)
		return err
	}, limited, func(err error, wait time.Duration) {
		// The journal's next line reports an error of the journal itself.
		_ = r.emit(event.StepRetrying{Place: r.run.Place, Try: tries, Of: r.plan.Retry.Attempts, Wait: wire.Duration(wait), Error: err.Error()})
	})
	// Between two tries only an interrupt or the caller's end can cut the wait short.
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = context.Cause(ctx)
	}
	return result, err
}
