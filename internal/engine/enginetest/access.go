package enginetest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"profjob/internal/access"
	"profjob/internal/access/accesstest"
	"profjob/internal/engine"
)

// testAccess puts a front before the server that wants a key in a header, a token,
// and a client certificate of a CA of its own.
func testAccess(t *testing.T, env Env) {
	server := env.Server(t, Launch{Profiling: true})
	want := access.Access{Bearer: "suite-token", Keys: []access.Key{{Header: "X-Suite-Key", Value: "suite-key"}}}
	front, pki := accesstest.Guard(t, server.Endpoint, want)
	shown := want
	shown.TLS = pki.TLS()
	s := env.connectWith(t, server, front, shown)
	s.probe()
	s.metrics()
	s.start(engine.StartOptions{})
	s.load()
	s.stop()

	shown.Keys = []access.Key{{Header: "X-Suite-Key", Value: "another-key"}}
	s = env.connectWith(t, server, front, shown)
	if err := s.client.Start(s.ctx, engine.StartOptions{}); !errors.Is(err, engine.ErrRefused) || strings.Contains(err.Error(), "another-key") {
		t.Errorf("start with a wrong key: %v", err)
	}
	for name, tls := range map[string]access.TLS{"system's CAs": {}, "no certificate": {CA: pki.TLS().CA}} {
		other := want
		other.TLS = tls
		s := env.connectWith(t, server, front, other)
		if _, err := s.client.Probe(s.ctx); err == nil {
			t.Errorf("%s: the front let it through", name)
		}
	}
}

// testRedirects: what a server is shown goes to no other host, port or scheme.
func testRedirects(t *testing.T, env Env) {
	server := env.Server(t, Launch{Profiling: true})
	shown := access.Access{Bearer: "suite-token", Keys: []access.Key{{Header: "X-Suite-Key", Value: "suite-key"}}}
	var stolen atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen.Store(true) }))
	defer elsewhere.Close()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	for name, to := range map[string]string{
		"port": elsewhere.URL,
		"host": strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1),
	} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			var astray atomic.Bool // the client made its way through, as far as that
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if astray.Load() {
					http.Redirect(w, r, to+r.URL.Path, status)
					return
				}
				proxy.ServeHTTP(w, r)
			}))
			s := env.connectWith(t, server, front.URL, shown)
			s.probe()
			astray.Store(true)
			_, probeErr := s.client.Probe(s.ctx)
			_, metricsErr := s.client.Metrics(s.ctx)
			errs := []error{probeErr, metricsErr, s.client.Ready(s.ctx), s.client.Start(s.ctx, engine.StartOptions{}), s.client.Stop(s.ctx)}
			front.Close()
			for i, err := range errs {
				if err == nil {
					t.Errorf("%s, %d: request %d was answered", name, status, i)
				}
			}
			if stolen.Load() {
				t.Fatalf("%s, %d: a request went there", name, status)
			}
		}
	}
}
