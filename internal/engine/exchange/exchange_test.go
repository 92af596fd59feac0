package exchange

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"profjob/internal/access"
	"profjob/internal/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func client(t *testing.T, endpoint, bearer string) *Client {
	t.Helper()
	c, err := New(endpoint, access.Access{Bearer: bearer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ in, want, err string }{
		{"http://127.0.0.1:8000", "http://127.0.0.1:8000", ""},
		{"http://h:8000/", "http://h:8000", ""},
		{"https://proxy/proxy/10.0.0.1:8000//", "https://proxy/proxy/10.0.0.1:8000", ""},
		{"http://[::1]:8000", "http://[::1]:8000", ""},
		{"h:8000", "", "want a URL"},
		{"ftp://h", "", "want a URL"},
		{"", "", "want a URL"},
		{"http://", "", "no host"},
		{"http://:8000", "", "no host"},
		{"http://u:hunter2@h", "", "user or password"},
		{"http://h?x=1", "", "no query"},
		{"http://h#x", "", "no fragment"},
		{"http://u:hunter2@h:port", "", "not a URL"},
	} {
		got, err := New(c.in, access.Access{}, nil)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%q: %v", c.in, err)
		case c.err == "" && got.Endpoint() != c.want:
			t.Errorf("%q: got %q, want %q", c.in, got.Endpoint(), c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: got %v, want an error with %q", c.in, err, c.err)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%q: the error shows the password: %v", c.in, err)
		}
	}
	if _, err := New("http://h", access.Access{Bearer: "a\nb"}, nil); err == nil || strings.Contains(err.Error(), "a\n") {
		t.Errorf("a bearer token with a line break: got %v", err)
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "hello")
	})
	a, err := client(t, url+"/prefix", "tok").Do(t.Context(), Request{
		Op: "ask", Method: http.MethodPost, Path: "/x?y=1", JSON: []byte(`{"a":1}`), Accept: "text/plain", Limit: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Body) != "hello" || !a.OK() || a.URL != url+"/prefix/x?y=1" {
		t.Errorf("answer %+v", a)
	}
	h := got.Header
	if got.URL.String() != "/prefix/x?y=1" || h.Get("Authorization") != "Bearer tok" || h.Get("User-Agent") != "profjob" ||
		h.Get("Content-Type") != "application/json" || h.Get("Accept") != "text/plain" || string(body) != `{"a":1}` {
		t.Errorf("asked %s with %v and %q", got.URL, h, body)
	}
}

// TestHostileAnswers: whatever a server does, the answer or the error comes in
// time and is small.
func TestHostileAnswers(t *testing.T) {
	endless := func(w http.ResponseWriter) {
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		limit   int64
		timeout time.Duration
		err     string // "": an answer
		status  int
	}{
		{name: "endless body", handler: func(w http.ResponseWriter, _ *http.Request) { endless(w) }, limit: 1 << 20,
			err: "more than the limit of 1048576 bytes"},
		{name: "endless body of which only the status matters", handler: func(w http.ResponseWriter, _ *http.Request) { endless(w) }, err: "limit of 65536 bytes"},
		{name: "endless refusal", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); endless(w) }, limit: 1 << 20, status: 500},
		{name: "exactly the limit", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") }, limit: 5, status: 200},
		{name: "one more than the limit", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "123456") }, limit: 5,
			err: "limit of 5 bytes"},
		{name: "endless header", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, limit: 5, err: "header"},
		{name: "no answer", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, limit: 5, timeout: 50 * time.Millisecond,
			err: "no complete answer within 50ms"},
		{name: "half an answer", handler: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "12")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, limit: 5, timeout: 50 * time.Millisecond, err: "no complete answer within 50ms"},
		{name: "cut before the answer", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, limit: 5, err: "EOF"},
		{name: "cut within the body", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "12")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, limit: 500, err: "unexpected EOF"},
		{name: "cut within the body of which only the status matters", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "12")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, err: "unexpected EOF"},
		{name: "gzip that nobody asked for", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 8<<20))
			_ = z.Close()
		}, limit: 1 << 20, err: `encoding "gzip"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := serve(t, c.handler)
			a, err := client(t, url, "").Do(t.Context(), Request{Op: "ask", Path: "/x", Limit: c.limit, Timeout: c.timeout})
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				if a.Status != c.status || len(a.Body) > maxRefusal {
					t.Errorf("status %d, %d bytes; want %d and at most %d", a.Status, len(a.Body), c.status, maxRefusal)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Fatalf("got %v, want an error with %q", err, c.err)
			}
			if !strings.HasPrefix(err.Error(), "ask: "+url+"/x") {
				t.Errorf("%q does not begin with the operation and the URL", err)
			}
			if errors.Is(err, engine.ErrUnreachable) {
				t.Errorf("%v: it is ErrUnreachable, though the request was sent", err)
			}
		})
	}
}

// TestGzipBomb: a client with a transport that unpacks is bounded by what comes out.
func TestGzipBomb(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		zeros := make([]byte, 1<<20)
		for range 64 {
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
		_ = z.Close()
	})
	unpacking := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c, err := New(url, access.Access{}, unpacking)
	if err != nil {
		t.Fatal(err)
	}
	var limit *LimitError
	if _, err := c.Do(t.Context(), Request{Op: "ask", Path: "/", Limit: 1 << 20}); !errors.As(err, &limit) || limit.Limit != 1<<20 {
		t.Errorf("got %v, want a LimitError of 1 MiB", err)
	}
	if unpacking.CheckRedirect != nil {
		t.Error("the client that was given was changed")
	}
}

// TestOrigin: another scheme or port of the same host is another server, also where
// it is the usual one of the two.
func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		from, to string
		goes     bool
	}{
		{"http://h:1/a", "http://h:1/b", true},
		{"https://h/a", "https://h/b", true},
		{"https://h/a", "http://h/a", false},
		{"http://h/a", "https://h/a", false},
		{"http://h:1/a", "http://h:2/a", false},
		{"http://h/a", "http://h:8000/a", false},
		{"http://h/a", "http://h.evil/a", false},
		{"http://h/a", "http://u@i/a", false},
	} {
		from, err := http.NewRequest(http.MethodGet, c.from, nil)
		if err != nil {
			t.Fatal(err)
		}
		to, err := http.NewRequest(http.MethodGet, c.to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if goes := sameHostOnly(to, []*http.Request{from}) == nil; goes != c.goes {
			t.Errorf("from %s to %s: %t", c.from, c.to, goes)
		}
	}
}

// TestUnseenErrors: an answer that is no HTTP may be the request itself, which
// net/http repeats.
func TestUnseenErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadFull(conn, make([]byte, 1))
		_, _ = io.WriteString(conn, "you-sent-s3cret-token\r\n\r\n")
		_ = conn.Close()
	}()
	defer func() { _ = l.Close(); <-done }()
	_, err = client(t, "http://"+l.Addr().String(), "s3cret-token").Do(t.Context(), Request{Op: "ask", Path: "/"})
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "[…]") {
		t.Errorf("error %v", err)
	}
}

func TestRedirects(t *testing.T) {
	var leaked []string
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { leaked = append(leaked, r.Header.Get("Authorization")) })
	var posts int
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, other+"/x", http.StatusFound)
		case "/metrics":
			http.Redirect(w, r, "/metrics/", http.StatusTemporaryRedirect)
		case "/metrics/":
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/post":
			posts++
			http.Redirect(w, r, "/metrics/", http.StatusSeeOther)
		}
	})
	for _, c := range []struct {
		method, path string
		status       int
		said         string
	}{
		{"GET", "/elsewhere", 302, "redirects to " + other + "/x (not followed)"},
		{"GET", "/metrics", 200, "Bearer"},
		{"GET", "/loop", 302, "redirects to /loop"},
		{"POST", "/post", 303, "redirects to /metrics/"},
	} {
		a, err := client(t, url, "tok").Do(t.Context(), Request{Op: "ask", Method: c.method, Path: c.path, Limit: 100})
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if a.Status != c.status || !strings.Contains(a.Said(), c.said) {
			t.Errorf("%s: status %d, said %q; want %d, %q", c.path, a.Status, a.Said(), c.status, c.said)
		}
	}
	if len(leaked) != 0 || posts != 1 {
		t.Errorf("%d requests reached another host (%q), %d posts were sent", len(leaked), leaked, posts)
	}
}

func TestNeverSent(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	accepting, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { // takes connections and closes them without a word
		defer close(closed)
		for {
			conn, err := accepting.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	defer func() { _ = accepting.Close(); <-closed }()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})

	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	foreign := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("lost on the way") })}
	for _, c := range []struct {
		name     string
		ctx      context.Context
		endpoint string
		http     *http.Client
		never    bool
	}{
		{"refused", t.Context(), gone.URL, nil, true},
		{"refused, a transport of the caller's", t.Context(), gone.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, true},
		{"no such host", t.Context(), "http://no-such-host.invalid", nil, true},
		{"no TLS there", t.Context(), strings.Replace(plain, "http:", "https:", 1), nil, true},
		{"cancelled before", cancelled, plain, nil, true},
		{"reset after it was taken", t.Context(), "http://" + accepting.Addr().String(), nil, false},
		{"a transport that does not say", t.Context(), plain, foreign, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := New(c.endpoint, access.Access{}, c.http)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Do(c.ctx, Request{Op: "ask", Method: http.MethodPost, Path: "/x"})
			if err == nil {
				t.Fatal("no error")
			}
			if got := errors.Is(err, engine.ErrUnreachable); got != c.never {
				t.Errorf("ErrUnreachable: %t, want %t: %v", got, c.never, err)
			}
			if !strings.Contains(err.Error(), c.endpoint) || strings.Count(err.Error(), c.endpoint) > 1 {
				t.Errorf("%q does not name the endpoint once", err)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCause(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	why := errors.New("second interrupt")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	_, err := client(t, url, "").Do(ctx, Request{Op: "ask", Path: "/x"})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ name, in, secret, want string }{
		{"empty", "", "", ""},
		{"one line", "  a\r\n\tb\u2028c  ", "", "a b c"},
		{"invalid UTF-8", "a\xffb\xc3", "", "a\ufffdb\ufffd"},
		{"terminal", "\x1b[31mred\x1b[0m\x07", "", "[31mred [0m"},
		{"right to left", "a\u202eb", "", "a b"},
		{"secret", "you sent Bearer s3cret!", "s3cret", "you sent Bearer […]!"},
		{"long", strings.Repeat("é", 400), "", strings.Repeat("é", 299) + "…"},
		{"just fits", strings.Repeat("é", 300), "", strings.Repeat("é", 300)},
	} {
		if got := Line([]byte(c.in), c.secret); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSecretAtTheCut: no part of the token is left where the line ends.
func TestSecretAtTheCut(t *testing.T) {
	const secret = "0123456789abcdef"
	for pad := 250; pad < 320; pad++ {
		got := Line([]byte(strings.Repeat("x", pad)+secret), secret)
		if strings.Contains(got, "0123") {
			t.Fatalf("pad %d: %q", pad, got)
		}
	}
	for pad := 4700; pad < 4900; pad++ { // around the end of the window
		got := Line([]byte(strings.Repeat(" ", pad)+secret+strings.Repeat("y", 40)), secret)
		if strings.Contains(got, "0123") {
			t.Fatalf("pad %d: %q", pad, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("a\xff\x1b[0m\n"), "s")
	f.Fuzz(func(t *testing.T, text []byte, secret string) {
		got := Line(text, secret)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > maxLine || strings.ContainsAny(got, "\r\n\x1b") {
			t.Errorf("%q", got)
		}
	})
}

func TestStatusError(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(409)
		fmt.Fprint(w, "{\n \"a\": 1\n}")
	})
	a, err := client(t, url, "").Do(t.Context(), Request{Op: "start", Path: "/x"})
	if err != nil {
		t.Fatal(err)
	}
	got := a.StatusError(engine.ErrBusy)
	if want := "start: " + url + `/x answered 409: another profiling session is active: { "a": 1 }`; got.Error() != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
