package steps

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"profjob/internal/engine"
)

// watcher waits at each endpoint until its window is over.
type watcher struct {
	window *Window
	run    *Run
	opened time.Time           // the first start's answer
	before map[string]Snapshot // by target: what lay in the trace directory before
}

const (
	pollLeast = 10 * time.Millisecond
	pollMost  = 250 * time.Millisecond
	// checkEvery is the time between two looks at health and disks.
	checkEvery = time.Second
	// blindWindow is how long a window stays open on a server without a count of
	// engine steps; each further attempt doubles it.
	blindWindow = time.Second
)

// ending is how a wait ended; empty where its context was what ended it.
type ending struct {
	how string
	err error // the server died, or its load fails
}

// one waits until the endpoint's window is over and notes how it ended. Several
// things are waited for side by side, since each may take its time to answer and
// none must make the window longer: the clock, the server's count of engine steps,
// its health, the end of its process. The first of them ends the window. The disks
// are watched beside all endpoints ([limitWatch]).
func (w *watcher) one(ctx context.Context, s server, e *EndpointWindow) error {
	watch := endpointWatch{watcher: w, server: s, seen: -1}
	waits := []func(context.Context) ending{watch.clock, watch.health}
	switch {
	case s.session != "":
		waits = append(waits, watch.gated)
	case e.ByItself:
		waits = append(waits, watch.byItself)
	case w.window.Form != "manual":
		waits = append(waits, watch.counted)
	}
	if p, launched := w.run.processes[s.Target.Name]; launched {
		waits = append(waits, func(ctx context.Context) ending { return watch.process(ctx, p) })
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan ending, len(waits))
	var wg sync.WaitGroup
	for _, wait := range waits {
		wg.Go(func() {
			var end ending
			if err := safely("watch "+s.Endpoint, func() error { end = wait(waiting); return nil }); err != nil {
				end.err = err
			}
			ends <- end
		})
	}
	first := <-ends
	cancel()
	wg.Wait()
	e.Seen, e.Hints, e.Ended = watch.seen, watch.hinted, first.how
	if first == (ending{}) {
		e.Ended = endedBy(ctx)
	}
	return first.err
}

// endedBy tells how a window ended that a context has ended.
func endedBy(ctx context.Context) string {
	var limit *limitReached
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errWindowEnded):
		return EndedStopped
	case errors.As(cause, &limit):
		return EndedLimit
	case errors.Is(cause, ErrInterrupted):
		return EndedInterrupted
	}
	return EndedAborted
}

// endpointWatch is the state of one endpoint's wait.
type endpointWatch struct {
	*watcher
	server server
	seen   int64 // engine steps of the slowest core since the window opened, by the server's count; −1: not known
	hinted int   // how often the metrics hinted at a step that a window by tokens begins with
}

// coreCount is how far the window of one engine core is: each core of a server
// with data parallelism takes steps, and has a window, of its own.
type coreCount struct {
	base  engine.Core
	seen  int64 // engine steps since the window opened
	begun int64 // of those, the ones up to the hint that ends the wait for the first step of a window by tokens; −1: none has
	hints hints
}

// clock waits for the duration of a window by hand, else for the timeout.
func (w *endpointWatch) clock(ctx context.Context) ending {
	limit, how := time.Duration(w.window.Timeout), EndedTimeout
	// The gate counts the time from the first engine step on, and says when it is over.
	timed := w.window.Form == "manual" && w.window.Until == "" && w.server.session == ""
	if timed {
		limit, how = time.Duration(w.window.Duration), EndedDuration
	}
	for {
		open := w.run.Clock.Now().Sub(w.opened)
		if open >= limit {
			return ending{how: how}
		}
		switch {
		case timed:
			w.run.progress("recording", open.Milliseconds(), limit.Milliseconds(), "ms")
		case w.window.Form == "manual":
			w.run.progress("recording until stopped", int64(open/time.Second), 0, "s")
		}
		if w.run.Clock.Sleep(ctx, min(limit-open, pollMost)) != nil {
			return ending{}
		}
	}
}

// counted waits until the server's own count of engine steps says that enough
// have been recorded on each of its cores: the sum over them would be reached by
// the busiest alone. It is a hint: the trace is the proof. A core that takes no
// step holds the window open until its timeout.
func (w *endpointWatch) counted(ctx context.Context) ending {
	base, ok := w.base(ctx)
	if !ok {
		return ending{}
	}
	if base.EngineSteps < 0 {
		return w.blind(ctx)
	}
	cores := counts(base)
	w.seen = 0
	for {
		asked := w.run.Clock.Now()
		if m, err := w.server.Client.Metrics(ctx); err == nil {
			w.read(cores, m)
		}
		wait, more := w.next(cores)
		if !more {
			return ending{how: EndedRecorded}
		}
		if w.window.Tokens != nil {
			wait = max(wait, w.rest(w.run.Clock.Now().Sub(asked)))
		}
		w.told(cores)
		if w.run.Clock.Sleep(ctx, wait) != nil {
			return ending{}
		}
	}
}

// rest is how long to leave a server alone that took so long to tell its metrics: a
// wait for a step that qualifies may be long, and what answers is the process that
// serves the requests.
func (w *endpointWatch) rest(took time.Duration) time.Duration { return min(3*took, pollMost) }

// told shows how far the slowest core is.
func (w *endpointWatch) told(cores map[string]*coreCount) {
	for _, c := range cores {
		if w.window.Tokens != nil && c.begun < 0 {
			w.run.progress(fmt.Sprintf("waiting for the first engine step that qualifies, %d have passed", c.seen), 0, int64(w.window.Count), "steps")
			return
		}
	}
	asked := int64(w.window.Delay + w.window.Count)
	w.run.progress("recording engine steps", min(w.seen, asked), asked, "steps")
}

// counts begins to count the steps of each engine core.
func counts(base engine.Metrics) map[string]*coreCount {
	cores := map[string]*coreCount{}
	for name, core := range base.ByCore() {
		if core.EngineSteps >= 0 {
			cores[name] = &coreCount{base: core, begun: -1, hints: hints{last: core}}
		}
	}
	return cores
}

// read takes a reading. A core whose count went back was started anew: what was
// seen of it stays.
func (w *endpointWatch) read(cores map[string]*coreCount, m engine.Metrics) {
	now := m.ByCore()
	slowest := int64(math.MaxInt64)
	w.hinted = 0
	for name, c := range cores {
		if reading, ok := now[name]; ok && reading.EngineSteps >= c.base.EngineSteps {
			c.seen = reading.EngineSteps - c.base.EngineSteps
			w.notice(c, reading)
		}
		slowest = min(slowest, c.seen)
		w.hinted += c.hints.count
	}
	w.seen = slowest
}

// next is how long to wait before the next reading, by the core that will take
// longest; more is false once every core has seen enough.
func (w *endpointWatch) next(cores map[string]*coreCount) (wait time.Duration, more bool) {
	open := w.run.Clock.Now().Sub(w.opened)
	for _, c := range cores {
		need := w.needed(c)
		switch {
		case c.seen >= need:
			continue
		case c.begun < 0:
			wait = max(wait, 2*pollLeast)
		default:
			wait = max(wait, nextPoll(c.seen, need, open))
		}
		more = true
	}
	return wait, more
}

// notice marks where the first step has passed that a window by tokens begins with,
// by what the metrics hint at.
func (w *endpointWatch) notice(c *coreCount, now engine.Core) {
	if c.begun >= 0 {
		return
	}
	if w.window.Tokens == nil || c.hints.read(w.window, now) >= hintsWanted(w.retries()) {
		c.begun = c.seen
	}
}

// base reads the count that the window starts from; −1 where the server has none.
// Steps that pass before it is read are recorded beside those that are waited for.
// It is false where ctx ended first.
func (w *endpointWatch) base(ctx context.Context) (engine.Metrics, bool) {
	none := engine.Metrics{EngineSteps: -1}
	for {
		m, err := w.server.Client.Metrics(ctx)
		if err == nil {
			return m, true
		}
		if ctx.Err() != nil {
			return none, false
		}
		var status *engine.StatusError
		if errors.As(err, &status) || w.run.Clock.Now().Sub(w.opened) >= w.hold() {
			return none, true
		}
		if w.run.Clock.Sleep(ctx, pollMost) != nil {
			return none, false
		}
	}
}

// hold is how long a window stays open where steps cannot be counted.
func (w *endpointWatch) hold() time.Duration {
	return blindWindow << min(w.retries(), 10)
}

func (w *endpointWatch) blind(ctx context.Context) ending {
	left := w.hold() - w.run.Clock.Now().Sub(w.opened)
	w.run.progress("recording blindly: the server tells no count of engine steps", 0, 0, "")
	if w.run.Clock.Sleep(ctx, max(left, 0)) != nil {
		return ending{}
	}
	return ending{how: EndedRecorded}
}

// needed is how many engine steps of a core must be seen to pass. Counts lag behind by some
// steps and a step is whole only when the next begins, so a little more than was
// asked for; each further attempt waits for more.
//
// The metrics do not tell which step it is that a window by tokens begins with,
// only that it has come or may have: all of its steps are waited for from the last
// hint on. Without enough hints the window lasts until its timeout.
func (w *endpointWatch) needed(c *coreCount) int64 {
	const margin, more = 2, 4
	if w.window.Tokens == nil {
		return int64(w.window.Delay + w.window.Count + margin + more*w.retries())
	}
	if c.begun < 0 {
		return math.MaxInt64
	}
	return c.begun + int64(w.window.Count+margin+more*w.retries())
}

// retries is how many attempts of the round came before this one.
func (w *endpointWatch) retries() int { return max(w.run.Place.Attempt-1, 0) }

// nextPoll looks again at half the time that the rest will take at the pace so far.
func nextPoll(seen, need int64, open time.Duration) time.Duration {
	if seen <= 0 {
		return pollLeast * 2
	}
	half := float64(open) / float64(seen) * float64(need-seen) / 2
	return time.Duration(max(float64(pollLeast), min(half, float64(pollMost))))
}

// health waits until the server does not serve any more, or all of the load fails.
func (w *endpointWatch) health(ctx context.Context) ending {
	return ending{err: w.run.unhealthy(ctx, w.server, "recorded", patience)}
}

// process waits for the end of a launched server.
func (w *endpointWatch) process(ctx context.Context, p Process) ending {
	return ending{err: overBefore(ctx, p, w.server.Target, "recorded")}
}
