package view

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"profjob/internal/event"
)

// Terminal shows a run's events as lines, and below them one that changes: what
// goes on now, for how long, and how far it is.
//
// That line is drawn without a line end, the cursor left at its begin, and it is
// gone before anything else is written. Whoever else writes to the terminal
// meanwhile should do so through Write. All methods may be called from several
// goroutines.
type Terminal struct {
	out   io.Writer
	width func() int
	now   func() time.Time
	stop  func()
	done  chan struct{} // closed when nothing is redrawn any more

	mu     sync.Mutex
	story  story
	status status
	shown  bool   // the changing line is on the screen
	half   []byte // of a line that Write was given
	err    error  // the first; nothing is written after it
}

// status is what the changing line tells.
type status struct {
	kind     string // of the plan step that runs; empty: none does
	began    time.Time
	progress event.Progress
}

// redrawEvery is the time between two looks of the changing line: often enough to
// be alive, too seldom to flicker.
const redrawEvery = 200 * time.Millisecond

// NewTerminal makes a view of a terminal. Close must be called.
func NewTerminal(out io.Writer) *Terminal {
	ticker := time.NewTicker(redrawEvery)
	t := newTerminal(out, func() int { return columns(out) }, time.Now, ticker.C)
	stop := t.stop
	t.stop = func() { ticker.Stop(); stop() }
	return t
}

func newTerminal(out io.Writer, width func() int, now func() time.Time, tick <-chan time.Time) *Terminal {
	end := make(chan struct{})
	t := &Terminal{out: out, width: width, now: now, stop: sync.OnceFunc(func() { close(end) }), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for {
			select {
			case <-tick:
				t.redraw()
			case <-end:
				return
			}
		}
	}()
	return t
}

func columns(out io.Writer) int {
	const usual = 80
	f, ok := out.(*os.File)
	if !ok {
		return usual
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return usual
	}
	return width
}

// Read shows one event.
func (t *Terminal) Read(e event.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.story.lines(e.Event)
	draw := len(lines) > 0
	switch ev := e.Event.(type) {
	case event.StepStarted:
		t.status = status{kind: ev.StepKind, began: t.now()}
		draw = true
	case event.Progress:
		t.status.progress = ev // it is drawn with the next tick: there may be a hundred a second
	case event.StepRetrying:
		t.status.progress = event.Progress{Text: fmt.Sprintf("waiting before try %d", ev.Try+1)}
	case event.StepFinished, event.StepFailed:
		t.status = status{}
		draw = true
	}
	if draw {
		t.put(joined(lines))
	}
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
	}
	if t.err != nil {
		return 0, t.err
	}
	return len(p), nil
}

// Close takes the changing line away and ends the redrawing. What is read or
// written later is still shown, as lines. It may be called again.
func (t *Terminal) Close() {
	t.stop()
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status = status{}
	rest := ""
	if len(t.half) > 0 {
		rest = string(t.half) + "\n"
		t.half = nil
	}
	t.put(rest)
}

func (t *Terminal) redraw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put("")
}

const (
	eraseLine = "\r\x1b[K" // keys that were typed have moved the cursor
	noWrap    = "\x1b[?7l" // what is wider than we think is cut off by the terminal
	wrap      = "\x1b[?7h"
)

// put writes whole lines above the changing one and draws that anew, all at once.
func (t *Terminal) put(lines string) {
	if t.err != nil {
		return
	}
	var b strings.Builder
	if t.shown {
		b.WriteString(eraseLine)
	}
	b.WriteString(lines)
	t.shown = t.status.kind != ""
	if t.shown {
		b.WriteString(noWrap + fit(t.status.line(t.now()), t.width()-1) + wrap + "\r")
	}
	if b.Len() > 0 {
		_, t.err = io.WriteString(t.out, b.String())
	}
}

// line tells the plan step, for how long it has run, and how far it is.
func (s status) line(now time.Time) string {
	text := fmt.Sprintf("  %-10s %6s  ", s.kind, now.Sub(s.began).Truncate(time.Second))
	p := s.progress
	if p.Total > 0 {
		text += bar(p.Done, p.Total) + "  "
	}
	text += printable(strings.ReplaceAll(p.Text, "\n", " "))
	// Some texts tell the numbers themselves, and of milliseconds the bar tells enough.
	if p.Total > 0 && p.Unit != "ms" && !strings.Contains(p.Text, " of ") {
		text += fmt.Sprintf(" %d/%d %s", p.Done, p.Total, p.Unit)
	}
	return text
}

// bar draws how much of a total is done.
func bar(done, total int64) string {
	const width = 20
	full := int(min(max(float64(done)/float64(total), 0), 1) * width)
	return strings.Repeat("━", full) + strings.Repeat("─", width-full)
}

// fit cuts a text to so many runes.
func fit(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	if most < 1 {
		return ""
	}
	return string([]rune(text)[:most-1]) + "…"
}
