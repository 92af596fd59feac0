package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"profjob/internal/engine"
)

// watcher waits at each endpoint until its window is over.
type watcher struct {
	window *Window
	run    *Run
	opened time.Time     // the first start's answer
	end    chan struct{} // closed when the user ends the window; nil: it does not wait for that
}

const (
	pollLeast = 10 * time.Millisecond
	pollMost  = 250 * time.Millisecond
	// deadAfter is how long a server may not answer before it counts as dead.
	deadAfter = 2 * time.Second
	// checkEvery is the time between two looks at health and disk.
	checkEvery = time.Second
	// blindWindow is how long a window stays open on a server without a count of
	// engine steps; each further attempt doubles it.
	blindWindow = time.Second
)

// one waits until the endpoint's window is over and notes how it ended. An error
// means that the server died.
func (w *watcher) one(ctx context.Context, s server, e *EndpointWindow) error {
	base := w.steps(ctx, s)
	watch := endpointWatch{watcher: w, server: s, answered: w.run.Clock.Now(), base: base, polled: w.opened}
	for {
		ended, wait, err := watch.look(ctx)
		e.Seen = watch.seen
		if ctx.Err() != nil {
			e.Ended = EndedInterrupted
			return nil
		}
		if err != nil || ended != "" {
			e.Ended = ended
			return err
		}
		if stopped := w.sleep(ctx, wait); stopped {
			e.Ended = EndedStopped
			return nil
		}
	}
}

// sleep waits, and tells whether the user has ended the window meanwhile.
func (w *watcher) sleep(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.end: // nil never comes
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = w.run.Clock.Sleep(ctx, d) // ended early only for one of the two reasons below
	select {
	case <-w.end:
		return true
	default:
		return false
	}
}

// steps reads the server's count of engine steps, −1 where there is none.
func (w *watcher) steps(ctx context.Context, s server) int64 {
	m, err := s.Client.Metrics(ctx)
	if err != nil {
		return -1
	}
	return m.EngineSteps
}

// endpointWatch is the state of one endpoint's wait.
type endpointWatch struct {
	*watcher
	server   server
	base     int64 // engine steps at the start, −1: not known
	seen     int64
	polled   time.Time
	checked  time.Time
	answered time.Time // when the server last answered
}

// look reads the clock and the server once: is the window over, and if not, when to look again?
func (w *endpointWatch) look(ctx context.Context) (ended string, wait time.Duration, err error) {
	now := w.run.Clock.Now()
	open := now.Sub(w.opened)
	if err := w.alive(ctx, now); err != nil {
		return "", 0, err
	}
	if over := w.overLimit(ctx, now); over {
		return EndedLimit, 0, nil
	}
	if w.window.Form == "manual" {
		return w.manual(open)
	}
	if open >= time.Duration(w.window.Timeout) {
		return EndedTimeout, 0, nil
	}
	return w.counted(ctx, open)
}

// manual waits for the time asked, or until told.
func (w *endpointWatch) manual(open time.Duration) (string, time.Duration, error) {
	w.seen = -1
	if w.window.Until != "" {
		w.run.progress("recording until stopped", int64(open/time.Second), 0, "s")
		return "", pollMost, nil
	}
	left := time.Duration(w.window.Duration) - open
	if left <= 0 {
		return EndedDuration, 0, nil
	}
	w.run.progress("recording", int64(open/time.Millisecond), int64(time.Duration(w.window.Duration)/time.Millisecond), "ms")
	return "", min(left, pollMost), nil
}

// counted waits until the server's own count of engine steps says that enough
// have been recorded. It is a hint: the trace is the proof.
func (w *endpointWatch) counted(ctx context.Context, open time.Duration) (string, time.Duration, error) {
	if w.base < 0 {
		w.seen = -1
		hold := blindWindow << min(w.run.Place.Attempt-1, 10)
		if open >= hold {
			return EndedRecorded, 0, nil
		}
		return "", min(hold-open, pollMost), nil
	}
	need := w.needed()
	if count := w.steps(ctx, w.server); count >= 0 {
		w.seen = count - w.base
		w.answered = w.run.Clock.Now()
	}
	if w.seen >= need {
		return EndedRecorded, 0, nil
	}
	w.run.progress("recording engine steps", min(w.seen, int64(w.window.Delay+w.window.Count)), int64(w.window.Delay+w.window.Count), "steps")
	return "", nextPoll(w.seen, need, open), nil
}

// needed is how many engine steps must be seen to pass. Counts lag behind by some
// steps and a step is whole only when the next begins, so a little more than was
// asked for; each further attempt waits for more.
func (w *endpointWatch) needed() int64 {
	const margin, more = 2, 4
	return int64(w.window.Delay + w.window.Count + margin + more*(w.run.Place.Attempt-1))
}

// nextPoll looks again at half the time that the rest will take at the pace so far.
func nextPoll(seen, need int64, open time.Duration) time.Duration {
	if seen <= 0 {
		return pollLeast * 2
	}
	rest := time.Duration(int64(open) / seen * (need - seen))
	return max(pollLeast, min(rest/2, pollMost))
}

// alive looks from time to time whether the server still serves, and fails once
// it has not for too long.
func (w *endpointWatch) alive(ctx context.Context, now time.Time) error {
	name := w.server.Target.Name
	if p, died := w.run.died(name); died {
		return finalServerFailure("%s ended while it recorded (%w)", name, exitText(p))
	}
	if now.Sub(w.polled) < checkEvery {
		return nil
	}
	w.polled = now
	err := w.server.Client.Ready(ctx)
	if err == nil || ctx.Err() != nil {
		w.answered = now
		return nil
	}
	if w.run.Clock.Now().Sub(w.answered) < deadAfter && !errors.Is(err, engine.ErrUnreachable) {
		return nil
	}
	return finalServerFailure("%s died while it recorded: %w", name, err)
}

// overLimit tells whether the window must end so that the disk does not fill up.
func (w *endpointWatch) overLimit(ctx context.Context, now time.Time) bool {
	if now.Sub(w.checked) < checkEvery {
		return false
	}
	w.checked = now
	dir := w.run.traceDir(w.server.Target)
	free, err := w.run.Files(dir).Free(ctx, ".")
	if err != nil {
		return false // the directory may not be there yet
	}
	if free < w.window.MinFreeDisk {
		return w.limit("%s has %d bytes free, limits.min_free_disk asks for %d: the window ends early", dir, free, w.window.MinFreeDisk)
	}
	if w.window.MaxTraceSize > 0 && w.written(ctx) > w.window.MaxTraceSize {
		return w.limit("%s has grown by more than limits.max_trace_size (%d bytes): the window ends early", dir, w.window.MaxTraceSize)
	}
	return false
}

func (w *endpointWatch) limit(format string, args ...any) bool {
	_ = w.run.warn("%s: %s", w.server.Target.Name, fmt.Sprintf(format, args...)) // the journal's next line reports its error
	return true
}

// written is the size of what was written since the window opened, by the files' times.
func (w *endpointWatch) written(ctx context.Context) int64 {
	files, err := w.run.Files(w.run.traceDir(w.server.Target)).List(ctx, ".")
	if err != nil {
		return 0
	}
	var sum int64
	for _, f := range files {
		if f.ModTime.After(w.opened) {
			sum += f.Size
		}
	}
	return sum
}
