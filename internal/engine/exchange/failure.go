package exchange

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"profjob/internal/access"
)

// LimitError tells that a server's answer was larger than what is read of it.
type LimitError struct {
	Op    string
	URL   string
	Limit int64 // bytes
}

// Error names the operation, the URL and the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s answered with more than the limit of %d bytes", e.Op, e.URL, e.Limit)
}

// failure says in one line what was asked and why there is no answer.
type failure struct {
	r          Request
	url        string
	asked, now context.Context // the caller's, and the one with the request's own timeout
	shown      access.Access
}

func (f failure) wrap(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // what is around it repeats the method and the URL
	}
	if ended := f.asked.Err(); ended != nil {
		if cause := context.Cause(f.asked); cause != ended {
			ended = fmt.Errorf("%w: %w", ended, cause)
		}
		return fmt.Errorf("%s: %s: %w", f.r.Op, f.url, ended)
	}
	if errors.Is(f.now.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: %s: no complete answer within %s: %w", f.r.Op, f.url, f.r.Timeout, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %s: %w", f.r.Op, f.url, f.unseen(err))
}

// unseen takes what the server was shown out of an error: net/http repeats the
// beginning of an answer that is no HTTP, which may be the request.
func (f failure) unseen(err error) error {
	text := f.shown.Redact(err.Error())
	if text == err.Error() {
		return err
	}
	return &redacted{text: text, err: err}
}

// redacted is an error with another text.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }

func (e *redacted) Unwrap() error { return e.err }

// traceConnection tells afterwards whether a connection was there for a request
// to be written to.
func traceConnection(ctx context.Context) (context.Context, func() bool) {
	var got atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got.Store(true) }}
	return httptrace.WithClientTrace(ctx, trace), got.Load
}

// neverSent tells whether nothing of a request can have reached the server.
// Through a foreign transport, which need not report its connections, only
// errors of dialling and of name resolution prove it.
func (c *Client) neverSent(err error, connected bool) bool {
	if connected {
		return false
	}
	if c.own {
		return true
	}
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}
