package engine

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
)

// The errors that callers tell apart.
var (
	// ErrUnreachable: no connection could be made, so nothing was asked.
	ErrUnreachable = errors.New("server is not reachable")
	// ErrNotServer: something answers, but no server of this kind.
	ErrNotServer = errors.New("not a server of this kind")
	// ErrNotConfigured: the server was launched without its profiler (404 at start).
	ErrNotConfigured = errors.New("profiling is not configured on the server")
	// ErrBusy: a session that is not ours is recording (409 at start).
	ErrBusy = errors.New("another profiling session is active")
	// ErrRefused: the server refused the request as it was put (400, 401, 403, 422).
	ErrRefused = errors.New("the server refused the request")
	// ErrNotSent: a start was given up before anything was sent to the server.
	ErrNotSent = errors.New("nothing was sent to the server")
	// ErrIdle: the server says that nothing was recording.
	ErrIdle = errors.New("no profiling session was active")
)

// StatusError is an answer with a status that is not a success.
type StatusError struct {
	Op   string // "start profile"
	URL  string
	Code int
	Body string // the beginning of what the server said, one line
	Err  error  // one of this package's errors, or nil
}

// Error tells the operation, the URL, the status and what the server said.
func (e *StatusError) Error() string {
	msg := fmt.Sprintf("%s: %s answered %d", e.Op, e.URL, e.Code)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	if e.Body != "" {
		msg += ": " + e.Body
	}
	return msg
}

// Unwrap gives the error of this package that the status stands for.
func (e *StatusError) Unwrap() error { return e.Err }

// NotStarted tells of an error of Client.Start whether it proves that nothing
// of ours is recording: a stop must then not be sent, since the session that
// may be recording belongs to someone else.
func NotStarted(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNotConfigured) ||
		errors.Is(err, ErrBusy) || errors.Is(err, ErrRefused) || errors.Is(err, ErrNotSent)
}

// NotRecording tells of an error of Client.Stop whether the server says that
// nothing was recording any more.
func NotRecording(err error) bool { return errors.Is(err, ErrIdle) }

// StopAnswered tells of an error of Client.Stop whether the server has dealt with the
// stop all the same: vLLM up to 0.15 and SGLang answer 500 where nothing was
// recording, and where they could not write their files. Other statuses are of
// something before the server, or mean that it was not asked at all.
func StopAnswered(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == http.StatusInternalServerError
}

// Gone tells of an error of any method whether nobody listens at the endpoint any more.
func Gone(err error) bool {
	return errors.Is(err, ErrUnreachable) && errors.Is(err, syscall.ECONNREFUSED)
}
