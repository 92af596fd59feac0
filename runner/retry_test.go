package runner

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
	"profjob/steps"
)

// flaky fails so often with a transient error, or with a permanent one.
func flaky(failures int, err error) (*fake, *int) {
	tries := 0
	return &fake{id: "a", do: func(context.Context, *steps.Run) (any, error) {
		if tries++; tries <= failures {
			return nil, err
		}
		return nil, nil
	}}, &tries
}

func TestRetries(t *testing.T) {
	transient := errors.New("not yet")
	for _, c := range []struct {
		name     string
		attempts int
		failures int
		err      error
		tries    int
		exit     int
	}{
		{"no failure", 3, 0, nil, 1, 0},
		{"transient, then well", 3, 2, transient, 3, 0},
		{"transient for too long", 3, 9, transient, 3, 1},
		{"one try only", 1, 1, transient, 1, 1},
		{"no number of tries", 0, 1, transient, 1, 1},
		{"permanent", 3, 1, backoff.Permanent(transient), 1, 1},
		{"permanent inside", 3, 1, &wrapped{"outer", backoff.Permanent(transient)}, 1, 1},
		{"a final failure is transient within its plan step", 3, 2, failure(steps.ExitServer, true), 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				step, tries := flaky(c.failures, c.err)
				plan := planOf(step)
				plan.Retry.Attempts = c.attempts
				result := run(t, plan)
				if *tries != c.tries || result.Exit != c.exit {
					t.Errorf("%d tries and exit %d, want %d and %d (%q)", *tries, result.Exit, c.tries, c.exit, result.Errors)
				}
				retrying := only(journaled(t, result.Path), "step_retrying")
				if len(retrying) != c.tries-1 {
					t.Errorf("journaled %+v", retrying)
				}
				for i, e := range retrying {
					if e.Data.Try != i+1 || e.Data.Of != c.attempts || e.Data.Error == "" || e.Data.Step != "a" {
						t.Errorf("journaled %+v", e)
					}
				}
			})
		})
	}
}

// The waits grow as the plan says, up to the most, with some jitter.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step, _ := flaky(9, errors.New("not yet"))
		plan := planOf(step)
		plan.Retry.Attempts, plan.Retry.Max = 6, plan.Retry.Initial*6
		began := time.Now()
		result := run(t, plan)
		var sum time.Duration
		for i, e := range only(journaled(t, result.Path), "step_retrying") {
			want := min(time.Second<<i, 6*time.Second)
			wait := time.Duration(e.Data.Wait)
			if wait < want/2 || wait > want*3/2 {
				t.Errorf("wait %d is %s, want about %s", i+1, wait, want)
			}
			sum += wait
		}
		if took := time.Since(began); took != sum {
			t.Errorf("the run took %s, its waits %s", took, sum)
		}
	})
}

// An interrupt cuts the wait for another try short.
func TestInterruptInAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step, tries := flaky(9, errors.New("not yet"))
		plan := planOf(step)
		plan.Retry.Initial *= 3600
		interrupts := &steps.Interrupts{}
		go func() {
			time.Sleep(time.Minute)
			interrupts.Signal()
		}()
		began := time.Now()
		result := run(t, plan, func(o *Options) { o.Interrupts = interrupts })
		result.ended(t, archive.StatusInterrupted, steps.ExitInterrupted, "interrupted")
		if *tries != 1 || time.Since(began) != time.Minute {
			t.Errorf("%d tries in %s", *tries, time.Since(began))
		}
	})
}
