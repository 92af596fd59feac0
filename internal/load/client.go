package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"profjob/internal/access"
)

const (
	// maxErrorBody is the most bytes that are read of an answer that is an error.
	maxErrorBody = 64 << 10
	// drainTime is how long the end of the connection's answer may take after
	// [DONE]; after that the connection is not used again.
	drainTime = time.Second
)

var errTimeout = errors.New("request timeout")

// client sends requests and measures their answers. Safe for concurrent use.
type client struct {
	http    *http.Client
	path    string
	access  access.Access
	timeout time.Duration
	now     func() time.Time
}

func newClient(c Config, transport http.RoundTripper) *client {
	return &client{
		http:    &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		path:    c.API.path(),
		access:  c.Access,
		timeout: c.RequestTimeout,
		now:     time.Now,
	}
}

// checkRedirect lets a request be sent on within its server only: another host
// would be measured, and loaded, without having been named.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme:
		return fmt.Errorf("redirect to another server (%s://%s) is not followed", req.URL.Scheme, req.URL.Host)
	case req.Method != first.Method:
		return fmt.Errorf("redirect would turn %s into %s", first.Method, req.Method)
	case len(via) > 3:
		return errors.New("more than 3 redirects")
	}
	return nil
}

// do sends a request and gives its record. When ctx ends the request is cancelled.
func (c *client) do(ctx context.Context, record Record, body []byte) Record {
	record = c.measure(ctx, record, body)
	record.Start = record.Start.UTC()
	return record
}

func (c *client) measure(ctx context.Context, record Record, body []byte) Record {
	requestCtx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()

	var a answer
	record.Start = c.now() // with the monotonic clock, for the differences
	err := c.exchange(requestCtx, cancel, &record, body, &a)
	record.take(&a)
	if err == nil {
		record.finish(&a)
		return record
	}
	record.E2E = c.now().Sub(record.Start).Nanoseconds()
	var broken *transportError
	switch atTransport := errors.As(err, &broken); {
	case atTransport && ctx.Err() != nil:
		record.Cancelled = true
	case atTransport && context.Cause(requestCtx) == errTimeout:
		record.Error = fmt.Sprintf("no complete answer within the request timeout of %s", c.timeout)
	default:
		record.Error = c.access.Redact(withoutPorts(err))
	}
	return record
}

// withoutPorts gives an error's text without the local address of its connection,
// which differs in each and would make one error look like many.
func withoutPorts(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Source == nil {
		return err.Error()
	}
	short := *op
	short.Source = nil
	return strings.Replace(err.Error(), op.Error(), short.Error(), 1)
}

// transportError is a failure of the connection, not of what came over it: it may
// be the consequence of a cancellation.
type transportError struct{ error }

func (e *transportError) Unwrap() error { return e.error }

func (c *client) exchange(ctx context.Context, cancel context.CancelFunc, record *Record, body []byte, a *answer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(record.Endpoint, "/")+c.path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	c.access.Show(req.Header)
	resp, err := c.http.Do(req)
	if err != nil {
		return &transportError{err}
	}
	defer resp.Body.Close()
	record.Status = resp.StatusCode
	if err := c.checkAnswer(resp); err != nil {
		return err
	}
	return c.stream(resp.Body, cancel, a)
}

// checkAnswer tells an answer that is not a stream.
func (c *client) checkAnswer(resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusOK && kind != "application/json" {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return &transportError{fmt.Errorf("HTTP %d: read its body: %w", resp.StatusCode, err)}
	}
	message := errorMessage([]byte(c.access.Redact(string(text)))) // before it is cut, so that nothing is left of half a secret
	if resp.StatusCode == http.StatusOK {
		return fmt.Errorf("answer is not a stream but %s: %s", kind, message)
	}
	return fmt.Errorf("HTTP %d: %s", resp.StatusCode, message)
}

// stream reads an answer to its end. After [DONE] it reads on, so that the
// connection can be used again, but not for long.
func (c *client) stream(body io.Reader, cancel context.CancelFunc, a *answer) error {
	source := &stampedReader{source: body, now: c.now}
	events := newEventReader(source)
	for {
		data, err := events.next()
		switch {
		case err == io.EOF:
			return a.end()
		case a.done && err != nil:
			return a.end()
		case source.failed && err != nil:
			return &transportError{fmt.Errorf("read the stream: %w", err)}
		case err != nil:
			return fmt.Errorf("read the stream: %w", err)
		}
		wasDone := a.done
		if err := a.event(data, source.at); err != nil {
			return err
		}
		if a.done && !wasDone {
			defer time.AfterFunc(drainTime, cancel).Stop()
		}
	}
}

// stampedReader keeps the time at which the last read returned, and whether it
// failed: then an error is the connection's.
type stampedReader struct {
	source io.Reader
	now    func() time.Time
	at     time.Time
	failed bool
}

func (r *stampedReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.at = r.now()
	r.failed = err != nil && err != io.EOF
	return n, err
}
