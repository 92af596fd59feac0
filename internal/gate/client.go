package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"profjob/internal/access"
	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

const (
	path = "/profjob/gate/"

	// maxAnswer bounds an answer, in bytes: 10000 steps take about 2 MiB a worker.
	maxAnswer    = 256 << 20
	shortTimeout = 90 * time.Second // the gate gives its workers 60 s
	// armTimeout: the gate gives its workers 5 min, for the first start of a profiler.
	armTimeout = 6 * time.Minute
)

// Client speaks to the gate of one API server. It keeps no connection between
// two calls and may be used from several goroutines. Every error but those of
// the context and the connection is an *Error.
type Client struct {
	http    *exchange.Client
	secrets []string // that the server is shown
}

// New makes a client for the API server at the endpoint that wants nothing but the
// secret; it sends nothing.
// With a nil hc it makes its own HTTP client.
func New(endpoint, secret string, hc *http.Client) (*Client, error) {
	return connect(endpoint, secret, access.Access{}, hc)
}

// SecretHeader carries the gate's secret where Authorization is taken by a bearer
// token that something before the server wants.
const SecretHeader = "X-Profjob-Gate"

// NewFor makes a client for the API server at the endpoint, which wants to be shown
// what a holds; it sends nothing.
func NewFor(endpoint, secret string, a access.Access) (*Client, error) {
	return connect(endpoint, secret, a, nil)
}

func connect(endpoint, secret string, a access.Access, hc *http.Client) (*Client, error) {
	if secret == "" {
		return nil, fmt.Errorf("gate of %s: no secret", endpoint)
	}
	if a.Bearer == "" {
		a.Bearer = secret
	} else {
		a = a.With(access.Key{Header: SecretHeader, Value: secret})
	}
	c, err := exchange.New(endpoint, a, hc)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	return &Client{http: c, secrets: a.Secrets()}, nil
}

// Hello asks what the gate is and can do. The error wraps ErrAbsent where the
// server has none, ErrSecret where the secret is wrong, and ErrProtocol where it
// is one that this package cannot speak to; what it said is given all the same.
func (c *Client) Hello(ctx context.Context) (*Hello, error) {
	var h Hello
	a, err := c.do(ctx, exchange.Request{Op: "ask the gate", Path: path + "hello", Timeout: shortTimeout}, &h)
	if err != nil {
		return nil, err
	}
	if h.Protocol != Protocol {
		return &h, &Error{Op: a.Op, URL: a.URL, Status: a.Status, Err: ErrProtocol,
			Message: fmt.Sprintf("gate %s speaks protocol %d, profjob %d", exchange.Line([]byte(h.Gate), c.secrets...), h.Protocol, Protocol)}
	}
	return &h, nil
}

// Arm arms a session on every worker of the server. When it returns without an
// error, the window opens at the next step that fits. After an error of which
// NothingArmed is false the session may be armed: Disarm it.
func (c *Client) Arm(ctx context.Context, r ArmRequest) (*Status, error) {
	return c.post(ctx, "arm the gate", "arm", r.body(), armTimeout)
}

// Status asks for the state of a session and renews its lease. Where a worker
// has failed it also ends the session on all others.
//
// Each call interrupts every engine core between two steps, for about a
// millisecond on a server of one worker: ask a few times a second at most.
func (c *Client) Status(ctx context.Context, session string) (*Status, error) {
	var s Status
	_, err := c.do(ctx, exchange.Request{Op: "ask for the gate's session", Path: path + "status?session=" + url.QueryEscape(session), Timeout: shortTimeout}, &s)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// Renew gives a session that is armed or recording a lease from now on, of 1 s
// to 1 h; 0 is the lease that it was armed with.
func (c *Client) Renew(ctx context.Context, session string, lease time.Duration) (*Status, error) {
	body := struct {
		Session string  `json:"session"`
		Lease   float64 `json:"lease_s,omitempty"`
	}{session, lease.Seconds()}
	return c.post(ctx, "renew the gate's session", "renew", body, shortTimeout)
}

// Disarm ends a session: the profiler is stopped, and what was recorded is
// written, which Status tells of. It may be called any number of times. Where no
// worker knows the session, the error wraps ErrSession: nothing is armed.
func (c *Client) Disarm(ctx context.Context, session string) (*Status, error) {
	body := struct {
		Session string `json:"session"`
	}{session}
	return c.post(ctx, "disarm the gate", "disarm", body, shortTimeout)
}

// Delete removes a file that the session lists from the server.
func (c *Client) Delete(ctx context.Context, session, name string) error {
	_, err := c.do(ctx, exchange.Request{Op: "delete " + name + " at the gate", Method: http.MethodDelete, Path: filePath(session, name), Timeout: shortTimeout}, nil)
	return err
}

func (c *Client) post(ctx context.Context, op, route string, body any, timeout time.Duration) (*Status, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	var s Status
	if _, err := c.do(ctx, exchange.Request{Op: op, Method: http.MethodPost, Path: path + route, JSON: data, Timeout: timeout}, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// do asks and decodes a success into v.
func (c *Client) do(ctx context.Context, r exchange.Request, v any) (*exchange.Answer, error) {
	r.Limit, r.Accept = maxAnswer, "application/json"
	a, err := c.http.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, refusal(a, c.secrets)
	}
	if v == nil {
		return a, nil
	}
	if !strings.Contains(a.Header.Get("Content-Type"), "json") {
		return nil, &Error{Op: a.Op, URL: a.URL, Status: a.Status, Err: ErrAbsent, Message: a.Said()}
	}
	if err := a.JSON(v); err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrNotServer, err)
	}
	return a, nil
}
