// Package enginetest is the suite that every engine.Client passes against a
// live server: what a probe says, how starts and stops are answered, that
// metrics grow, and that errors are told apart as the contract has it.
package enginetest

import (
	"context"
	"testing"
	"time"

	"profjob/internal/access"
	"profjob/internal/engine"
)

// patience bounds each thing that the suite asks, the work that it causes included.
const patience = 2 * time.Minute

const pollEvery = 20 * time.Millisecond

// Env is where the suite gets its servers and what it shall find.
type Env struct {
	New    func(engine.Config) (engine.Client, error)
	Expect Expect
	// Server gives a server on which nothing records and nothing runs, and ends
	// it with the test. It skips the test where such a server cannot be had.
	Server func(t *testing.T, l Launch) Server
}

// Launch is how a server shall have been launched.
type Launch struct {
	Profiling bool // with its profiler configured
}

// Server is a live server.
type Server struct {
	Endpoint string
	// Load has the server generate some tokens, and returns once it has.
	Load func(context.Context) error
}

// Expect is what distinguishes the dialects.
type Expect struct {
	Engine           string
	Version          string // "": any
	Dialect          string
	Evidence         string
	AnnotatesTokens  bool
	PerRequestBounds bool
	// TellsBusy is true where a start of a server that is recording is refused;
	// elsewhere it is answered as if it had begun.
	TellsBusy bool
	// IdleStop is what a stop says while nothing records.
	IdleStop IdleStop
}

// IdleStop is the answer to a stop while nothing records.
type IdleStop int

// The answers.
const (
	IdleStopOK        IdleStop = iota // a success
	IdleStopAmbiguous                 // an error that may as well be a failure
	IdleStopTold                      // an error for which engine.NotRecording is true
)

// Run runs the suite.
func Run(t *testing.T, env Env) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Env)
	}{
		{"probe", testProbe},
		{"probe without profiler", testProbeWithoutProfiler},
		{"probe adds no step", testProbeAddsNoStep},
		{"ready", testReady},
		{"start and stop", testStartStop},
		{"start while recording", testDoubleStart},
		{"stop while idle", testIdleStop},
		{"without profiler", testWithoutProfiler},
		{"bounds", testBounds},
		{"bounds refused", testBoundsRefused},
		{"metrics", testMetrics},
		{"cancelled", testCancelled},
		{"bearer", testBearer},
		{"access", testAccess},
		{"redirects", testRedirects},
		{"unreachable", testUnreachable},
		{"another server", testAnotherServer},
		{"concurrent", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, env) })
	}
}

// session is a client of a live server, within a time limit.
type session struct {
	t      *testing.T
	ctx    context.Context
	client engine.Client
	server Server
}

func (env Env) open(t *testing.T, l Launch) session {
	t.Helper()
	server := env.Server(t, l)
	return env.connect(t, server, server.Endpoint, "")
}

func (env Env) connect(t *testing.T, server Server, endpoint, bearer string) session {
	t.Helper()
	return env.connectWith(t, server, endpoint, access.Access{Bearer: bearer})
}

func (env Env) connectWith(t *testing.T, server Server, endpoint string, shown access.Access) session {
	t.Helper()
	client, err := env.New(engine.Config{Endpoint: endpoint, Access: shown})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return session{t: t, ctx: ctx, client: client, server: server}
}

func (s session) probe() engine.Info {
	s.t.Helper()
	info, err := s.client.Probe(s.ctx)
	if err != nil {
		s.t.Fatalf("probe: %v", err)
	}
	return info
}

func (s session) metrics() engine.Metrics {
	s.t.Helper()
	m, err := s.client.Metrics(s.ctx)
	if err != nil {
		s.t.Fatalf("metrics: %v", err)
	}
	return m
}

// settled gives metrics once nothing runs and two readings agree: a server
// counts a step a little after it has answered.
func (s session) settled() engine.Metrics {
	s.t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := s.metrics()
	for {
		select {
		case <-s.ctx.Done():
			s.t.Fatalf("the metrics do not settle: running %d, %d steps", last.Running, last.EngineSteps)
		case <-tick.C:
		}
		m := s.metrics()
		if m.Running == 0 && m.EngineSteps == last.EngineSteps && m.GenerationTokens == last.GenerationTokens {
			return m
		}
		last = m
	}
}

// start starts, and stops at the end of the test if the test did not.
func (s session) start(w engine.StartOptions) {
	s.t.Helper()
	if err := s.client.Start(s.ctx, w); err != nil {
		s.t.Fatalf("start: %v", err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.client.Stop(ctx) // most often nothing records any more
	})
}

func (s session) stop() {
	s.t.Helper()
	if err := s.client.Stop(s.ctx); err != nil {
		s.t.Fatalf("stop: %v", err)
	}
}

func (s session) load() {
	s.t.Helper()
	if err := s.server.Load(s.ctx); err != nil {
		s.t.Fatalf("load: %v", err)
	}
}
