package enginetest

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"profjob/internal/engine"
)

func testProbe(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	info := s.probe()
	want := env.Expect
	if info.Engine != want.Engine || want.Version != "" && info.Version != want.Version || info.Dialect != want.Dialect {
		t.Errorf("got %s %s, dialect %s; want %s %s, dialect %s",
			info.Engine, info.Version, info.Dialect, want.Engine, want.Version, want.Dialect)
	}
	if info.Profiling != engine.ProfilingConfigured {
		t.Errorf("profiling is %q, want %q", info.Profiling, engine.ProfilingConfigured)
	}
	if info.Evidence != want.Evidence || info.AnnotatesTokens != want.AnnotatesTokens {
		t.Errorf("evidence %q, tokens %t; want %q, %t", info.Evidence, info.AnnotatesTokens, want.Evidence, want.AnnotatesTokens)
	}
	if info.PerRequestBounds != want.PerRequestBounds {
		t.Errorf("per-request bounds: %t, want %t", info.PerRequestBounds, want.PerRequestBounds)
	}
	if len(info.Models) == 0 {
		t.Error("no models")
	}
}

func testProbeWithoutProfiler(t *testing.T, env Env) {
	if info := env.open(t, Launch{}).probe(); info.Profiling != engine.ProfilingNotConfigured {
		t.Errorf("profiling is %q, want %q", info.Profiling, engine.ProfilingNotConfigured)
	}
}

func testProbeAddsNoStep(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	s.load()
	before := s.settled()
	s.probe()
	if err := s.client.Ready(s.ctx); err != nil {
		t.Errorf("ready: %v", err)
	}
	after := s.settled()
	if before.EngineSteps != after.EngineSteps || before.PromptTokens != after.PromptTokens {
		t.Errorf("%d steps, %d prompt tokens before; %d, %d after",
			before.EngineSteps, before.PromptTokens, after.EngineSteps, after.PromptTokens)
	}
}

func testReady(t *testing.T, env Env) {
	s := env.open(t, Launch{})
	if err := s.client.Ready(s.ctx); err != nil {
		t.Errorf("ready: %v", err)
	}
}

func testMetrics(t *testing.T, env Env) {
	s := env.open(t, Launch{})
	before := s.settled()
	s.load()
	after := s.settled()
	if len(after.Raw) == 0 || after.At.IsZero() || after.At.Before(before.At) {
		t.Errorf("%d bytes at %v, after %v", len(after.Raw), after.At, before.At)
	}
	for name, v := range map[string][2]int64{
		"generation tokens": {before.GenerationTokens, after.GenerationTokens},
		"prompt tokens":     {before.PromptTokens, after.PromptTokens},
		"engine steps":      {before.EngineSteps, after.EngineSteps},
	} {
		if v[0] < 0 || v[1] <= v[0] {
			t.Errorf("%s: %d before the load, %d after", name, v[0], v[1])
		}
	}
	if after.Running < 0 || after.Waiting < 0 {
		t.Errorf("running %d, waiting %d", after.Running, after.Waiting)
	}
}

// testBearer puts a proxy before the server that wants a token of its own.
func testBearer(t *testing.T, env Env) {
	const token = "suite-token"
	server := env.Server(t, Launch{Profiling: true})
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "you sent "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()

	s := env.connect(t, server, front.URL, token)
	s.probe()
	s.metrics()
	s.start(engine.StartOptions{})
	s.load()
	s.stop()

	const wrong = "another-token"
	s = env.connect(t, server, front.URL, wrong)
	err = s.client.Start(s.ctx, engine.StartOptions{})
	if !errors.Is(err, engine.ErrRefused) {
		t.Errorf("start with a wrong token: got %v, want ErrRefused", err)
	} else if strings.Contains(err.Error(), wrong) {
		t.Errorf("the error shows the token: %v", err)
	}
}

func testUnreachable(t *testing.T, env Env) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := env.connect(t, Server{}, endpoint, "")
	_, probeErr := s.client.Probe(s.ctx)
	_, metricsErr := s.client.Metrics(s.ctx)
	for name, err := range map[string]error{
		"probe":   probeErr,
		"metrics": metricsErr,
		"ready":   s.client.Ready(s.ctx),
		"start":   s.client.Start(s.ctx, engine.StartOptions{}),
		"stop":    s.client.Stop(s.ctx),
	} {
		if !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("%s: got %v, want ErrUnreachable", name, err)
		} else if !strings.Contains(err.Error(), endpoint) {
			t.Errorf("%s: %v does not name %s", name, err, endpoint)
		}
	}
}

func testAnotherServer(t *testing.T, env Env) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	s := env.connect(t, Server{}, other.URL, "")
	if _, err := s.client.Probe(s.ctx); !errors.Is(err, engine.ErrNotServer) {
		t.Errorf("probe: got %v, want ErrNotServer", err)
	}
}
