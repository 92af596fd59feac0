// Package exchange asks an HTTP server one thing and gives its answer, whoever
// that server turns out to be. Answers are bounded in size and time, what one
// server is shown goes to no other, and an error tells whether
// the request can have reached the server at all.
//
// It knows no kind of server: what a status means is the caller's to say.
package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"profjob/internal/access"
	"profjob/internal/engine"
)

const (
	dialTimeout = 10 * time.Second
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// maxRefusal is how much of the body is read of an answer of which only the
	// status matters, in bytes, and refusalTimeout for how long.
	maxRefusal     = 64 << 10
	refusalTimeout = 5 * time.Second
	maxRedirects   = 3
	userAgent      = "profjob"
)

// Client asks one server. It keeps no connection and no goroutine between two
// requests: a connection that the server is just closing could otherwise carry
// away a request of which nobody knows whether it was heard. It may be used
// from several goroutines.
type Client struct {
	base   *url.URL
	access access.Access
	http   *http.Client
	own    bool // the transport is newTransport's, so its traces can be trusted
}

// New makes a client for the server at the endpoint, an http or https URL of
// which a path is kept as a prefix. It sends nothing. With a nil hc it makes
// its own HTTP client, for which it reads the files of a.TLS; of one that is given,
// only the redirect policy is not used, and TLS is as it says.
func New(endpoint string, a access.Access, hc *http.Client) (*Client, error) {
	base, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", endpoint, err)
	}
	c := &Client{base: base, access: a, http: &http.Client{}}
	if hc != nil {
		*c.http = *hc
	}
	if c.http.Transport == nil {
		secure, err := a.TLS.Config()
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", endpoint, err)
		}
		c.http.Transport, c.own = newTransport(secure), true
	}
	c.http.CheckRedirect = sameHostOnly
	return c, nil
}

func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		// url.Error repeats the text, which may hold a password.
		return nil, errors.New("endpoint: not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %s: want a URL like http://HOST:PORT", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("endpoint %s: no host", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("endpoint %s: a user or password in the URL would end up in logs", u.Redacted())
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("endpoint %s: an endpoint has no query and no fragment", u.Redacted())
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func newTransport(secure *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		// An empty map leaves HTTP/2 out, which would keep connections.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// sameHostOnly lets a GET be redirected within its host. Any other redirect is
// given to the caller as the answer that it is: the method or what the server is
// shown would not survive it, or should not.
func sameHostOnly(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || len(via) > maxRedirects ||
		req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Endpoint is the base URL, without a trailing slash.
func (c *Client) Endpoint() string { return c.base.String() }

// Request is one thing to ask.
type Request struct {
	Op     string // what is being done, for errors: "start profile"
	Method string // "": GET
	Path   string // below the endpoint, with a leading slash; may carry a query
	JSON   []byte // the body; nil: none
	Accept string // "": not sent
	// Limit bounds the body of a successful answer, in bytes. 0: only the status
	// matters; the body must end within 64 KiB and 5 s all the same.
	Limit   int64
	Timeout time.Duration // for the whole exchange; 0: as long as the context allows
}

// Answer is what a server answered, whatever the status.
type Answer struct {
	Op     string
	URL    string
	Status int
	Header http.Header
	Body   []byte // all of it if the status is a success and the request set a Limit, else its beginning

	secrets []string // that the server was shown
}

// OK tells whether the status is a success.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Do asks once. The error is nil whenever the server answered, whatever the
// status. Else it wraps engine.ErrUnreachable if the request certainly did not
// reach a server, is a *LimitError if the answer was too large, and wraps
// context.DeadlineExceeded if the answer took longer than the request's Timeout.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	target := c.base.String() + r.Path
	asked := ctx
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fail := func(err error) error {
		return failure{r: r, url: target, asked: asked, now: ctx, shown: c.access}.wrap(err)
	}

	ctx, connected := traceConnection(ctx)
	req, err := c.request(ctx, r, target)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if c.neverSent(err, connected()) {
			return nil, fmt.Errorf("%w: %w", engine.ErrUnreachable, fail(err))
		}
		return nil, fail(err)
	}
	defer resp.Body.Close()
	answer := &Answer{Op: r.Op, URL: target, Status: resp.StatusCode, Header: resp.Header, secrets: c.access.Secrets()}
	if !answer.OK() || r.Limit <= 0 {
		if err := answer.begin(resp.Body, cancel, fail); err != nil {
			return nil, err
		}
		return answer, nil
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" && !resp.Uncompressed {
		return nil, fail(fmt.Errorf("the answer is in the encoding %q, which was not asked for", Line([]byte(coding), "")))
	}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, r.Limit+1))
	if int64(len(answer.Body)) > r.Limit {
		return nil, &LimitError{Op: r.Op, URL: target, Limit: r.Limit}
	}
	if err != nil {
		return nil, fail(fmt.Errorf("read the answer's body: %w", err))
	}
	return answer, nil
}

// begin reads the beginning of a body of which only the status matters. A success
// whose body does not end is no server's own answer: what it stands for may not
// have been done.
func (a *Answer) begin(body io.Reader, cancel func(), fail func(error) error) error {
	defer time.AfterFunc(refusalTimeout, cancel).Stop()
	data, err := io.ReadAll(io.LimitReader(body, maxRefusal+1))
	a.Body = data[:min(len(data), maxRefusal)]
	switch {
	case !a.OK():
		return nil
	case len(data) > maxRefusal:
		return &LimitError{Op: a.Op, URL: a.URL, Limit: maxRefusal}
	case err != nil:
		return fail(fmt.Errorf("read the answer's body: %w", err))
	}
	return nil
}

func (c *Client) request(ctx context.Context, r Request, target string) (*http.Request, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if r.JSON != nil {
		body = strings.NewReader(string(r.JSON))
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Op, err)
	}
	req.Header.Set("User-Agent", userAgent)
	if r.JSON != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.Accept != "" {
		req.Header.Set("Accept", r.Accept)
	}
	c.access.Show(req.Header)
	return req, nil
}
