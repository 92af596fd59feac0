package steps

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/hostfs"
)

// Run is what a plan step gets to see of the run it is part of. One plan step
// has it at a time, and waits for the goroutines that it starts before it
// returns. They may call whatever is safe for several at once: Emit, Clock,
// Interrupts, Guard.Intend, Dir.WriteFile, what Files gives, warn, progress, and
// armed. All else they only read, and only what the plan step itself leaves alone meanwhile: of
// a window's, processes, traffic, State and Place. Traffic goes on between plan
// steps, and its goroutines use nothing of the Run.
type Run struct {
	Job        string // address
	JobDir     string // absolute; relative paths of the plan start here
	PlanDigest string
	Version    string // of profjob
	Executable string // path of profjob's own program
	Host       string
	StartedAt  time.Time

	Dir        *archive.Dir
	State      *State
	Secrets    map[string]string // values of the plan's secret references
	Guard      Guard
	Interrupts *Interrupts
	Clock      Clock
	Files      func(dir string) hostfs.FS // the files below a directory of the targets' host
	Emit       func(event.Event) error
	// CloseJournal ends the journal: what comes after is told to views only.
	CloseJournal func() error
	// Estimate says about how much the run will write, by an earlier one; both may be nil.
	Estimate func() (*Estimate, error)
	// Outcome is how the run stands, set by the runner before the last plan steps.
	Outcome Outcome
	// Place is where the run is; the runner sets it before each Do and Undo.
	Place event.Place

	mu       sync.Mutex
	warnings []string

	// newClient makes the client of an endpoint; nil: the one of the target's kind.
	newClient func(Target, engine.Config) (engine.Client, error)

	processes map[string]Process // launched servers by target
	traffic   *traffic           // nil while none is running
	armed     armed              // the endpoints whose profiler may be on because of us
	// gateSecrets are made up for servers that the run launches, by target.
	gateSecrets map[string]string
}

// Outcome is what became of the run, for the manifest.
type Outcome struct {
	Status   archive.Status
	Errors   []string
	Attempts []Attempt
}

// Attempt is one try of a round and why it failed.
type Attempt struct {
	Round, Number int
	Error         string
}

// Clock is the time, injected so that tests can hold it.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose cause it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// SystemClock is the machine's own clock.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep waits for d or the end of ctx.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// progress tells how far the plan step is.
func (r *Run) progress(text string, done, total int64, unit string) {
	// A view that fails must not end a run; the journal does not keep progress.
	_ = r.Emit(event.Progress{Place: r.Place, Text: text, Done: done, Total: total, Unit: unit})
}

// Warn tells the user something that does not end the run, and keeps it for the
// manifest. The error is the journal's.
func (r *Run) Warn(format string, args ...any) error { return r.warn(format, args...) }

// warn tells the user something that does not end the run, and keeps it for the manifest.
func (r *Run) warn(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.warnings = append(r.warnings, text)
	r.mu.Unlock()
	return r.Emit(event.Warning{Place: r.Place, Text: text})
}

// Recall keeps a warning that was told already, before the run was cut off.
func (r *Run) Recall(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, text)
}

// Warnings are those of the run so far, each once.
func (r *Run) Warnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var once []string
	for _, w := range r.warnings {
		if !slices.Contains(once, w) {
			once = append(once, w)
		}
	}
	return once
}

// background gives a context for what outlives a plan step; its end is a call, not an interrupt.
func (r *Run) background() context.Context { return context.Background() }

// attemptDir names the folder of the current attempt, relative to the run's.
func (r *Run) attemptDir() string {
	return fmt.Sprintf("rounds/%02d/attempt-%d", r.Place.Round, r.Place.Attempt)
}
