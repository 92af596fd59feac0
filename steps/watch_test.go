package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/wire"
)

// window carries out a window and gives what became of its first endpoint.
func (h *host) window(ctx context.Context, w *Window) (EndpointWindow, error) {
	h.t.Helper()
	result, err := h.do(ctx, w)
	if result == nil {
		h.t.Fatalf("no result: %v", err)
	}
	return result.(WindowResult).Endpoints[0], err
}

func (e EndpointWindow) open() time.Duration { return e.StopSent.Sub(e.StartAnswered) }

// A window of engine steps is open until a few more than were asked for have
// passed, and some more in each further attempt.
func TestStepsWindowCounts(t *testing.T) {
	const pace = 50 * time.Millisecond
	for _, c := range []struct{ count, delay, attempt, least int }{
		{5, 0, 1, 7},
		{5, 10, 1, 17},
		{5, 0, 2, 11},
		{5, 0, 3, 15},
		{1, 0, 1, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.chose(target, StrategyObserved)
			h.Place.Attempt = c.attempt
			h.server("a").metrics = counting(pace)
			w := stepsWindow(c.count, target)
			w.Delay = c.delay
			e, err := h.window(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			least := time.Duration(c.least) * pace
			if e.Ended != EndedRecorded || e.Seen < int64(c.least) || e.open() < least || e.open() > least+pollMost {
				t.Errorf("%+v: open for %s, want about %s: %+v", c, e.open(), least, e)
			}
			if e.Strategy != StrategyObserved || e.Bound != 0 || h.server("a").bounds[0] != 0 {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// cores gives metrics of a server with data parallelism, each core at a pace of its
// own from now on; 0: it takes no step. running is that of each core.
func cores(running func(core int, since time.Duration) int64, paces ...time.Duration) func(context.Context) (engine.Metrics, error) {
	began := time.Now()
	return func(context.Context) (engine.Metrics, error) {
		m := engine.Metrics{Raw: []byte("# some\n"), Cores: map[string]engine.Core{}}
		for i, pace := range paces {
			c := engine.Core{EngineSteps: int64(1000 * i), Running: running(i, time.Since(began))}
			if pace > 0 {
				c.EngineSteps += int64(time.Since(began) / pace)
			}
			m.Cores[fmt.Sprint(i)] = c
			m.EngineSteps, m.Running = m.EngineSteps+c.EngineSteps, m.Running+c.Running
		}
		return m, nil
	}
}

// Each engine core of a server has a window of its own: the steps of the busiest
// are none of the others'.
func TestWindowOfSeveralCores(t *testing.T) {
	const slow = 100 * time.Millisecond
	busy := func(int, time.Duration) int64 { return 4 }
	for _, c := range []struct {
		name  string
		paces []time.Duration
		ended string
		open  time.Duration
		seen  int64
	}{
		{"one is slower", []time.Duration{time.Millisecond, slow, 2 * time.Millisecond}, EndedRecorded, 7 * slow, 7},
		{"one takes no step", []time.Duration{time.Millisecond, 0}, EndedTimeout, 42 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.server("a").metrics = cores(busy, c.paces...)
				w := stepsWindow(5, target)
				w.Timeout = wire.Duration(42 * time.Second)
				e, err := h.window(t.Context(), w)
				if err != nil || e.Ended != c.ended || e.Seen < c.seen || e.Seen > c.seen+3 || e.open() < c.open || e.open() > c.open+pollMost {
					t.Errorf("open for %s, want about %s: %+v, %v", e.open(), c.open, e, err)
				}
			})
		})
	}
}

// A window by tokens waits for the step that it begins with on each engine core.
func TestTokensWindowOfSeveralCores(t *testing.T) {
	const pace, late = 10 * time.Millisecond, 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.chose(target, StrategyObserved)
		h.server("a").metrics = cores(func(core int, since time.Duration) int64 {
			if core == 1 && since < late {
				return 2 // too few, though the sum is enough
			}
			return 4
		}, pace, pace)
		w := stepsWindow(5, target)
		w.Form, w.Tokens = "tokens", &TokensParams{Threshold: 3, Phase: "decode"}
		e, err := h.window(t.Context(), w)
		if err != nil || e.Ended != EndedRecorded || e.open() < late || e.open() > late+time.Second {
			t.Errorf("open for %s: %+v, %v", e.open(), e, err)
		}
	})
}

// served gives metrics of a server that makes a step each pace: the i-th is what
// step says, of prompts with as many tokens and of so many decodes.
func served(pace time.Duration, step func(i int64) (prompts []int64, decodes int64)) func(context.Context) (engine.Metrics, error) {
	began := time.Now()
	var mu sync.Mutex // the files of metrics are read beside the watch
	core := engine.Core{Running: 1, DraftTokens: -1}
	return func(context.Context) (engine.Metrics, error) {
		mu.Lock()
		defer mu.Unlock()
		for core.EngineSteps < int64(time.Since(began)/pace) {
			prompts, decodes := step(core.EngineSteps)
			core.EngineSteps++
			for _, n := range prompts {
				core.PromptTokens, core.StepTokens = core.PromptTokens+n, core.StepTokens+n
			}
			given := decodes + int64(len(prompts))
			core.FirstTokens, core.GenerationTokens, core.StepTokens = core.FirstTokens+int64(len(prompts)), core.GenerationTokens+given, core.StepTokens+given
			core.Running = given
		}
		return engine.Metrics{Raw: []byte("# some\n"), EngineSteps: core.EngineSteps, Cores: map[string]engine.Core{"0": core}}, nil
	}
}

// Prompts that are long enough only together, and requests that are enough only
// beside a prompt, are no step to begin with: the window waits for the one that is.
func TestTokensWindowWaitsForItsStep(t *testing.T) {
	const pace, late = 25 * time.Millisecond, 800 // steps
	for _, c := range []struct {
		name   string
		tokens TokensParams
		before func(i int64) ([]int64, int64)
		then   func(i int64) ([]int64, int64)
	}{
		{"small prompts", TokensParams{Threshold: 64, Phase: "mixed"},
			func(int64) ([]int64, int64) { return []int64{10}, 3 }, func(int64) ([]int64, int64) { return []int64{100}, 3 }},
		{"prompts beside decodes", TokensParams{Threshold: 64, Phase: "prefill"},
			func(int64) ([]int64, int64) { return []int64{100}, 3 }, func(int64) ([]int64, int64) { return []int64{100}, 0 }},
		{"decodes beside prompts", TokensParams{Threshold: 4, Phase: "decode"},
			func(int64) ([]int64, int64) { return []int64{2}, 8 }, func(int64) ([]int64, int64) { return nil, 8 }},
		{"too few", TokensParams{Threshold: 64, Phase: "any"},
			func(int64) ([]int64, int64) { return nil, 60 }, func(int64) ([]int64, int64) { return nil, 64 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.chose(target, StrategyObserved)
				h.server("a").metrics = served(pace, func(i int64) ([]int64, int64) {
					if i < late {
						return c.before(i)
					}
					return c.then(i)
				})
				w := stepsWindow(5, target)
				w.Form, w.Tokens = "tokens", &c.tokens
				e, err := h.window(t.Context(), w)
				if err != nil || e.Ended != EndedRecorded || e.Seen < late+5 || e.Seen > late+5+10 || e.Hints == 0 {
					t.Errorf("open for %s: %+v, %v", e.open(), e, err)
				}
			})
		})
	}
}

// A server whose metrics take their time is not asked without a pause.
func TestTokensWindowLeavesTheServerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.chose(target, StrategyObserved)
		metrics := served(time.Second, func(int64) ([]int64, int64) { return nil, 3 })
		var asked atomic.Int64
		h.server("a").metrics = func(ctx context.Context) (engine.Metrics, error) {
			asked.Add(1)
			return metricsAfter(ctx, 50*time.Millisecond, metrics)
		}
		w := stepsWindow(5, target)
		w.Form, w.Tokens, w.Timeout = "tokens", &TokensParams{Threshold: 64, Phase: PhaseAny}, wire.Duration(20*time.Second)
		if e, err := h.window(t.Context(), w); err != nil || asked.Load() < 95 || asked.Load() > 105 {
			t.Errorf("asked %d times in %s: %+v, %v", asked.Load(), e.open(), e, err)
		}
	})
}

func metricsAfter(ctx context.Context, d time.Duration, metrics func(context.Context) (engine.Metrics, error)) (engine.Metrics, error) {
	if err := (SystemClock{}).Sleep(ctx, d); err != nil {
		return engine.Metrics{}, err
	}
	return metrics(ctx)
}

// A window whose step never comes lasts until its timeout.
func TestTokensWindowWithoutItsStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.chose(target, StrategyObserved)
		h.server("a").metrics = served(25*time.Millisecond, func(int64) ([]int64, int64) { return []int64{10}, 3 })
		w := stepsWindow(5, target)
		w.Form, w.Tokens = "tokens", &TokensParams{Threshold: 64, Phase: "mixed"}
		e, err := h.window(t.Context(), w)
		if err != nil || e.Ended != EndedTimeout || e.open() != 5*time.Minute || e.Hints != 0 {
			t.Errorf("open for %s: %+v, %v", e.open(), e, err)
		}
		last := told[event.Progress](h)
		if p := last[len(last)-1]; !strings.Contains(p.Text, "waiting for the first engine step that qualifies") {
			t.Errorf("progress %+v", p)
		}
	})
}

// A server that takes a bound is told one that thin traffic's idle passes cannot use up.
func TestBoundedWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.chose(target, StrategyBounded)
		h.server("a").metrics = counting(10 * time.Millisecond)
		w := stepsWindow(5, target)
		w.Delay = 3
		e, err := h.window(t.Context(), w)
		if err != nil || e.Bound < 2*8 || h.server("a").bounds[0] != e.Bound || e.Strategy != StrategyBounded {
			t.Errorf("asked for the bounds %v: %+v, %v", h.server("a").bounds, e, err)
		}
	})
}

func TestStepsWindowWithoutCount(t *testing.T) {
	none := func(context.Context) (engine.Metrics, error) { return engine.Metrics{EngineSteps: -1}, nil }
	fails := func(err error) func(context.Context) (engine.Metrics, error) {
		return func(context.Context) (engine.Metrics, error) { return engine.Metrics{}, err }
	}
	for _, c := range []struct {
		name    string
		metrics func(context.Context) (engine.Metrics, error)
		attempt int
		open    time.Duration
	}{
		{"no count", none, 1, time.Second},
		{"second attempt", none, 2, 2 * time.Second},
		{"fourth attempt", none, 4, 8 * time.Second},
		{"no attempt", none, 0, time.Second},
		{"404", fails(status(404, nil)), 1, time.Second},
		{"no connection", fails(errReset), 1, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.Place.Attempt = c.attempt
				target := h.serve("a")
				h.server("a").metrics = c.metrics
				e, err := h.window(t.Context(), stepsWindow(5, target))
				if err != nil || e.Ended != EndedRecorded || e.Seen != -1 || e.open() < c.open || e.open() > c.open+pollMost {
					t.Errorf("open for %s, want %s: %+v, %v", e.open(), c.open, e, err)
				}
			})
		})
	}
}

// Metrics that cannot be read for a moment are no server without metrics.
func TestMetricsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		began, count := time.Now(), counting(100*time.Millisecond)
		h.server("a").metrics = func(ctx context.Context) (engine.Metrics, error) {
			if time.Since(began) < 600*time.Millisecond {
				return engine.Metrics{}, errReset
			}
			return count(ctx)
		}
		e, err := h.window(t.Context(), stepsWindow(20, target))
		if err != nil || e.Seen < 22 || e.open() < 2*time.Second {
			t.Errorf("open for %s: %+v, %v", e.open(), e, err)
		}
	})
}

// A server that starts anew counts from zero: what it has seen stays.
func TestCountGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		var reads atomic.Int32
		h.server("a").metrics = func(context.Context) (engine.Metrics, error) {
			if reads.Add(1) < 4 {
				return engine.Metrics{EngineSteps: 100}, nil
			}
			return engine.Metrics{EngineSteps: 1}, nil
		}
		w := stepsWindow(5, target)
		w.Timeout = wire.Duration(2 * time.Second)
		if e, err := h.window(t.Context(), w); err != nil || e.Ended != EndedTimeout || e.Seen != 0 {
			t.Errorf("got %+v, %v", e, err)
		}
	})
}

// No window outlives its timeout, whatever the server does not answer.
func TestWindowTimeout(t *testing.T) {
	stalled := func(ctx context.Context) (engine.Metrics, error) { return engine.Metrics{}, hangs(ctx) }
	for name, set := range map[string]func(*Window, *fakeServer){
		"no traffic":          func(_ *Window, s *fakeServer) { s.metrics = counting(time.Hour) },
		"until stopped":       func(w *Window, _ *fakeServer) { w.Form, w.Until = "manual", "stopped" },
		"metrics hang, later": func(_ *Window, s *fakeServer) { s.metrics = afterFirst(stalled) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				w := stepsWindow(5, target)
				w.Timeout = wire.Duration(42 * time.Second)
				set(w, h.server("a"))
				e, err := h.window(t.Context(), w)
				if err != nil || e.Ended != EndedTimeout || e.open() != 42*time.Second {
					t.Errorf("open for %s: %+v, %v", e.open(), e, err)
				}
			})
		})
	}
}

// afterFirst answers well twice, for the metrics before the window and its base.
func afterFirst(then func(context.Context) (engine.Metrics, error)) func(context.Context) (engine.Metrics, error) {
	var n atomic.Int32
	return func(ctx context.Context) (engine.Metrics, error) {
		if n.Add(1) <= 2 {
			return engine.Metrics{EngineSteps: 7}, nil
		}
		return then(ctx)
	}
}

// A window by hand lasts as long as was asked, even of a server that answers slowly
// or not at all while it records.
func TestManualWindowIsPunctual(t *testing.T) {
	for name, set := range map[string]func(*fakeServer){
		"well": func(*fakeServer) {},
		"slow": func(s *fakeServer) {
			s.ready = func(ctx context.Context) error { return SystemClock{}.Sleep(ctx, 9*time.Second) }
			s.metrics = afterFirst(func(ctx context.Context) (engine.Metrics, error) {
				return engine.Metrics{}, SystemClock{}.Sleep(ctx, 9*time.Second)
			})
		},
		"mute": func(s *fakeServer) { s.ready = hangs },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				set(h.server("a"))
				e, err := h.window(t.Context(), manualWindow(7300*time.Millisecond, target))
				if err != nil || e.Ended != EndedDuration || e.open() != 7300*time.Millisecond {
					t.Errorf("open for %s: %+v, %v", e.open(), e, err)
				}
			})
		})
	}
}

// All endpoints are started at once and their windows count from the first answer.
func TestManualWindowOfTwoEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a", "b")
		h.server("b").start = func(ctx context.Context, _ int) error { return SystemClock{}.Sleep(ctx, time.Second) }
		result, err := h.do(t.Context(), manualWindow(3*time.Second, target))
		if err != nil {
			t.Fatal(err)
		}
		r := result.(WindowResult)
		a, b := r.Endpoints[0], r.Endpoints[1]
		// The window begins to be watched once all have answered.
		if !a.StartSent.Equal(b.StartSent) || a.open() != 3*time.Second || !a.StopSent.Equal(b.StopSent) || !r.opened().Equal(a.StartAnswered) {
			t.Errorf("a %+v\nb %+v", a, b)
		}
	})
}

func TestUntilStopped(t *testing.T) {
	for name, stop := range map[string]func(*Interrupts){
		"a signal":     func(i *Interrupts) { i.Signal() },
		"profjob stop": func(i *Interrupts) { i.EndWindow() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				w := manualWindow(0, h.serve("a"))
				w.Until = "stopped"
				go func() {
					time.Sleep(10 * time.Second)
					stop(h.Interrupts)
				}()
				e, err := h.window(t.Context(), w)
				if err != nil || e.Ended != EndedStopped || e.open() != 10*time.Second || h.Interrupts.Count() != 0 {
					t.Errorf("open for %s: %+v, %v", e.open(), e, err)
				}
				if h.Interrupts.EndWindow() || h.Interrupts.Signal() != 1 {
					t.Error("the window's claim has outlived it")
				}
			})
		})
	}
}

func TestInterruptEndsAWindow(t *testing.T) {
	for name, of := range map[string]func(Target) *Window{
		"steps":  func(target Target) *Window { return stepsWindow(1000, target) },
		"manual": func(target Target) *Window { return manualWindow(time.Minute, target) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.server("a").metrics = counting(time.Second)
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					time.Sleep(5 * time.Second)
					cancel(ErrInterrupted)
				}()
				e, err := h.window(ctx, of(target))
				if err != nil || e.Ended != EndedInterrupted || e.open() != 5*time.Second || !e.Stopped {
					t.Errorf("open for %s: %+v, %v", e.open(), e, err)
				}
			})
		})
	}
}

// A server that dies ends its window soon, one that is only slow does not.
func TestServerDies(t *testing.T) {
	after := func(d time.Duration, err error) func(context.Context) error {
		began := time.Now()
		return func(context.Context) error {
			if time.Since(began) < d {
				return nil
			}
			return err
		}
	}
	for _, c := range []struct {
		name        string
		ready       func() func(context.Context) error
		dies        bool
		least, most time.Duration // open
	}{
		{"refuses connections", func() func(context.Context) error { return after(5*time.Second, errRefusedConn) }, true, 5 * time.Second, 6 * time.Second},
		{"503", func() func(context.Context) error { return after(5*time.Second, status(503, nil)) }, true, 6 * time.Second, 9 * time.Second},
		{"mute", func() func(context.Context) error { return after(5*time.Second, errReset) }, true, time.Minute, 70 * time.Second},
		{"503 once", func() func(context.Context) error {
			n := 0
			return func(context.Context) error {
				if n++; n%3 == 1 {
					return status(503, nil)
				}
				return nil
			}
		}, false, 2 * time.Minute, 2 * time.Minute},
		{"mute for half a minute", func() func(context.Context) error {
			began := time.Now()
			return func(context.Context) error {
				if since := time.Since(began); since > 5*time.Second && since < 35*time.Second {
					return errReset
				}
				return nil
			}
		}, false, 2 * time.Minute, 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.server("a").ready = c.ready()
				h.server("a").stop = always(errRefusedConn)
				if !c.dies {
					h.server("a").stop = nil
				}
				e, err := h.window(t.Context(), manualWindow(2*time.Minute, target))
				exit, ended := ExitOK, EndedDuration
				if c.dies {
					exit, ended = ExitServer, EndedAborted
				}
				failed(t, err, exit, "died while it recorded")
				if e.Ended != ended || e.open() < c.least || e.open() > c.most || e.Lost() != c.dies {
					t.Errorf("open for %s: %+v", e.open(), e)
				}
			})
		})
	}
}

func TestLaunchedServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		p := newProcess()
		h.processes = map[string]Process{target.Name: p}
		h.server("a").stop = always(errRefusedConn)
		go func() {
			time.Sleep(345 * time.Millisecond)
			p.die(errors.New("signal: segmentation fault"))
		}()
		e, err := h.window(t.Context(), stepsWindow(5, target))
		failed(t, err, ExitServer, "segmentation fault")
		if e.Ended != EndedAborted || e.open() != 345*time.Millisecond {
			t.Errorf("open for %s: %+v", e.open(), e)
		}
	})
}

// Where one of two servers dies the other's window ends, too, and what it has
// recorded is kept.
func TestOneOfTwoDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a", "b")
		h.server("a").ready = func(context.Context) error { return errRefusedConn }
		h.server("a").stop = always(errRefusedConn)
		result, err := h.do(t.Context(), manualWindow(time.Minute, target))
		failed(t, err, ExitServer, "died while it recorded")
		r := result.(WindowResult)
		a, b := r.Endpoints[0], r.Endpoints[1]
		if !a.Lost() || b.Lost() || !b.Stopped || b.Ended != EndedAborted || b.open() != time.Second || r.Ended != EndedAborted {
			t.Errorf("a %+v\nb %+v", a, b)
		}
		if !(&Collect{}).Keeps(h.Run) {
			t.Error("what b has recorded is not kept")
		}
		g := &gathering{Collect: &Collect{Targets: []Target{target}}, run: h.Run, target: target}
		if g.expect(r); g.need != 1 || g.grace != graceAnswered {
			t.Errorf("waiting for %d traces for %s", g.need, g.grace)
		}
	})
}

func TestNothingToKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		if (&Collect{}).Keeps(h.Run) || (&Verify{}).Keeps(h.Run) {
			t.Error("an attempt without a window has something to keep")
		}
		h.server("a").ready = func(context.Context) error { return errRefusedConn }
		h.server("a").stop = always(errRefusedConn)
		_, _ = h.do(t.Context(), manualWindow(time.Minute, target))
		if (&Collect{}).Keeps(h.Run) {
			t.Error("a server that died has something to keep")
		}
	})
}

// A panic while metrics are read ends the window as an error.
func TestWindowMetricsPanic(t *testing.T) {
	for after := range 2 { // before the start, and with the window open
		h := newHost(t)
		target := h.serve("a")
		h.chose(target, StrategyObserved)
		var asked atomic.Int32
		h.server("a").metrics = func(context.Context) (engine.Metrics, error) {
			if int(asked.Add(1)) > after {
				panic("burst")
			}
			return engine.Metrics{EngineSteps: -1, Running: -1}, nil
		}
		_, err := h.do(t.Context(), manualWindow(20*time.Millisecond, target))
		failed(t, err, ExitFailed, "panic: burst")
		if got, want := h.asked("a"), []string{"a:", "a:start,stop"}[after]; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

// A panic beside one window ends it as an error, and every profiler is stopped.
func TestWatchPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a", "b")
		h.server("a").ready = func(context.Context) error { panic("burst") }
		_, err := h.do(t.Context(), manualWindow(time.Minute, target))
		failed(t, err, ExitFailed, "panic: burst")
		if got := h.asked("a", "b"); got != "a:start,stop b:start,stop" {
			t.Errorf("asked %s", got)
		}
	})
}

func TestWindowWithoutEndpoint(t *testing.T) {
	h := newHost(t)
	_, err := h.do(t.Context(), stepsWindow(1, h.serve()))
	failed(t, err, ExitServer, "no target has an endpoint")
}

func TestWindowKeepsMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a", "b")
		h.server("a").metrics = counting(time.Millisecond)
		h.server("b").metrics = func(context.Context) (engine.Metrics, error) { return engine.Metrics{}, status(404, nil) }
		if _, err := h.do(t.Context(), manualWindow(time.Second, target)); err != nil {
			t.Fatal(err)
		}
		for _, moment := range []string{"before", "start", "stop"} {
			data, err := os.ReadFile(h.Dir.Join("rounds/01/attempt-1/metrics/server", archive.EndpointSlug("http://a")+"-"+moment+".prom"))
			if err != nil || string(data) != "# some\n" {
				t.Errorf("%s: %q, %v", moment, data, err)
			}
		}
		if found, _ := filepath.Glob(h.Dir.Join("rounds/01/attempt-1/metrics/server", archive.EndpointSlug("http://b")+"*")); found != nil {
			t.Errorf("kept %q", found)
		}
		if !hasWarning(h, "no metrics are kept") {
			t.Errorf("warnings %q", h.Warnings())
		}
	})
}

// A file that cannot be kept does not keep a profiler on, nor what it recorded from
// being collected.
func TestWindowCannotKeepMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		var once atomic.Bool
		h.server("a").start = func(context.Context, int) error { once.Store(true); return nil }
		h.server("a").metrics = func(context.Context) (engine.Metrics, error) {
			if once.Load() { // the folder is replaced by a file
				_ = os.RemoveAll(h.Dir.Join("rounds/01/attempt-1/metrics"))
				_ = os.WriteFile(h.Dir.Join("rounds/01/attempt-1/metrics"), nil, 0o600)
			}
			return engine.Metrics{EngineSteps: -1, Raw: []byte("x")}, nil
		}
		e, err := h.window(t.Context(), manualWindow(time.Second, target))
		failed(t, err, ExitIncomplete, "keep metrics")
		if !e.Stopped || e.Lost() || !(&Collect{}).Keeps(h.Run) {
			t.Errorf("got %+v", e)
		}
	})
}

func TestWindowSummary(t *testing.T) {
	began := time.Now()
	r := WindowResult{Endpoints: []EndpointWindow{
		{StartAnswered: began, StopSent: began.Add(time.Second), StopAnswered: began.Add(1500 * time.Millisecond), Ended: EndedDuration}, {}}}
	if got := r.Summary(); got != "open for 1s (duration), stopped in 500ms, 2 endpoints" {
		t.Error(got)
	}
	if (WindowResult{}).Summary() != "" {
		t.Error("a window of nothing")
	}
}

func TestNextPoll(t *testing.T) {
	for _, c := range []struct {
		seen, need int64
		open, want time.Duration
	}{
		{0, 5, time.Second, 2 * pollLeast},
		{5, 10, time.Second, pollMost},
		{5, 10, 100 * time.Millisecond, 50 * time.Millisecond},
		{9, 10, 9 * time.Millisecond, pollLeast},
		{1, 1 << 40, 24 * time.Hour, pollMost},
	} {
		if got := nextPoll(c.seen, c.need, c.open); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestEnded(t *testing.T) {
	for _, c := range []struct {
		want string
		all  []string
	}{
		{EndedRecorded, []string{EndedRecorded}},
		{EndedTimeout, []string{EndedTimeout, EndedRecorded}},
		{EndedInterrupted, []string{EndedDuration, EndedInterrupted}},
		{EndedAborted, []string{EndedAborted, EndedLimit}},
	} {
		var windows []EndpointWindow
		for _, how := range c.all {
			windows = append(windows, EndpointWindow{Ended: how})
		}
		if got := ended(windows); got != c.want {
			t.Errorf("%v: %s, want %s", c.all, got, c.want)
		}
	}
}

func TestEventsOfAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.server("a").metrics = counting(100 * time.Millisecond)
		if _, err := h.do(t.Context(), stepsWindow(5, target)); err != nil {
			t.Fatal(err)
		}
		progress := told[event.Progress](h)
		last := progress[len(progress)-1]
		if last.Total != 5 || last.Done > 5 || last.Unit != "steps" || last.Step != "round-01/window" {
			t.Errorf("got %+v", last)
		}
		if fmt.Sprint(h.Warnings()) != "[]" {
			t.Errorf("warnings %q", h.Warnings())
		}
	})
}
