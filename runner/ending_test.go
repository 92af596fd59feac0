package runner

import (
	"errors"
	"fmt"
	"testing"

	"profjob/internal/archive"
	"profjob/steps"
)

func TestWorst(t *testing.T) {
	server, window, incomplete := failure(steps.ExitServer, true), failure(steps.ExitWindow, false), failure(steps.ExitIncomplete, false)
	for _, c := range []struct {
		name  string
		err   error
		exit  int
		final bool
	}{
		{"plain", errors.New("x"), steps.ExitFailed, false},
		{"one", window, steps.ExitWindow, false},
		{"wrapped", fmt.Errorf("outer: %w", window), steps.ExitWindow, false},
		{"server before window", errors.Join(window, server), steps.ExitServer, true},
		{"incomplete before window", errors.Join(window, fmt.Errorf("a: %w", errors.Join(incomplete))), steps.ExitIncomplete, false},
		{"a defect before all", errors.Join(server, steps.Defect("x", "y")), steps.ExitFailed, true},
		{"plain beside one", errors.Join(errors.New("x"), window), steps.ExitWindow, false},
		{"interrupted before all", errors.Join(steps.Defect("x", "y"), steps.ErrInterrupted), steps.ExitInterrupted, true},
		{"the outer of two", &steps.Failure{Status: archive.StatusIncomplete, Exit: steps.ExitIncomplete, Err: server}, steps.ExitIncomplete, false},
	} {
		if f := worst(c.err); f.Exit != c.exit || isFinal(c.err) != c.final {
			t.Errorf("%s: exit %d, final %t, want %d, %t", c.name, f.Exit, isFinal(c.err), c.exit, c.final)
		}
	}
	if worst(nil) != nil || isFinal(nil) {
		t.Error("no error is a failure")
	}
}
