package engine

import (
	"errors"
	"fmt"
	"testing"
)

// TestNotStarted: a stop is taken back only where the error proves that
// nothing of ours records.
func TestNotStarted(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("connection reset"), false},
		{ErrNotServer, false},
		{ErrIdle, false},
		{ErrUnreachable, true},
		{ErrNotConfigured, true},
		{ErrBusy, true},
		{ErrRefused, true},
		{ErrNotSent, true},
		{fmt.Errorf("op: %w: %w", ErrUnreachable, errors.New("refused")), true},
		{&StatusError{Code: 500}, false},
		{&StatusError{Code: 409, Err: ErrBusy}, true},
		{&StatusError{Code: 404, Err: fmt.Errorf("%w: set it", ErrNotConfigured)}, true},
	} {
		if got := NotStarted(c.err); got != c.want {
			t.Errorf("NotStarted(%v) is %t, want %t", c.err, got, c.want)
		}
	}
	if NotRecording(&StatusError{Code: 500}) || !NotRecording(&StatusError{Code: 404, Err: ErrIdle}) {
		t.Error("NotRecording")
	}
}

func TestStatusErrorText(t *testing.T) {
	e := &StatusError{Op: "start profile", URL: "http://h/start_profile", Code: 409, Body: "said", Err: ErrBusy}
	if want := "start profile: http://h/start_profile answered 409: another profiling session is active: said"; e.Error() != want {
		t.Errorf("got %q, want %q", e, want)
	}
	e = &StatusError{Op: "stop profile", URL: "u", Code: 500}
	if want := "stop profile: u answered 500"; e.Error() != want {
		t.Errorf("got %q, want %q", e, want)
	}
}
