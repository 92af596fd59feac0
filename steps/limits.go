package steps

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// limitReached is why a window ends before its time: a limit of the job file.
type limitReached struct {
	disk bool // limits.min_free_disk, else limits.max_trace_size
	text string
}

func (l *limitReached) Error() string { return l.text }

func limit(disk bool, format string, args ...any) *limitReached {
	return &limitReached{disk: disk, text: fmt.Sprintf(format, args...)}
}

// limitWatch looks, while a window is open, at the disks that it may fill and at
// what it has written, for every strategy. Where files cannot be seen, there is
// nothing to be looked at: the gate has a bound of its own.
type limitWatch struct {
	window *Window
	run    *Run
	before map[string]Snapshot // by target: what lay in the trace directory before
}

func (w *Window) limits(run *Run, before map[string]Snapshot) *limitWatch {
	return &limitWatch{window: w, run: run, before: before}
}

// disks says which disk is too full to go on; nil where none is. One that cannot be
// asked counts as having enough: that is for preflight to refuse.
func (l *limitWatch) disks(ctx context.Context) *limitReached {
	rooms := []room{l.run.archiveRoom()}
	for _, t := range l.window.Targets {
		if l.run.byGate(t) {
			rooms = append(rooms, l.run.gateRooms(ctx, t)...)
		} else {
			rooms = append(rooms, l.run.traceRoom(t))
		}
	}
	for i, r := range rooms {
		if r.dir == "" || slices.Contains(rooms[:i], r) {
			continue
		}
		free, err := l.run.free(ctx, r.dir)
		if err != nil {
			continue
		}
		if short := r.short(free, l.window.MinFreeDisk); short != nil {
			return short
		}
	}
	return nil
}

// sizes says whose traces have grown past the limit; nil where none have.
func (l *limitWatch) sizes(ctx context.Context) *limitReached {
	most := l.window.MaxTraceSize
	if most <= 0 {
		return nil
	}
	for _, t := range l.window.Targets {
		if l.run.byGate(t) {
			continue
		}
		if grown := l.grown(ctx, t); grown > most {
			return limit(false, "trace_dir %s has grown by %s since the window opened, limits.max_trace_size is %s",
				l.run.traceDir(t), size(grown), size(most))
		}
	}
	return nil
}

// grown is the size of a target's files that are new or have changed since the window opened.
func (l *limitWatch) grown(ctx context.Context, t Target) int64 {
	files, err := l.run.Files(l.run.traceDir(t)).List(ctx, ".")
	if err != nil {
		return 0 // it may not be there yet
	}
	var sum int64
	for _, f := range files {
		if l.before[t.Name][f.Path] != fingerprint(f) {
			sum += f.Size
		}
	}
	return sum
}

// watching is a limitWatch at work beside an open window.
type watching struct {
	watch  *limitWatch
	cancel context.CancelFunc
	done   sync.WaitGroup
	found  *limitReached
	err    error
}

// begin looks about once a second until over is called, and ends the window by end
// once a limit is reached.
func (l *limitWatch) begin(ctx context.Context, end context.CancelCauseFunc) *watching {
	w := &watching{watch: l}
	ctx, w.cancel = context.WithCancel(ctx)
	w.done.Go(func() {
		w.err = safely("watch the disks", func() error { w.found = l.wait(ctx); return nil })
		switch {
		case w.err != nil:
			end(w.err)
		case w.found != nil:
			end(w.found)
		}
	})
	return w
}

// wait gives the limit that is reached first; nil where ctx has ended before.
func (l *limitWatch) wait(ctx context.Context) *limitReached {
	for {
		found := l.disks(ctx)
		if found == nil {
			found = l.sizes(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if found != nil {
			l.run.progress("the window ends early: "+found.text, 0, 0, "")
			return found
		}
		if l.run.Clock.Sleep(ctx, checkEvery) != nil {
			return nil
		}
	}
}

// over ends the watching, after every window is closed, and says what came of it. A
// disk that was too full fails the run; whether a window that has grown too large is
// what was asked for all the same, its traces say.
func (w *watching) over(result *WindowResult) error {
	w.cancel()
	w.done.Wait()
	if w.found == nil || !slices.ContainsFunc(result.Endpoints, func(e EndpointWindow) bool { return e.Ended == EndedLimit }) {
		return w.err
	}
	result.Limit = w.found.text
	text := "the window was ended early: " + w.found.text
	if w.watch.onTheirOwn(result.Endpoints) {
		text += "; a server that records by itself goes on until its own count is reached, nothing can stop it"
	}
	if w.found.disk {
		return finalIncomplete("%s", text)
	}
	return w.watch.run.warn("%s", text)
}

// onTheirOwn tells whether some server that nobody launched records by itself.
func (l *limitWatch) onTheirOwn(windows []EndpointWindow) bool {
	return slices.ContainsFunc(windows, func(e EndpointWindow) bool {
		return e.ByItself && slices.ContainsFunc(l.window.Targets, func(t Target) bool { return t.Name == e.Target && !t.Launched() })
	})
}
