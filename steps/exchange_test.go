package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"profjob/internal/engine"
	"profjob/internal/event"
)

// What is sent to the servers of a window of which one start fails: first by the
// window itself, then by its cleanup.
func TestStartFails(t *testing.T) {
	hang := func(ctx context.Context, _ int) error { return hangs(ctx) }
	for _, c := range []struct {
		name  string
		start func(context.Context, int) error
		ours  bool // something of ours may be recording
		text  string
		final bool
		takes time.Duration
	}{
		{name: "connection refused", start: always(errRefusedConn), text: "not reachable", final: true},
		{name: "no route", start: always(errNoRoute), text: "not reachable", final: true},
		{name: "nothing was sent", start: always(engine.ErrNotSent), text: "nothing was sent"},
		{name: "404", start: always(status(404, engine.ErrNotConfigured)), text: "not configured", final: true},
		{name: "409", start: always(status(409, engine.ErrBusy)), text: "another profiling session"},
		{name: "400", start: always(status(400, engine.ErrRefused)), text: "refused", final: true},
		{name: "500", start: always(status(500, nil)), ours: true, text: "answered 500"},
		{name: "503", start: always(status(503, nil)), ours: true, text: "answered 503"},
		{name: "reset", start: always(errReset), ours: true, text: "reset"},
		{name: "no answer", start: hang, ours: true, text: "no answer", takes: startTimeout},
		{name: "panic", start: func(context.Context, int) error { panic("burst") }, ours: true, text: "panic: burst", final: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a", "b")
				h.server("a").start = c.start
				w := stepsWindow(3, target)
				began := time.Now()
				result, err := h.do(t.Context(), w)
				exit := ExitServer
				if c.name == "panic" {
					exit = ExitFailed
				}
				failed(t, err, exit, c.text)
				var f *Failure
				if errors.As(err, &f) && f.Final != c.final {
					t.Errorf("final %t", f.Final)
				}
				if took := time.Since(began); took != c.takes {
					t.Errorf("it took %s", took)
				}
				// What may have begun is in the result, so that what it wrote is kept.
				var begun []string
				for _, e := range result.(WindowResult).Endpoints {
					begun = append(begun, fmt.Sprintf("%s %t %t", e.Endpoint, e.StartError != "", e.Stopped))
				}
				wantBegun := []string{"http://b false true"}
				if c.ours {
					wantBegun = []string{"http://a true true", "http://b false true"}
				}
				if !slices.Equal(begun, wantBegun) {
					t.Errorf("begun (start failed, stopped): %v, want %v", begun, wantBegun)
				}
				if err := w.Undo(t.Context(), h.Run); err != nil {
					t.Errorf("clean up: %v", err)
				}
				want := "a:start b:start,stop"
				if c.ours {
					want = "a:start,stop b:start,stop"
				}
				if got := h.asked("a", "b"); got != want {
					t.Errorf("after the cleanup asked %s, want %s", got, want)
				}
				if err := w.Undo(t.Context(), h.Run); err != nil || h.asked("a", "b") != want {
					t.Errorf("a second cleanup asked %s: %v", h.asked("a", "b"), err)
				}
			})
		})
	}
}

// Whatever cannot be journaled, or is refused by the guard, is not started.
func TestStartNotIntended(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*host)
		exit int
	}{
		{"journal", func(h *host) {
			h.broken = func(ev event.Event) error {
				if i, ok := ev.(event.Intent); ok && i.Action == "start" {
					return incomplete("journal: full")
				}
				return nil
			}
		}, ExitIncomplete},
		{"guard", func(h *host) { h.guard.refuse = serverFailure("guard: no") }, ExitServer},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			w := stepsWindow(3, h.serve("a"))
			c.set(h)
			_, err := h.do(t.Context(), w)
			failed(t, err, c.exit, c.name)
			if err := w.Undo(t.Context(), h.Run); err != nil || h.asked("a") != "a:" {
				t.Errorf("asked %q, %v", h.asked("a"), err)
			}
			if h.guard.overs != 1 {
				t.Errorf("the guard was told %d times that nothing of ours is on", h.guard.overs)
			}
		})
	}
}

// A start whose outcome could not be journaled is a start: it is stopped, and the
// run ends because of the disk and not of the server.
func TestStartOutcomeNotJournaled(t *testing.T) {
	h := newHost(t)
	w := stepsWindow(3, h.serve("a"))
	h.broken = func(ev event.Event) error {
		if _, ok := ev.(event.Outcome); ok {
			return incomplete("journal: full")
		}
		return nil
	}
	_, err := h.do(t.Context(), w)
	failed(t, err, ExitIncomplete, "journal: full")
	if err := w.Undo(t.Context(), h.Run); err != nil || h.asked("a") != "a:start,stop" {
		t.Errorf("asked %s, %v", h.asked("a"), err)
	}
}

// Each start and stop is journaled before it is sent, and so is its outcome before
// the next thing.
func TestExchangesAreJournaled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		w := manualWindow(time.Second, h.serve("a"))
		seen := func(action string) func(context.Context, int) error {
			return func(context.Context, int) error {
				intents := told[event.Intent](h)
				if last := intents[len(intents)-1]; last.Action != action || last.Endpoint != "http://a" || len(told[event.Outcome](h)) != len(intents)-1 {
					t.Errorf("when the %s is sent the journal has %+v", action, last)
				}
				return nil
			}
		}
		h.server("a").start, h.server("a").stop = seen("start"), seen("stop")
		if _, err := h.do(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if n := len(told[event.Outcome](h)); n != 2 || len(h.guard.intents) != 1 {
			t.Errorf("%d outcomes, the guard knows of %+v", n, h.guard.intents)
		}
	})
}

func TestStopFails(t *testing.T) {
	for _, c := range []struct {
		name     string
		stop     func(context.Context, int) error
		exit     int
		asked    string // by the window
		stopped  bool
		error    string // of the stop, in the result
		lost     bool
		after    string // asked once the cleanup is done
		cleanup  int
		cleanedW string // the cleanup's warning
	}{
		{name: "well", stop: nil, asked: "a:start,stop", stopped: true, after: "a:start,stop"},
		{name: "nothing was recording", stop: always(status(404, engine.ErrIdle)), asked: "a:start,stop", stopped: true, after: "a:start,stop"},
		{name: "500 twice", stop: always(status(500, nil)), asked: "a:start,stop,stop", stopped: true, error: "answered 500", after: "a:start,stop,stop"},
		{name: "500 once", stop: once(status(500, nil)), asked: "a:start,stop,stop", stopped: true, after: "a:start,stop,stop"},
		{name: "reset once", stop: once(errReset), asked: "a:start,stop,stop", stopped: true, after: "a:start,stop,stop"},
		{name: "reset each time", stop: always(errReset), asked: "a:start,stop,stop", error: "reset",
			after: "a:start,stop,stop,stop,stop", cleanup: ExitServer},
		{name: "gateway", stop: always(status(504, nil)), asked: "a:start,stop,stop", error: "answered 504",
			after: "a:start,stop,stop,stop,stop", cleanup: ExitServer},
		{name: "not allowed", stop: always(status(401, nil)), asked: "a:start,stop,stop", error: "answered 401",
			after: "a:start,stop,stop,stop,stop", cleanup: ExitServer},
		{name: "gone", stop: always(errRefusedConn), exit: ExitServer, asked: "a:start,stop", error: "refused", lost: true, after: "a:start,stop"},
		{name: "no route", stop: always(errNoRoute), exit: ExitServer, asked: "a:start,stop,stop", error: "no route", lost: true,
			after: "a:start,stop,stop,stop,stop", cleanup: ExitServer},
		{name: "answered at last", stop: func(_ context.Context, try int) error {
			if try <= 2 {
				return errReset
			}
			return nil
		}, asked: "a:start,stop,stop", error: "reset", after: "a:start,stop,stop,stop"},
		{name: "gone at last", stop: func(_ context.Context, try int) error {
			if try <= 2 {
				return errReset
			}
			return errRefusedConn
		}, asked: "a:start,stop,stop", error: "reset", after: "a:start,stop,stop,stop", cleanedW: "the server is gone"},
		{name: "500 at last", stop: func(_ context.Context, try int) error {
			if try <= 2 {
				return errReset
			}
			return status(500, nil)
		}, asked: "a:start,stop,stop", error: "reset", after: "a:start,stop,stop,stop,stop", cleanedW: "nothing was recording any more"},
		{name: "panic", stop: func(_ context.Context, try int) error {
			if try == 1 {
				panic("burst")
			}
			return nil
		}, exit: ExitFailed, asked: "a:start,stop", lost: true, after: "a:start,stop,stop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				w := manualWindow(time.Second, h.serve("a"))
				server := h.server("a")
				server.stop = func(ctx context.Context, try int) error {
					if c.stop == nil {
						return nil
					}
					err := c.stop(ctx, try)
					if engine.Gone(err) { // and stays so
						server.mu.Lock()
						defer server.mu.Unlock()
						server.ready = func(context.Context) error { return err }
					}
					return err
				}
				result, err := h.do(t.Context(), w)
				failed(t, err, c.exit, "")
				e := result.(WindowResult).Endpoints[0]
				if e.Stopped != c.stopped || e.Lost() != c.lost || !contains(e.StopError, c.error) || e.Ended != EndedDuration {
					t.Errorf("got %+v", e)
				}
				if (c.error != "") != (len(h.Warnings()) > 0) && c.exit == 0 {
					t.Errorf("warnings %q", h.Warnings())
				}
				if got := h.asked("a"); got != c.asked {
					t.Errorf("asked %s, want %s", got, c.asked)
				}
				failed(t, w.Undo(t.Context(), h.Run), c.cleanup, "may still be on")
				if got := h.asked("a"); got != c.after {
					t.Errorf("after the cleanup asked %s, want %s", got, c.after)
				}
				if !hasWarning(h, c.cleanedW) && c.cleanedW != "" {
					t.Errorf("warnings %q", h.Warnings())
				}
			})
		})
	}
}

func once(err error) func(context.Context, int) error {
	return func(_ context.Context, try int) error {
		if try == 1 {
			return err
		}
		return nil
	}
}

// contains: an empty text is contained in nothing but the empty one.
func contains(text, part string) bool {
	if part == "" {
		return text == ""
	}
	return strings.Contains(text, part)
}

// A complete trace proves that a profiler is off whose stop was never answered.
func TestStopUnansweredButWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		w := manualWindow(time.Second, target)
		h.server("a").stop = always(errReset)
		if _, err := h.do(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		h.armed.wrote(target)
		if err := w.Undo(t.Context(), h.Run); err != nil || !hasWarning(h, "its profiler is off") {
			t.Errorf("got %v, warnings %q", err, h.Warnings())
		}
		// That proof is for one session only.
		if err := h.start(t.Context(), server{Target: target, Endpoint: "http://a", Client: h.server("a")}, engine.StartOptions{}); err != nil {
			t.Fatal(err)
		}
		failed(t, w.Undo(t.Context(), h.Run), ExitServer, "may still be on")
	})
}

// A server that answers a stop with an error and says that its session goes on is
// asked again, and counts as stopped only once it says otherwise.
func TestStopAnsweredAndGoesOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		until int // the stop that ends the session
		asked string
		owed  int
	}{
		{"ends at the third", 3, "a:start,stop,stop,stop", 0},
		{"never ends", 1000, "a:start,stop,stop,stop,stop,stop", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				w := manualWindow(time.Second, target)
				server := h.server("a")
				server.active = true
				server.stop = func(_ context.Context, try int) error {
					server.active = try < c.until
					return status(500, nil)
				}
				result, err := h.do(t.Context(), w)
				if err != nil || h.asked("a") != c.asked {
					t.Errorf("asked %s, %v", h.asked("a"), err)
				}
				if e := result.(WindowResult).Endpoints[0]; e.Stopped != (c.owed == 0) {
					t.Errorf("stopped %t", e.Stopped)
				}
				if len(h.armed.list()) != c.owed {
					t.Errorf("owed %v", h.armed.list())
				}
				h.armed.wrote(target) // a bound may have written it: no proof for the session
				if err := w.Undo(t.Context(), h.Run); (err != nil) != (c.owed > 0) {
					t.Errorf("clean up: %v", err)
				}
			})
		})
	}
}

// A connection that is refused need not be the server's end: it is waited for a
// little, and asked again once somebody listens.
func TestStopRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		back  time.Duration // after the stop that was refused; 0: never
		asked string
		takes time.Duration
	}{
		{"for ever", 0, "a:start,stop", goneFor},
		{"for 3 s", 3 * time.Second, "a:start,stop,stop", 3*time.Second + stopAgainWait},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				server := h.server("a")
				var refused time.Time
				server.stop = func(_ context.Context, try int) error {
					if try > 1 {
						return nil
					}
					refused = time.Now()
					server.mu.Lock()
					defer server.mu.Unlock()
					server.ready = func(context.Context) error {
						if c.back > 0 && time.Since(refused) >= c.back {
							return nil
						}
						return errRefusedConn
					}
					return errRefusedConn
				}
				_, err := h.do(t.Context(), manualWindow(time.Second, target))
				if (err != nil) != (c.back == 0) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(refused); took != c.takes || h.asked("a") != c.asked || len(h.armed.list()) > 0 {
					t.Errorf("asked %s in %s, owed %v", h.asked("a"), took, h.armed.list())
				}
			})
		})
	}
}

// An interrupt while a start is under way waits for its answer, and then stops
// what it began.
func TestInterruptWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		w := stepsWindow(3, h.serve("a"))
		ctx, cancel := context.WithCancelCause(t.Context())
		h.server("a").start = func(ctx context.Context, _ int) error {
			cancel(ErrInterrupted)
			return h.Clock.Sleep(ctx, 10*time.Second)
		}
		began := time.Now()
		result, err := h.do(ctx, w)
		if err != nil {
			t.Fatal(err)
		}
		if e := result.(WindowResult).Endpoints[0]; e.Ended != EndedInterrupted || !e.Stopped || time.Since(began) != 10*time.Second {
			t.Errorf("after %s: %+v", time.Since(began), e)
		}
		if got := h.asked("a"); got != "a:start,stop" {
			t.Errorf("asked %s", got)
		}
	})
}

// A run that has been interrupted sends no start at all.
func TestInterruptBeforeStarting(t *testing.T) {
	h := newHost(t)
	w := stepsWindow(3, h.serve("a"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	_, err := h.do(ctx, w)
	failed(t, err, ExitInterrupted, "interrupted")
	if err := w.Undo(t.Context(), h.Run); err != nil || h.asked("a") != "a:" {
		t.Errorf("asked %q, %v", h.asked("a"), err)
	}
}

// Only the third interrupt leaves a stop unanswered; it is then still owed.
func TestInterruptWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		w := manualWindow(time.Second, h.serve("a"))
		ctx, cancel := context.WithCancelCause(t.Context())
		h.server("a").stop = func(ctx context.Context, try int) error {
			if try > 1 {
				return nil
			}
			return hangs(ctx)
		}
		go func() {
			for range 3 {
				time.Sleep(time.Minute)
				h.Interrupts.Signal()
				cancel(ErrInterrupted)
			}
		}()
		began := time.Now()
		result, _ := h.do(ctx, w)
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("the stop was left after %s", took)
		}
		if e := result.(WindowResult).Endpoints[0]; e.Stopped || e.StopError == "" {
			t.Errorf("got %+v", e)
		}
		if len(h.armed.list()) != 1 {
			t.Error("nothing is owed any more")
		}
		if err := w.Undo(t.Context(), h.Run); err != nil || h.asked("a") != "a:start,stop,stop" {
			t.Errorf("asked %s, %v", h.asked("a"), err)
		}
	})
}

// A cleanup's own context can end; what it could not stop stays owed.
func TestUndoWithoutTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a", "b")
		w := stepsWindow(3, target)
		h.server("a").start = always(errReset)
		h.server("a").stop = func(ctx context.Context, n int) error {
			if n <= 2 {
				return errReset
			}
			return hangs(ctx)
		}
		_, _ = h.do(t.Context(), w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		failed(t, w.Undo(ctx, h.Run), ExitServer, "may still be on")
		if got := h.asked("a", "b"); got != "a:start,stop,stop,stop b:start,stop" {
			t.Errorf("asked %s", got)
		}
		if owed := h.armed.list(); len(owed) != 1 || owed[0].Endpoint != "http://a" {
			t.Errorf("owed %+v", owed)
		}
	})
}
