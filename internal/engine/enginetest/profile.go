package enginetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"profjob/internal/engine"
)

func testStartStop(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	for range 2 { // a second recording works like the first
		s.start(engine.StartOptions{})
		s.load()
		s.stop()
	}
}

func testDoubleStart(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	s.start(engine.StartOptions{})
	err := s.client.Start(s.ctx, engine.StartOptions{})
	switch {
	case env.Expect.TellsBusy && !errors.Is(err, engine.ErrBusy):
		t.Errorf("a start while recording: got %v, want ErrBusy", err)
	case env.Expect.TellsBusy && !engine.NotStarted(err):
		t.Errorf("a start while recording: NotStarted is false of %v", err)
	case !env.Expect.TellsBusy && err != nil:
		t.Errorf("a start while recording: got %v, want the success that this dialect answers", err)
	}
	tellsActive(t, s, env.Expect.TellsBusy)
	s.load()
	s.stop()
	tellsActive(t, s, false)
}

// tellsActive checks what a server says of its session, where the client can ask.
func tellsActive(t *testing.T, s session, want bool) {
	t.Helper()
	c, ok := s.client.(engine.Stateful)
	if !ok {
		return
	}
	if got, err := c.SessionActive(s.ctx); err != nil || got != want {
		t.Errorf("session active: %t, %v; want %t", got, err, want)
	}
}

func testIdleStop(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	s.start(engine.StartOptions{})
	s.load()
	s.stop()
	err := s.client.Stop(s.ctx)
	var status *engine.StatusError
	switch env.Expect.IdleStop {
	case IdleStopOK:
		if err != nil {
			t.Errorf("a stop while idle: got %v, want none", err)
		}
	case IdleStopAmbiguous:
		if !errors.As(err, &status) || engine.NotRecording(err) {
			t.Errorf("a stop while idle: got %v, want a StatusError of which NotRecording is false", err)
		}
	case IdleStopTold:
		if !engine.NotRecording(err) {
			t.Errorf("a stop while idle: NotRecording is false of %v", err)
		}
	}
	// Whatever was answered, it did no harm.
	s.start(engine.StartOptions{})
	s.load()
	s.stop()
}

func testWithoutProfiler(t *testing.T, env Env) {
	s := env.open(t, Launch{})
	err := s.client.Start(s.ctx, engine.StartOptions{})
	if !errors.Is(err, engine.ErrNotConfigured) || !engine.NotStarted(err) {
		t.Errorf("start: got %v, want ErrNotConfigured", err)
	}
	if err := s.client.Stop(s.ctx); !engine.NotRecording(err) {
		t.Errorf("stop: NotRecording is false of %v", err)
	}
}

// testBounds: with bounds the recording ends by itself; without, they are not
// sent, so that it does not. Both are ended by a stop.
func testBounds(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	s.start(engine.StartOptions{Prefix: "suite", DelaySteps: 1, MaxSteps: 3})
	s.load()
	s.stop()
	s.start(engine.StartOptions{})
	s.load()
	s.stop()
}

func testBoundsRefused(t *testing.T, env Env) {
	if !env.Expect.PerRequestBounds {
		t.Skip("this dialect takes no bounds")
	}
	s := env.open(t, Launch{Profiling: true})
	err := s.client.Start(s.ctx, engine.StartOptions{MaxSteps: -1})
	if !errors.Is(err, engine.ErrRefused) || !engine.NotStarted(err) {
		t.Errorf("a start with an impossible bound: got %v, want ErrRefused", err)
	}
	s.start(engine.StartOptions{})
	s.load()
	s.stop()
}

func testCancelled(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.client.Start(ctx, engine.StartOptions{}); !errors.Is(err, context.Canceled) || !engine.NotStarted(err) {
		t.Errorf("start: got %v, want context.Canceled, and NotStarted true of it", err)
	}
	for name, do := range map[string]func() error{
		"stop":    func() error { return s.client.Stop(ctx) },
		"ready":   func() error { return s.client.Ready(ctx) },
		"probe":   func() error { _, err := s.client.Probe(ctx); return err },
		"metrics": func() error { _, err := s.client.Metrics(ctx); return err },
	} {
		if err := do(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", name, err)
		}
	}
	s.start(engine.StartOptions{}) // nothing of the cancelled start is left
	s.load()
	s.stop()
}

// testConcurrent: metrics are read while a window is open and a stop is waited for.
func testConcurrent(t *testing.T, env Env) {
	s := env.open(t, Launch{Profiling: true})
	s.start(engine.StartOptions{})
	var readers sync.WaitGroup
	defer readers.Wait()
	done := make(chan struct{})
	defer close(done)
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := s.client.Metrics(s.ctx); err != nil {
					t.Errorf("metrics: %v", err)
					return
				}
			}
		})
	}
	s.load()
	s.stop()
}
