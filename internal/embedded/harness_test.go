package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server under test.
type running struct {
	t      testing.TB
	url    string
	client *http.Client
	end    context.CancelFunc
	ended  chan struct{}
	err    error // of Serve, once ended is closed
}

// serve runs a server until the test ends, and checks that it ends well.
func serve(t testing.TB, c Config) *running {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{}
	r := &running{
		t: t, url: "http://" + listener.Addr().String(), client: &http.Client{Transport: transport},
		end: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(r.ended)
		r.err = s.Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
		transport.CloseIdleConnections()
		if r.err != nil && c.Faults.Exit == nil && !c.Faults.DieAtFirstStep && !c.Faults.DieAfterStart {
			t.Errorf("Serve: %v", r.err)
		}
	})
	return r
}

// reply is an answer read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r *running) do(ctx context.Context, method, path, body string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(text)}, err
}

func (r *running) send(method, path, body string) reply {
	r.t.Helper()
	answer, err := r.do(context.Background(), method, path, body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

// ok sends a request that must be answered with 200.
func (r *running) ok(method, path, body string) string {
	r.t.Helper()
	answer := r.send(method, path, body)
	if answer.status != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s", method, path, answer.status, answer.body)
	}
	return answer.body
}

// complete answers a prompt of so many tokens with so many tokens.
func (r *running) complete(prompt, tokens int) string {
	r.t.Helper()
	ids := strings.Repeat("65,", prompt-1) + "66"
	body := r.ok("POST", "/v1/completions", fmt.Sprintf(`{"prompt":[%s],"max_tokens":%d,"ignore_eos":true}`, ids, tokens))
	var answer struct {
		Choices []struct{ Text string }
		Usage   usage
	}
	decode(r.t, body, &answer)
	if answer.Usage != *newUsage(prompt, tokens) {
		r.t.Fatalf("usage %+v of %d + %d tokens", answer.Usage, prompt, tokens)
	}
	return answer.Choices[0].Text
}

func decode(t testing.TB, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// wait waits until a condition holds.
func wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// traceFile is a Kineto trace as any reader sees it.
type traceFile struct {
	path   string
	keys   map[string]json.RawMessage
	base   int64
	events []traceEvent
}

type traceEvent struct {
	Ph, Cat, Name string
	PID           any `json:"pid"`
	TID           any `json:"tid"`
	Ts, Dur       json.Number
	Args          map[string]any
}

// ns is a trace's time in nanoseconds, read without rounding.
func ns(t testing.TB, n json.Number) int64 {
	t.Helper()
	whole, frac, ok := strings.Cut(n.String(), ".")
	if !ok || len(frac) != 3 {
		t.Fatalf("time %q does not have three decimals", n)
	}
	var v int64
	if _, err := fmt.Sscan(whole+frac, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func readTrace(t testing.TB, path string) traceFile {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	f := traceFile{path: path}
	decode(t, string(body), &f.keys)
	decode(t, string(f.keys["baseTimeNanoseconds"]), &f.base)
	d := json.NewDecoder(bytes.NewReader(f.keys["traceEvents"]))
	d.UseNumber()
	if err := d.Decode(&f.events); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f traceFile) named(category, name string) []traceEvent {
	var found []traceEvent
	for _, e := range f.events {
		if e.Cat == category && (name == "" || e.Name == name) {
			found = append(found, e)
		}
	}
	return found
}

func (f traceFile) annotations() []string {
	var names []string
	for _, e := range f.named("user_annotation", "") {
		names = append(names, e.Name)
	}
	return names
}

// files lists a directory by pattern.
func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// one is the only file of a pattern.
func one(t testing.TB, dir, pattern string) string {
	t.Helper()
	found := files(t, dir, pattern)
	if len(found) != 1 {
		t.Fatalf("%d files match %s: %q among %q", len(found), pattern, found, files(t, dir, "*"))
	}
	return found[0]
}
