//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// faultProxy stands in front of a server and misbehaves as a fault says. Where a run
// is it looks up in the run's journal as a request comes.
type faultProxy struct {
	arena   *arena
	fault   fault
	to      *url.URL
	address string // that it listens at, or will
	client  *http.Client

	answered atomic.Bool // the server has been there

	mu    sync.Mutex
	web   *http.Server
	hits  int
	first time.Time // the first fault
	off   time.Time // the server answered a stop, or a disarming
	on    bool      // by what reached the server
}

// newFaultProxy is a proxy that does not listen yet.
func newFaultProxy(t *testing.T, a *arena, f fault) *faultProxy {
	t.Helper()
	to, err := url.Parse(a.victim.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{arena: a, fault: f, to: to, address: "127.0.0.1:" + freePort(t),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}}
	t.Cleanup(p.close)
	return p
}

// listen makes it reachable.
func (p *faultProxy) listen() error {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	web := &http.Server{Handler: p}
	p.web = web
	go func() { _ = web.Serve(l) }() // until it is closed
	return nil
}

// listenOnce makes it reachable once the run has launched its server: before that
// nobody may listen there.
func (p *faultProxy) listenOnce(a *arena, done <-chan struct{}) {
	for !strings.Contains(a.journals(), `"action":"launch"`) {
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	_ = p.listen() // the run fails where it cannot
}

// close makes it unreachable, and cuts what is on its way.
func (p *faultProxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.web != nil {
		_ = p.web.Close() // cut connections are what is wanted
		p.web = nil
	}
}

// hit tells whether the fault hits a request, and counts it.
func (p *faultProxy) hit(path string) bool {
	f := p.fault
	if f.do == nil || f.path == "" && path == pathCompletions || f.path != "" && !strings.HasPrefix(path, f.path) {
		return false
	}
	if f.at != "" && p.arena.position() != f.at {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.times > 0 && p.hits >= f.times || f.lasts > 0 && p.hits > 0 && time.Since(p.first) > f.lasts {
		return false
	}
	if p.hits++; p.hits == 1 {
		p.first = time.Now()
	}
	return true
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.hit(r.URL.Path) {
		p.fault.do(p, w, r)
		return
	}
	p.forward(w, r)
}

// changes tells of a path whether it begins or ends a recording: such a request is
// handed on also where whoever sent it has gone.
func changes(path string) bool {
	return path == pathStart || path == pathStop || path == pathArm || path == pathDisarm
}

func (p *faultProxy) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	out, err := http.NewRequest(r.Method, p.to.JoinPath(r.URL.Path).String()+"?"+r.URL.RawQuery, bytes.NewReader(body))
	if err != nil {
		return
	}
	if !changes(r.URL.Path) {
		out = out.WithContext(r.Context())
	}
	out.Header = r.Header.Clone()
	resp, err := p.client.Do(out)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) && p.answered.Load() && !p.fault.gateway {
			p.close() // nobody listens any more, as without a proxy
		}
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	p.answered.Store(true)
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

// note follows what the server itself has answered.
func (p *faultProxy) note(path string, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case (path == pathStart || path == pathArm) && status == http.StatusOK:
		p.on = true
	case path == pathStart && status == http.StatusInternalServerError:
		p.on = true // one of several profilers may be
	case (path == pathStop || path == pathDisarm) && p.on:
		p.on, p.off = false, time.Now()
	}
}

// offAfter tells how long after the first fault the profiler was off.
func (p *faultProxy) offAfter() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.off.IsZero():
		return "–"
	case p.first.IsZero():
		return "0.0 s"
	}
	return seconds(max(0, p.off.Sub(p.first)))
}
