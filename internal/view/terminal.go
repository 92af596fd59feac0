package view

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"profjob/internal/event"
)

// Terminal shows a run's events as lines, and below them one that changes: what
// goes on now, for how long, and how far it is.
//
// The changing line is gone before anything else is written, so that no line is
// lost or torn. Whoever else writes to the terminal meanwhile should do so through
// Write. All methods may be called from several goroutines.
type Terminal struct {
	out io.Writer

	mu      sync.Mutex
	story   story
	began   time.Time     // of the plan step that runs
	running string        // its kind; empty: none runs
	line    *mpb.Progress // the changing line; nil: it is not on the screen
	bar     *mpb.Bar
	half    []byte // of a line that Write was given
	err     error  // the first; nothing is written after it

	what status
}

// status is what the changing line tells. It is drawn in mpb's goroutine.
type status struct {
	mu       sync.Mutex
	progress event.Progress
}

func (s *status) set(p event.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = p
}

func (s *status) get() event.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

// redrawEvery is the time between two looks of the changing line: often enough to
// be alive, too seldom to flicker.
const redrawEvery = 200 * time.Millisecond

// NewTerminal makes a view of a terminal. Close must be called.
func NewTerminal(out io.Writer) *Terminal { return &Terminal{out: out} }

// Read shows one event.
func (t *Terminal) Read(e event.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch ev := e.Event.(type) {
	case event.StepStarted:
		t.running, t.began = ev.StepKind, time.Now()
		t.what.set(event.Progress{})
		t.hide()
	case event.Progress:
		t.move(ev)
	case event.StepRetrying:
		t.move(event.Progress{Text: fmt.Sprintf("waiting before try %d", ev.Try+1)})
	case event.StepFinished, event.StepFailed:
		t.running = ""
		t.hide()
	}
	t.put(joined(t.story.lines(e.Event)))
	t.show()
	if t.err != nil {
		return fmt.Errorf("show progress: %w", t.err)
	}
	return nil
}

// Write shows lines of others, such as logs, above the changing one. What is not
// yet a whole line waits for its end.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.half = append(t.half, p...)
	if i := bytes.LastIndexByte(t.half, '\n'); i >= 0 {
		t.put(string(t.half[:i+1]))
		t.half = append(t.half[:0], t.half[i+1:]...)
		t.show()
	}
	if t.err != nil {
		return 0, t.err
	}
	return len(p), nil
}

// Close takes the changing line away. What is read or written later is still
// shown, as lines. It may be called again.
func (t *Terminal) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = ""
	t.hide()
	if len(t.half) > 0 {
		t.put(string(t.half) + "\n")
		t.half = nil
	}
}

// put writes whole lines where the changing one was.
func (t *Terminal) put(lines string) {
	if lines == "" || t.err != nil {
		return
	}
	t.hide()
	_, t.err = io.WriteString(t.out, lines)
}

// show draws the changing line while a plan step runs.
func (t *Terminal) show() {
	if t.line != nil || t.running == "" || t.err != nil {
		return
	}
	kind, began := t.running, t.began
	line := mpb.New(mpb.WithOutput(t.out), mpb.WithWidth(20), mpb.WithAutoRefresh(), mpb.WithRefreshRate(redrawEvery))
	bar, err := line.Add(0, mpb.BarStyle().Lbound("").Filler("━").Tip("").Padding("─").Rbound("").Build(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			return fmt.Sprintf("  %-10s %6s ", kind, time.Since(began).Truncate(time.Second))
		})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + describe(t.what.get()) })))
	if err != nil {
		line.Shutdown()
		return // the lines above are what counts
	}
	t.line, t.bar = line, bar
	t.move(t.what.get())
}

// hide takes the changing line off the screen and waits until it is.
func (t *Terminal) hide() {
	if t.line == nil {
		return
	}
	t.bar.Abort(true)
	t.line.Wait()
	t.line, t.bar = nil, nil
}

// move takes over how far the plan step is.
func (t *Terminal) move(p event.Progress) {
	t.what.set(p)
	if t.bar == nil {
		return
	}
	t.bar.SetTotal(p.Total+1, false) // a bar that is full would go before its plan step has ended
	t.bar.SetCurrent(p.Done)
}

// describe tells how far a plan step is, beside the bar.
func describe(p event.Progress) string {
	text := Printable(strings.ReplaceAll(p.Text, "\n", " "))
	// Some texts tell the numbers themselves, and of milliseconds the bar tells enough.
	if p.Total > 0 && p.Unit != "ms" && !strings.Contains(p.Text, " of ") {
		text += fmt.Sprintf(" %d/%d %s", p.Done, p.Total, p.Unit)
	}
	return text
}
