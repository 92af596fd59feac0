package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
	"profjob/internal/wire"
)

// host is a run under test, with what it told and asked.
type host struct {
	*Run
	t       testing.TB
	servers map[string]*fakeServer // by endpoint
	guard   *fakeGuard

	mu     sync.Mutex
	events []event.Event
	broken func(event.Event) error // the journal's errors; nil: none
}

// newHost makes a run in attempt 1 of round 1. Its targets' files are local.
func newHost(t testing.TB) *host {
	t.Helper()
	dir, err := archive.Create(t.TempDir(), "job", archive.NewRunID(time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC), [3]byte{1, 2, 3}))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, servers: map[string]*fakeServer{}, guard: &fakeGuard{}}
	h.Run = &Run{Job: "job", JobDir: t.TempDir(), Host: "host", StartedAt: time.Now(), Dir: dir, State: &State{},
		Guard: h.guard, Interrupts: &Interrupts{}, Clock: SystemClock{}, Emit: h.emit, CloseJournal: func() error { return nil },
		Files: func(dir string) hostfs.FS { return local.New(dir) },
		Place: event.Place{Step: "round-01/window", Round: 1, Attempt: 1}}
	h.newClient = func(_ Target, c engine.Config) (engine.Client, error) {
		s, ok := h.servers[c.Endpoint]
		if !ok {
			return nil, fmt.Errorf("no server at %s", c.Endpoint)
		}
		s.bearer = c.Access.Bearer
		return s, nil
	}
	return h
}

func (h *host) emit(ev event.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		if err := h.broken(ev); err != nil {
			return err
		}
	}
	h.events = append(h.events, ev)
	return nil
}

// told gives the events of one type.
func told[T event.Event](h *host) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []T
	for _, e := range h.events {
		if e, ok := e.(T); ok {
			all = append(all, e)
		}
	}
	return all
}

// serve adds a server and gives the target that it is an endpoint of.
func (h *host) serve(endpoints ...string) Target {
	t := Target{Name: "server", Engine: "vllm", TraceDir: h.t.TempDir()}
	for _, e := range endpoints {
		h.servers["http://"+e] = &fakeServer{endpoint: "http://" + e}
		t.Endpoints = append(t.Endpoints, "http://"+e)
	}
	return t
}

func (h *host) server(name string) *fakeServer { return h.servers["http://"+name] }

// asked writes what all servers were asked: "a:start b:start a:stop".
func (h *host) asked(names ...string) string {
	var all []string
	for _, name := range names {
		s := h.server(name)
		s.mu.Lock()
		all = append(all, name+":"+strings.Join(s.calls, ","))
		s.mu.Unlock()
	}
	return strings.Join(all, " ")
}

// chose puts a probe's result into the state.
func (h *host) chose(t Target, strategy string) {
	result := ProbeResult{}
	for _, e := range t.Endpoints {
		result.Endpoints = append(result.Endpoints, Probed{Target: t.Name, Endpoint: e, Choice: Choice{Strategy: strategy},
			Info: engine.Info{Engine: t.Engine, Version: "0.32.0"}})
	}
	h.State.Put(event.Place{Step: "probe"}, result)
}

// do carries out a plan step at its place and keeps its result, as the runner does.
func (h *host) do(ctx context.Context, s Step) (any, error) {
	result, err := s.Do(ctx, h.Run)
	if result != nil {
		h.State.Put(h.Place, result)
	}
	return result, err
}

// failed checks how a run ends because of an error; want is a part of its text.
func failed(t testing.TB, err error, exit int, want string) {
	t.Helper()
	var f *Failure
	switch {
	case exit == ExitOK && err != nil:
		t.Errorf("got the error %v", err)
	case exit == ExitOK:
	case !errors.As(err, &f) || f.Exit != exit || !strings.Contains(err.Error(), want):
		t.Errorf("got %v, want exit %d and %q", err, exit, want)
	}
}

// fakeServer is an engine.Client that does what a test says. What is nil answers well.
type fakeServer struct {
	endpoint string
	start    func(ctx context.Context, try int) error
	stop     func(ctx context.Context, try int) error
	active   bool // it says that its session is
	ready    func(ctx context.Context) error
	metrics  func(ctx context.Context) (engine.Metrics, error)
	probe    func() (engine.Info, error)

	mu     sync.Mutex
	calls  []string
	bounds []int // asked for by the starts
	bearer string
}

func (s *fakeServer) note(call string) (try int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == call {
			try++
		}
	}
	s.calls = append(s.calls, call)
	return try + 1
}

func (s *fakeServer) Endpoint() string { return s.endpoint }

func (s *fakeServer) Probe(context.Context) (engine.Info, error) {
	if s.probe == nil {
		return engine.Info{Engine: "vllm", Version: "0.32.0", Profiling: engine.ProfilingConfigured, Evidence: "annotation"}, nil
	}
	return s.probe()
}

func (s *fakeServer) SessionActive(context.Context) (bool, error) { return s.active, nil }

func (s *fakeServer) Ready(ctx context.Context) error {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if ready == nil {
		return nil
	}
	return ready(ctx)
}

// setReady changes what the server answers from now on.
func (s *fakeServer) setReady(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = func(context.Context) error { return err }
}

func (s *fakeServer) Start(ctx context.Context, w engine.StartOptions) error {
	try := s.note("start")
	s.mu.Lock()
	s.bounds = append(s.bounds, w.MaxSteps)
	s.mu.Unlock()
	if s.start == nil {
		return nil
	}
	return s.start(ctx, try)
}

func (s *fakeServer) Stop(ctx context.Context) error {
	try := s.note("stop")
	if s.stop == nil {
		return nil
	}
	return s.stop(ctx, try)
}

func (s *fakeServer) Metrics(ctx context.Context) (engine.Metrics, error) {
	if s.metrics == nil {
		return engine.Metrics{EngineSteps: -1, Running: -1, Raw: []byte("# none\n")}, nil
	}
	return s.metrics(ctx)
}

// hangs is an answer that never comes.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("no answer: %w", context.Cause(ctx))
}

// The errors that servers give.
var (
	errReset       = errors.New("connection reset by peer")
	errRefusedConn = fmt.Errorf("%w: %w", engine.ErrUnreachable, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	errNoRoute     = fmt.Errorf("%w: %w", engine.ErrUnreachable, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH})
)

func status(code int, stands error) error {
	return &engine.StatusError{Op: "ask", URL: "http://a/x", Code: code, Err: stands}
}

// always gives the same answer each time.
func always(err error) func(context.Context, int) error {
	return func(context.Context, int) error { return err }
}

// fakeGuard begins nothing; it can refuse.
type fakeGuard struct {
	refuse error
	launch func(LaunchSpec) (Process, error)

	mu      sync.Mutex
	intents []Intent
	specs   []LaunchSpec
	overs   int
}

func (g *fakeGuard) Intend(_ context.Context, what Intent) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.intents = append(g.intents, what)
	return g.refuse
}

func (g *fakeGuard) Begun(context.Context, Intent) error { return nil }

func (g *fakeGuard) Over(context.Context, Intent) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.overs++
	return nil
}

func (g *fakeGuard) Launch(ctx context.Context, spec LaunchSpec) (Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.specs = append(g.specs, spec)
	p, err := g.launch(spec)
	if ctx.Err() != nil { // the answer is not waited for
		return nil, context.Cause(ctx)
	}
	return p, err
}

// fakeProcess is a launched server that ends when it is told to.
type fakeProcess struct {
	exited chan struct{}
	err    error
	once   sync.Once
	ended  int
}

func newProcess() *fakeProcess { return &fakeProcess{exited: make(chan struct{})} }

func (p *fakeProcess) die(err error)           { p.once.Do(func() { p.err = err; close(p.exited) }) }
func (p *fakeProcess) PID() int                { return 4711 }
func (p *fakeProcess) Exited() <-chan struct{} { return p.exited }

func (p *fakeProcess) ExitError() error {
	select {
	case <-p.exited:
		return p.err
	default:
		return nil
	}
}

func (p *fakeProcess) End(context.Context, time.Duration) error {
	p.ended++
	p.die(nil)
	return nil
}

// fakeFS is a host's directory as a test says it is.
type fakeFS struct {
	list func() ([]hostfs.File, error)
	free func() (int64, error)
}

func (f fakeFS) List(context.Context, string) ([]hostfs.File, error) {
	if f.list == nil {
		return nil, nil
	}
	return f.list()
}

func (f fakeFS) Free(context.Context, string) (int64, error) {
	if f.free == nil {
		return 1 << 60, nil
	}
	return f.free()
}

func (f fakeFS) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, fs.ErrNotExist
}
func (f fakeFS) Remove(context.Context, string) error { return fs.ErrNotExist }

// counting gives metrics whose count of engine steps grows by one each period
// since now.
func counting(period time.Duration) func(context.Context) (engine.Metrics, error) {
	began := time.Now()
	return func(context.Context) (engine.Metrics, error) {
		return engine.Metrics{EngineSteps: 100 + int64(time.Since(began)/period), Running: 4, Raw: []byte("# some\n")}, nil
	}
}

// stepsWindow asks for engine steps.
func stepsWindow(count int, targets ...Target) *Window {
	return &Window{Header: Header{Name: "round-01/window", Round: 1}, Targets: targets, Form: "steps", Count: count, Timeout: wire.Duration(5 * time.Minute)}
}

// manualWindow asks for a duration.
func manualWindow(d time.Duration, targets ...Target) *Window {
	return &Window{Header: Header{Name: "round-01/window", Round: 1}, Targets: targets, Form: "manual", Duration: wire.Duration(d), Timeout: wire.Duration(5 * time.Minute)}
}

func hasWarning(h *host, text string) bool {
	return slices.ContainsFunc(h.Warnings(), func(w string) bool { return strings.Contains(w, text) })
}
