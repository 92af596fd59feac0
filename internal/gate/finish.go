package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"profjob/internal/engine"
)

const (
	// finishTries is how often in a row Finish asks in vain.
	finishTries = 3
	finishPoll  = 100 * time.Millisecond
	// writing is how long a worker may take to write what it has recorded.
	writing = 30 * time.Minute
)

// Finish disarms a session and waits until what it recorded is written. A question
// that fails is asked again, a few times. The error wraps ErrSession where no
// worker knows the session: nothing is armed.
func (c *Client) Finish(ctx context.Context, session string) (*Status, error) {
	var status *Status
	var err error
	for began, failures := time.Now(), 0; ; {
		if status == nil {
			status, err = c.Disarm(ctx, session)
		} else {
			var now *Status
			if now, err = c.Status(ctx, session); err == nil {
				status = now
			}
		}
		switch {
		case err == nil && status.State.Ended():
			return status, nil
		case errors.Is(err, ErrSession), engine.Gone(err):
			return nil, err
		case err != nil:
			if failures++; failures >= finishTries {
				return nil, err
			}
		case time.Since(began) > writing:
			return status, fmt.Errorf("the gate is still %s after %s", status.State, writing)
		}
		pause := time.NewTimer(finishPoll << (2 * failures))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
}
