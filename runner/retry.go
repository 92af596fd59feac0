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
	attempts := max(r.plan.Retry.Attempts, 1)
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Duration(r.plan.Retry.Initial)),
		backoff.WithMaxInterval(time.Duration(r.plan.Retry.Max)),
		backoff.WithMultiplier(r.plan.Retry.Multiplier),
		backoff.WithMaxElapsedTime(0))
	limited := backoff.WithContext(backoff.WithMaxRetries(policy, uint64(attempts-1)), ctx)
	tries := 0
	gaveUp := backoff.RetryNotify(func() error {
		tries++
		result, err = s.Do(ctx, r.run)
		return err
	}, limited, func(err error, wait time.Duration) {
		// The journal's next line reports an error of the journal itself.
		_ = r.emit(event.StepRetrying{Place: r.run.Place, Try: tries, Of: attempts, Wait: wire.Duration(wait), Error: err.Error()})
	})
	var permanent *backoff.PermanentError
	if gaveUp != nil && ctx.Err() != nil && !errors.As(err, &permanent) {
		return result, context.Cause(ctx) // the wait for another try was cut short
	}
	return result, err // as Do gave it: gaveUp has lost what stood around a permanent one
}
