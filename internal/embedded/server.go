package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is one embedded engine with its HTTP API.
type Server struct {
	config   Config
	process  process
	metrics  *metrics
	engine   *engine
	frontend *frontend
	routes   router

	// profiling serialises starts and stops, and guards session.
	profiling sync.Mutex
	// session says that a start was answered and no stop since. 0.32 refuses
	// starts by it; it outlasts a recording that ended by its bound.
	session bool

	// handlers counts requests in progress: http.Server does not wait for those
	// whose connection was cut.
	handlers handlers
}

// New makes a server that does nothing yet: Serve, or Run for the engine alone,
// brings it to life, once.
func New(c Config) (*Server, error) {
	c, err := c.resolve()
	if err != nil {
		return nil, err
	}
	p := thisProcess()
	m := newMetrics(c.Model)
	e, err := newEngine(c, p, m)
	if err != nil {
		return nil, fmt.Errorf("make embedded engine: %w", err)
	}
	s := &Server{config: c, process: p, metrics: m, engine: e, frontend: newFrontend(c, p)}
	s.routes = newRouter(s.table())
	return s, nil
}

// Handler is the HTTP API. Its requests wait until Run or Serve runs the engine.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.handlers.enter() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer s.handlers.leave()
		s.routes.ServeHTTP(w, r)
	})
}

// handlers counts requests in progress and can be closed to more.
type handlers struct {
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func (h *handlers) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.running.Add(1)
	return true
}

func (h *handlers) leave() { h.running.Done() }

// close admits no more requests and waits for those in progress.
func (h *handlers) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.running.Wait()
}

// Run runs the engine without a listener, for a Handler that is served by
// others, until the context ends or the engine dies with ErrDied. Requests in
// flight then fail. It may be called once, and waits for all its goroutines;
// handlers in progress are those of whoever called them.
func (s *Server) Run(ctx context.Context) error { return s.engine.run(ctx) }

// shutdownTimeout is how long connections get to end after the engine has.
const shutdownTimeout = 5 * time.Second

// Serve runs the engine and serves its API until the context ends, which gives
// nil, or something fails. It closes the listener and waits for all its
// goroutines. It may be called once.
//
// As with vLLM (0.32.0 on CPU), a recording that is active when the context
// ends is lost: no file of it is written. Stop the profiler first.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}

	failures := make(chan error, 2)
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		failures <- s.Run(ctx)
	})
	running.Go(func() {
		defer cancel()
		err := web.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		failures <- err
	})

	<-ctx.Done()
	<-s.engine.ended
	// The engine has failed what was in flight, so that little is waited for.
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	if err := web.Shutdown(grace); err != nil {
		_ = web.Close() // cuts what did not end in time
	}
	s.handlers.close()
	running.Wait()
	if err := errors.Join(<-failures, <-failures); err != nil {
		return fmt.Errorf("serve embedded engine: %w", err)
	}
	return nil
}
