package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is a request as a server reads it.
type asked struct {
	Model         string          `json:"model"`
	Prompt        json.RawMessage `json:"prompt"`
	Messages      json.RawMessage `json:"messages"`
	MaxTokens     int             `json:"max_tokens"`
	IgnoreEOS     bool            `json:"ignore_eos"`
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Temperature *float64 `json:"temperature"`
}

// readAsked reads a request. An error is answered with 400.
func readAsked(w http.ResponseWriter, r *http.Request) (asked, bool) {
	var a asked
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return a, false
	}
	return a, true
}

// send writes one event of a stream and flushes it.
func send(w http.ResponseWriter, format string, args ...any) {
	fmt.Fprintf(w, "data: "+format+"\n\n", args...)
	w.(http.Flusher).Flush()
}

// sendTokens answers with n token chunks, usage and [DONE], with a pause before each token.
func sendTokens(w http.ResponseWriter, n int, pause func()) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for i := range n {
		pause()
		finish := "null"
		if i == n-1 {
			finish = `"length"`
		}
		send(w, `{"choices":[{"index":0,"text":"x","finish_reason":%s}]}`, finish)
	}
	send(w, `{"choices":[],"usage":{"prompt_tokens":16,"completion_tokens":%d}}`, n)
	send(w, "[DONE]")
}

// answerTokens is a server that gives at once what is asked for.
func answerTokens(w http.ResponseWriter, r *http.Request) {
	if a, ok := readAsked(w, r); ok {
		sendTokens(w, a.MaxTokens, func() {})
	}
}

// log keeps records.
type log struct {
	mu      sync.Mutex
	records []Record
}

func (l *log) add(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

// runLoad runs a load to its end and gives its records and counts.
func runLoad(t *testing.T, config Config) ([]Record, Stats) {
	t.Helper()
	var l log
	run, err := Start(t.Context(), config, l.add)
	if err != nil {
		t.Fatal(err)
	}
	<-run.Done()
	run.Stop()
	return l.records, run.Stats()
}

// pipeServer serves HTTP over pipes: no system call is waited for, so that it can
// be used where time is made up. It gives the transport that reaches it.
func pipeServer(t *testing.T, handler http.HandlerFunc) *http.Transport {
	listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var handling sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handling.Add(1)
		defer handling.Done()
		handler(w, r)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	transport := newTransport(100, nil)
	transport.Proxy = nil
	transport.DialContext = listener.dial
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-served
		handling.Wait()
	})
	return transport
}

type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
