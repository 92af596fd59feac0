//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"profjob/internal/archive"
)

// fault is what a proxy between profjob and a server does to the requests of one
// path, and what a run must make of it.
type fault struct {
	path  string
	name  string
	times int // how many requests it hits; 0: all
	do    func(*faultProxy, http.ResponseWriter, *http.Request)
	exits []int // any of them
	kept  bool  // a whole trace of a worker must be in the run
	args  []string
}

const (
	pathStart, pathStop, pathMetrics         = "/start_profile", "/stop_profile", "/metrics"
	pathVersion, pathModels, pathCompletions = "/version", "/v1/models", "/v1/completions"
	pathOpenAPI                              = "/openapi.json"
)

// What goes wrong. before: the server hears nothing of it; after: it has done it.
func drop(*faultProxy, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func dropAfter(p *faultProxy, _ http.ResponseWriter, r *http.Request) {
	p.forward(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

func answers(status int, body string) func(*faultProxy, http.ResponseWriter, *http.Request) {
	return func(_ *faultProxy, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func answersAfter(status int, body string) func(*faultProxy, http.ResponseWriter, *http.Request) {
	return func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		p.forward(httptest.NewRecorder(), r)
		answers(status, body)(p, w, r)
	}
}

func slow(d time.Duration) func(*faultProxy, http.ResponseWriter, *http.Request) {
	return func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		p.forward(w, r)
	}
}

// endless answers without end, until the reader has enough.
func endless(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
	chunk := bytes.Repeat([]byte("vllm:nothing 1\n"), 4096)
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// trickle answers a byte at a time.
func trickle(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

func bomb(_ *faultProxy, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	chunk := make([]byte, 1<<20)
	for range 2048 {
		if _, err := z.Write(chunk); err != nil {
			return
		}
	}
	_ = z.Close()
}

func redirect(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://192.0.2.1:9/elsewhere", http.StatusTemporaryRedirect)
}

// raw writes bytes of its own onto the connection.
func raw(text string, more string, times int) func(*faultProxy, http.ResponseWriter, *http.Request) {
	return func(_ *faultProxy, w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
		for range times {
			if _, err := io.WriteString(conn, more); err != nil {
				return
			}
		}
	}
}

const garbage = "\xff\xfe\x00{\"vllm:num_requests_running\": [[[[[\x80"

var faults = []fault{
	{path: pathStart, name: "dropped before", times: 1, do: drop, exits: []int{0, 4}},
	{path: pathStart, name: "dropped after", times: 1, do: dropAfter, exits: []int{0, 4}},
	{path: pathStart, name: "500, not started", times: 1, do: answers(500, "Internal Server Error"), exits: []int{0, 4}},
	{path: pathStart, name: "500, started", times: 1, do: answersAfter(500, "Internal Server Error"), exits: []int{0, 4}},
	{path: pathStart, name: "503 of a gateway", times: 1, do: answers(503, "no upstream"), exits: []int{0, 4}},
	{path: pathStart, name: "404", do: answers(404, `{"detail":"Not Found"}`), exits: []int{4}},
	{path: pathStart, name: "401", do: answers(401, `{"error":"Unauthorized"}`), exits: []int{4}},
	{path: pathStart, name: "409, somebody records", do: answers(409, `{"error":{"message":"A profiling session is already active."}}`), exits: []int{4}},
	{path: pathStart, name: "200 and nothing", do: answers(200, ""), exits: []int{5, 6}},
	{path: pathStart, name: "200 and nothing, once", times: 1, do: answers(200, ""), exits: []int{0, 5, 6}},
	{path: pathStart, name: "answered after 3 s", do: slow(3 * time.Second), exits: []int{0}, kept: true},
	{path: pathStart, name: "endless body", times: 1, do: endless, exits: []int{0, 4, 6}},
	{path: pathStart, name: "endless headers", times: 1, do: raw("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 8000)+"\r\n", 4096), exits: []int{0, 4}},
	{path: pathStart, name: "redirect elsewhere", do: redirect, exits: []int{4}},
	{path: pathStart, name: "no HTTP", times: 1, do: raw("SSH-2.0-OpenSSH_9.6\r\n", "", 0), exits: []int{0, 4}},
	{path: pathStop, name: "dropped before", times: 1, do: drop, exits: []int{0}, kept: true},
	{path: pathStop, name: "dropped after", times: 1, do: dropAfter, exits: []int{0}, kept: true},
	{path: pathStop, name: "500, not stopped", times: 1, do: answers(500, "Internal Server Error"), exits: []int{0}, kept: true},
	{path: pathStop, name: "500, stopped", times: 1, do: answersAfter(500, "Internal Server Error"), exits: []int{0}, kept: true},
	{path: pathStop, name: "503 of a gateway", times: 1, do: answers(503, "no upstream"), exits: []int{0}, kept: true},
	{path: pathStop, name: "503 three times", times: 3, do: answers(503, "no upstream"), exits: []int{0, 4, 6}},
	{path: pathStop, name: "404, not stopped", times: 1, do: answers(404, `{"detail":"Not Found"}`), exits: []int{0}, kept: true},
	{path: pathStop, name: "200, not stopped", times: 1, do: answers(200, ""), exits: []int{0}, kept: true},
	{path: pathStop, name: "answered after 5 s", do: slow(5 * time.Second), exits: []int{0}, kept: true},
	{path: pathStop, name: "endless body", times: 1, do: endless, exits: []int{0}, kept: true},
	{path: pathStop, name: "redirect elsewhere", times: 1, do: redirect, exits: []int{0}, kept: true},
	{path: pathStop, name: "no HTTP", times: 1, do: raw("\x00\x01\x02\r\n\r\n", "", 0), exits: []int{0}, kept: true},
	{path: pathStop, name: "HTTP/1.0 without length", times: 1, do: raw("HTTP/1.0 200 OK\r\n\r\n", "", 0), exits: []int{0}, kept: true},
	{path: pathMetrics, name: "dropped", do: drop, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "404", do: answers(404, "no"), exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "500", do: answers(500, "no"), exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "endless body", do: endless, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "gzip bomb", do: bomb, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "garbage", do: answers(200, garbage), exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "a byte at a time", do: trickle, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "redirect elsewhere", do: redirect, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "endless headers", do: raw("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 8000)+"\r\n", 4096), exits: []int{0, 5}, kept: true},
	{path: pathVersion, name: "garbage", do: answers(200, garbage), exits: []int{4}},
	{path: pathVersion, name: "endless body", do: endless, exits: []int{4}},
	{path: pathVersion, name: "500", do: answers(500, ""), exits: []int{0, 4}},
	{path: pathVersion, name: "dropped once", times: 1, do: drop, exits: []int{0}, kept: true},
	{path: pathVersion, name: "redirect elsewhere", do: redirect, exits: []int{4}},
	{path: pathModels, name: "garbage", do: answers(200, garbage), exits: []int{0, 4}},
	{path: pathModels, name: "endless body", do: endless, exits: []int{0, 4}},
	{path: pathOpenAPI, name: "garbage", do: answers(200, garbage), exits: []int{0, 4}},
	{path: pathOpenAPI, name: "gzip bomb", do: bomb, exits: []int{0, 4}},
	{path: pathCompletions, name: "500", do: answers(500, `{"error":"no"}`), exits: []int{4, 5}},
	{path: pathCompletions, name: "dropped", do: drop, exits: []int{4, 5}},
	{path: pathCompletions, name: "endless body", do: endless, exits: []int{0, 4, 5}},
	{path: pathCompletions, name: "a byte at a time", do: trickle, exits: []int{0, 4, 5}},
}

// faultProxy stands in front of a server and misbehaves.
type faultProxy struct {
	to     *url.URL
	client *http.Client

	mu     sync.Mutex
	fault  fault
	hits   int
	first  time.Time // the first fault
	off    time.Time // the server answered a stop
	starts int       // that reached the server
	on     bool      // by what reached the server
}

func (p *faultProxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.hits, p.first, p.off, p.starts, p.on = f, 0, time.Time{}, time.Time{}, 0, false
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	f := p.fault
	hit := r.URL.Path == f.path && (f.times == 0 || p.hits < f.times)
	if hit {
		p.hits++
		if p.first.IsZero() {
			p.first = time.Now()
		}
	}
	p.mu.Unlock()
	if hit {
		f.do(p, w, r)
		return
	}
	p.forward(w, r)
}

// forward hands a request on, also where whoever asked has gone.
func (p *faultProxy) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	ctx := r.Context()
	if r.URL.Path == pathStart || r.URL.Path == pathStop {
		ctx = nil
	}
	out, err := http.NewRequest(r.Method, p.to.JoinPath(r.URL.Path).String()+"?"+r.URL.RawQuery, bytes.NewReader(body))
	if err != nil {
		return
	}
	if ctx != nil {
		out = out.WithContext(ctx)
	}
	out.Header = r.Header.Clone()
	resp, err := p.client.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	p.note(r.URL.Path, resp.StatusCode)
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *faultProxy) note(path string, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case path == pathStart && status == http.StatusOK:
		p.starts++
		p.on = true
	case path == pathStop && p.on:
		p.on, p.off = false, time.Now()
	}
}

// TestFaults has the embedded engine misbehave in every way seen in the field and
// some more, and checks after each that its profiler is off, that the run is sealed
// with an exit code as documented, and that what was recorded is kept.
func TestFaults(t *testing.T) {
	s := chaosEmbedded(t)
	to, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{to: to, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}}
	front := httptest.NewUnstartedServer(p)
	front.Config.ErrorLog = nil
	front.Start()
	defer front.Close()
	c := &chaos{server: s, dir: t.TempDir()}
	var rows []string
	for i, f := range faults {
		if !full() && os.Getenv("PROFJOB_FAULTS") == "" && i%6 != 1 {
			continue
		}
		rows = append(rows, c.fault(t, p, front.URL, f))
	}
	printTable(t, "request\tfault\thits\texit\tstatus\tprofiler off after\ttraces kept\ttook", rows)
}

func (c *chaos) fault(t *testing.T, p *faultProxy, endpoint string, f fault) string {
	t.Helper()
	p.set(f)
	began := time.Now()
	r := run(t, "jobs/faults.hcl", append([]string{"--var", "endpoint=" + endpoint, "--var", "trace_dir=" + c.server.traceDir}, f.args...)...)
	took := time.Since(began)
	name := f.path + " " + f.name
	if !slices.Contains(f.exits, r.exit) {
		t.Errorf("%s: exit %d, want one of %v\n%s", name, r.exit, f.exits, r.stderr)
	}
	if strings.Contains(r.stderr, "panic:") || strings.Contains(r.stderr, "goroutine ") {
		t.Errorf("%s: a panic reached the user:\n%s", name, r.stderr)
	}
	if len(r.manifests) != 1 {
		t.Errorf("%s: %d manifests\n%s", name, len(r.manifests), r.stderr)
		return name
	}
	m := r.manifests[0]
	kept := 0
	for _, file := range m.Files {
		if sum, err := archive.HashFile(filepath.Join(m.Dir, filepath.FromSlash(file.Path))); err != nil || sum.SHA256 != file.SHA256 {
			t.Errorf("%s: %s is not what the manifest says: %v", name, file.Path, err)
		}
		if file.Kind == archive.KindTrace && file.TrimmedFrom == "" {
			kept++
		}
	}
	if f.kept && kept == 0 {
		t.Errorf("%s: no trace was kept\n%s", name, r.stderr)
	}
	p.mu.Lock()
	hits, first, off, on := p.hits, p.first, p.off, p.on
	p.mu.Unlock()
	if hits == 0 {
		t.Errorf("%s: it was never asked for", name)
	}
	if on || c.profilerOn(t) {
		t.Errorf("%s: the profiler is still on\n%s", name, r.stderr)
		post(t, c.server.endpoint+pathStop)
	}
	after := "was not on"
	if !off.IsZero() {
		after = fmt.Sprintf("%.1f s", max(0, off.Sub(first).Seconds()))
	}
	c.clear(t)
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%s\t%s\t%d\t%.1f s", f.path, f.name, hits, r.exit, m.Status, after, kept, took.Seconds())
}
