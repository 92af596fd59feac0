package steps

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"profjob/internal/engine"
	"profjob/internal/load"
	"profjob/internal/wire"
)

func TestWarmupMissing(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		warmup  Warmup
		at      WarmupResult
		elapsed time.Duration
		steady  time.Duration // since when enough were running; 0: they are not
		want    string
	}{
		{"no condition", Warmup{}, WarmupResult{Running: -1}, 0, 0, ""},
		{"too few running", Warmup{Running: 64}, WarmupResult{Running: 63}, 0, 0, "63 of 64 requests running"},
		{"enough running", Warmup{Running: 64}, WarmupResult{Running: 64}, 0, 1, ""},
		{"not for long enough", Warmup{Running: 64, Stable: wire.Duration(3 * time.Second)}, WarmupResult{Running: 70}, time.Minute, 1500 * time.Millisecond, "running for 1.5s of 3s"},
		{"for long enough", Warmup{Running: 64, Stable: wire.Duration(3 * time.Second)}, WarmupResult{Running: 64}, time.Minute, 3 * time.Second, ""},
		{"too few completed", Warmup{Requests: 200}, WarmupResult{Completed: 199}, 0, 0, "199 of 200 requests completed"},
		{"enough completed", Warmup{Requests: 200}, WarmupResult{Completed: 200}, 0, 0, ""},
		{"too early", Warmup{Duration: wire.Duration(30 * time.Second)}, WarmupResult{}, 29 * time.Second, 0, "29s of 30s passed"},
		{"late enough", Warmup{Duration: wire.Duration(30 * time.Second)}, WarmupResult{}, 30 * time.Second, 0, ""},
		{"all", Warmup{Running: 2, Requests: 3, Duration: wire.Duration(time.Second)}, WarmupResult{Running: 1, Completed: 1}, 0, 0,
			"1 of 2 requests running, 1 of 3 requests completed, 0s of 1s passed"},
	} {
		since := time.Time{}
		if c.steady > 0 {
			since = now.Add(-c.steady)
		}
		if got := strings.Join(c.warmup.missing(c.at, c.elapsed, now, since), ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func warmupOf(targets ...Target) *Warmup {
	return &Warmup{Header: Header{Name: "round-01/warmup", Round: 1}, Targets: targets, Timeout: wire.Duration(time.Minute)}
}

// running gives metrics with so many running requests, by the time since now.
func running(at func(time.Duration) int64) func(context.Context) (engine.Metrics, error) {
	began := time.Now()
	return func(context.Context) (engine.Metrics, error) {
		return engine.Metrics{Running: at(time.Since(began)), EngineSteps: -1}, nil
	}
}

// Requests are counted over all endpoints, and have to stay for as long as asked.
func TestWarmupWaitsUntilStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a", "b")
		h.server("a").metrics = running(func(since time.Duration) int64 {
			if since > 5*time.Second && since < 6*time.Second {
				return 1 // a dip: the time starts anew
			}
			return 3
		})
		h.server("b").metrics = running(func(time.Duration) int64 { return 2 })
		w := warmupOf(target)
		w.Running, w.Stable = 5, wire.Duration(7*time.Second)
		result, err := h.do(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		r := result.(WarmupResult)
		if took := time.Duration(r.Took); r.Running != 5 || took < 13*time.Second || took > 13100*time.Millisecond {
			t.Errorf("got %+v", r)
		}
		if r.Summary() != "5 running, 0 requests completed" {
			t.Error(r.Summary())
		}
	})
}

func TestWarmupFails(t *testing.T) {
	for _, c := range []struct {
		name      string
		metrics   func(context.Context) (engine.Metrics, error)
		interrupt bool
		exit      int
		text      string
		took      time.Duration
	}{
		{"not reached", running(func(time.Duration) int64 { return 1 }), false, ExitWindow, "not reached within 1m0s: 1 of 5 requests running", time.Minute},
		{"no such metric", running(func(time.Duration) int64 { return -1 }), false, ExitServer, "tells no number of running requests", 0},
		{"no metrics", func(context.Context) (engine.Metrics, error) { return engine.Metrics{}, errRefusedConn }, false, ExitServer, "read how many requests run", 0},
		{"interrupted", running(func(time.Duration) int64 { return 1 }), true, ExitInterrupted, "interrupted", 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				h.server("a").metrics = c.metrics
				w := warmupOf(target)
				w.Running = 5
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if c.interrupt {
					go func() {
						time.Sleep(10 * time.Second)
						cancel(ErrInterrupted)
					}()
				}
				began := time.Now()
				result, err := h.do(ctx, w)
				failed(t, err, c.exit, c.text)
				if took := time.Since(began); took < c.took || took > c.took+time.Second || result != nil {
					t.Errorf("it took %s and gave %v", took, result)
				}
			})
		})
	}
}

// A server that dies ends a warmup that waits for requests or for time, at once.
func TestWarmupOfAServerThatDies(t *testing.T) {
	const when = 10500 * time.Millisecond // between two looks at its health
	for _, c := range []struct {
		name string
		dies func(*fakeServer, *fakeProcess)
		text string
		took time.Duration
	}{
		{"its process ends", func(_ *fakeServer, p *fakeProcess) { p.die(errors.New("exit status 3")) }, "server ended while it warmed up (exit status 3)", when},
		{"nobody listens", func(s *fakeServer, _ *fakeProcess) { s.setReady(errRefusedConn) }, "server died while it warmed up", 11 * time.Second},
		{"it answers 500", func(s *fakeServer, _ *fakeProcess) { s.setReady(status(500, nil)) }, "server died while it warmed up", 12 * time.Second},
	} {
		for condition, set := range map[string]func(*Warmup){
			"requests": func(w *Warmup) { w.Requests = 5 },
			"duration": func(w *Warmup) { w.Duration = wire.Duration(40 * time.Second) },
		} {
			t.Run(c.name+", "+condition, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHost(t)
					target := h.serve("a")
					p := newProcess()
					h.processes = map[string]Process{"server": p}
					w := warmupOf(target)
					set(w)
					h.server("a").setReady(nil)
					time.AfterFunc(when, func() { c.dies(h.server("a"), p) })
					began := time.Now()
					result, err := h.do(t.Context(), w)
					failed(t, err, ExitServer, c.text)
					var f *Failure
					if took := time.Since(began); took < c.took || took > c.took+100*time.Millisecond || result != nil || !errors.As(err, &f) || !f.Final {
						t.Errorf("it took %s and gave %v, %v", took, result, err)
					}
				})
			})
		}
	}
}

// A server that is busy for a moment is not dead.
func TestWarmupOfAServerThatPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.server("a").ready = func(ctx context.Context) error { return SystemClock{}.Sleep(ctx, 9*time.Second) }
		w := warmupOf(target)
		w.Duration = wire.Duration(30 * time.Second)
		if _, err := h.do(t.Context(), w); err != nil {
			t.Error(err)
		}
	})
}

// Without a condition a warmup goes on at once.
func TestWarmupWithoutCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		if _, err := h.do(t.Context(), warmupOf(h.serve("a"))); err != nil {
			t.Fatal(err)
		}
	})
}

// A load that gets nothing but errors ends the warmup, and its cleanup the load.
func TestWarmupOfALoadThatFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":{"message":"model not found"}}`, http.StatusNotFound)
	}))
	defer server.Close()
	h := newHost(t)
	w := warmupOf(h.serve("a"))
	w.Traffic = &TrafficParams{Name: "steady", Concurrency: 16, API: "completions", Endpoint: server.URL, Model: "m"}
	w.Traffic.InputTokens.Min, w.Traffic.InputTokens.Max = 4, 4
	w.Traffic.OutputTokens.Min, w.Traffic.OutputTokens.Max = 4, 4
	w.Requests = 1
	_, err := h.do(t.Context(), w)
	failed(t, err, ExitServer, "requests all failed")
	if !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(w.Undo(t.Context(), h.Run), w.Undo(t.Context(), h.Run)); err != nil {
		t.Error(err)
	}
	if h.traffic != nil {
		t.Error("the load goes on")
	}
	sum := summaryOf(t, h)
	if sum.Completed != 0 || sum.Failed < 10 || len(sum.Errors) == 0 {
		t.Errorf("summary %+v", sum)
	}
}

// A load that fails while the window is open ends the window.
func TestWindowOfALoadThatFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	h := newHost(t)
	target := h.serve("a")
	p := TrafficParams{Name: "steady", Concurrency: 16, API: "completions", Endpoint: server.URL, Model: "m"}
	p.InputTokens.Min, p.InputTokens.Max, p.OutputTokens.Min, p.OutputTokens.Max = 4, 4, 4, 4
	if err := h.startTraffic(p, []Target{target}); err != nil {
		t.Fatal(err)
	}
	e, err := h.window(t.Context(), manualWindow(time.Minute, target))
	failed(t, err, ExitServer, "requests all failed")
	if e.Ended != EndedAborted || !e.Stopped || e.Lost() || h.traffic != nil {
		t.Errorf("got %+v", e)
	}
}

func TestFailing(t *testing.T) {
	for _, c := range []struct {
		stats load.Stats
		fails bool
	}{
		{load.Stats{}, false},
		{load.Stats{Failed: 9, LastError: "x"}, false},
		{load.Stats{Failed: 10, LastError: "x"}, true},
		{load.Stats{Failed: 1000, Completed: 1, LastError: "x"}, false},
	} {
		if err := failing(c.stats); (err != nil) != c.fails {
			t.Errorf("%+v: %v", c.stats, err)
		}
	}
}
