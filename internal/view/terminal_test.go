package view

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/event"
)

// screen is as much of a terminal as the view needs. It fails on what it does not know.
type screen struct {
	mu      sync.Mutex
	t       *testing.T
	rows    [][]rune
	column  int
	noWrap  bool
	columns int
}

func newScreen(t *testing.T, columns int) *screen {
	return &screen{t: t, rows: [][]rune{nil}, columns: columns}
}

var escape = regexp.MustCompile(`^\x1b\[(\?7[hl]|K)`)

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := string(p); text != ""; {
		if m := escape.FindString(text); m != "" {
			s.control(m[2:])
			text = text[len(m):]
			continue
		}
		r := []rune(text)[0]
		s.put(r)
		text = text[len(string(r)):]
	}
	return len(p), nil
}

func (s *screen) control(code string) {
	last := len(s.rows) - 1
	switch code {
	case "K":
		s.rows[last] = s.rows[last][:min(s.column, len(s.rows[last]))]
	default:
		s.noWrap = code == "?7l"
	}
}

func (s *screen) put(r rune) {
	last := len(s.rows) - 1
	switch {
	case r == '\n':
		s.rows, s.column = append(s.rows, nil), 0
		return
	case r == '\r':
		s.column = 0
		return
	case r < ' ':
		s.t.Errorf("the view writes the control character %q", r)
		return
	}
	if s.noWrap && s.column >= s.columns {
		s.t.Error("the changing line is wider than the terminal")
		return
	}
	for len(s.rows[last]) <= s.column {
		s.rows[last] = append(s.rows[last], ' ')
	}
	s.rows[last][s.column] = r
	s.column++
}

// text is what stands on the screen, without spaces at the ends of rows.
func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for i, row := range s.rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.TrimRight(string(row), " "))
	}
	return b.String()
}

func (s *screen) lastRow() string {
	text := s.text()
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// bench is a terminal whose time the test holds.
type bench struct {
	*Terminal
	screen *screen
	tick   chan time.Time
	mu     sync.Mutex
	at     time.Time
}

func newBench(t *testing.T, columns int) *bench {
	b := &bench{screen: newScreen(t, columns), tick: make(chan time.Time), at: time.Unix(0, 0)}
	now := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.at }
	b.Terminal = newTerminal(b.screen, func() int { return columns }, now, b.tick)
	t.Cleanup(b.Close)
	return b
}

// after lets time pass and waits until the line is drawn anew.
func (b *bench) after(d time.Duration) {
	b.mu.Lock()
	b.at = b.at.Add(d)
	b.mu.Unlock()
	b.tick <- b.at
	b.tick <- b.at // taken only once the first has been drawn
}

func (b *bench) tell(t *testing.T, events ...event.Event) {
	t.Helper()
	for _, ev := range events {
		if err := b.Read(event.Entry{Event: ev}); err != nil {
			t.Fatal(err)
		}
	}
}

// In the end the same stands on a terminal as in a log: nothing of the changing
// line is left.
func TestTerminalLeavesLinesOnly(t *testing.T) {
	for _, columns := range []int{10, 40, 200} {
		b := newBench(t, columns)
		for _, e := range stream() {
			b.tell(t, e.Event)
			b.after(time.Second)
		}
		b.Close()
		want := written(t, func(b *strings.Builder) error { tell(t, NewLines(b), stream()); return nil })
		if diff := cmp.Diff(want, b.screen.text()); diff != "" {
			t.Errorf("%d columns, -lines +screen:\n%s", columns, diff)
		}
	}
}

func TestTerminalShowsWhatGoesOn(t *testing.T) {
	b := newBench(t, 100)
	window := event.Place{Step: "round-01/window", Round: 1, Attempt: 1}
	var rows []string
	see := func(events ...event.Event) {
		b.tell(t, events...)
		b.after(700 * time.Millisecond)
		rows = append(rows, b.screen.lastRow())
	}
	see(event.RunStarted{Job: "job", RunID: "id"})
	see(event.StepStarted{Place: window, StepKind: "window"})
	see(event.Progress{Text: "recording", Done: 1400, Total: 2000, Unit: "ms"})
	see(event.Progress{Text: "recording engine steps", Done: 3, Total: 5, Unit: "steps"})
	see(event.Progress{Text: "recording until stopped", Done: 3, Unit: "s"})
	see(event.Progress{Text: "12 of 64 requests running", Done: 12, Total: 64, Unit: "requests"})
	see(event.Progress{Text: "more than\nall\x1b[2J", Done: 9, Total: 5, Unit: "traces"})
	see(event.Progress{Text: "less than none", Done: -1, Total: 5, Unit: "traces"})
	see(event.StepRetrying{Place: window, Try: 1, Of: 4, Error: "refused"})
	see(event.Progress{Text: strings.Repeat("long ", 30)})
	see(event.StepFinished{Place: window, StepKind: "window"})
	see(event.Progress{Text: "late", Done: 1, Total: 2})
	golden(t, "status.txt", strings.Join(rows, "\n")+"\n")
}

// Progress may come a hundred times a second: it is not drawn each time.
func TestTerminalDoesNotFlicker(t *testing.T) {
	var writes int
	tick := make(chan time.Time)
	terminal := newTerminal(writerFunc(func(p []byte) (int, error) { writes++; return len(p), nil }), func() int { return 80 }, time.Now, tick)
	defer terminal.Close()
	for i := range 100 {
		if err := terminal.Read(event.Entry{Event: event.Progress{Text: "recording", Done: int64(i), Total: 100}}); err != nil {
			t.Fatal(err)
		}
	}
	if writes != 0 {
		t.Errorf("%d writes for progress alone, want none before the next tick", writes)
	}
	if err := terminal.Read(event.Entry{Event: event.StepStarted{StepKind: "window"}}); err != nil {
		t.Fatal(err)
	}
	if writes != 1 {
		t.Errorf("%d writes for a change, want one: two would flicker", writes)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Logs stand above the changing line, each line whole.
func TestTerminalTakesTheLinesOfOthers(t *testing.T) {
	b := newBench(t, 100)
	b.tell(t, event.StepStarted{StepKind: "window"})
	for _, part := range []string{"first\nsec", "ond", "\nthird"} {
		if n, err := b.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	b.after(time.Second)
	if diff := cmp.Diff("first\nsecond\n  window         1s", b.screen.text()); diff != "" {
		t.Errorf("while it runs, -want +got:\n%s", diff)
	}
	b.Close()
	if diff := cmp.Diff("first\nsecond\nthird\n", b.screen.text()); diff != "" {
		t.Errorf("in the end, -want +got:\n%s", diff)
	}
}

// What comes late is shown all the same, without a changing line.
func TestTerminalAfterClose(t *testing.T) {
	b := newBench(t, 100)
	b.Close()
	b.Close()
	b.tell(t, event.Warning{Text: "late"})
	if _, err := fmt.Fprintln(b, "later"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("  warning: late\nlater\n", b.screen.text()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Many at once neither deadlock nor race, and lose no line.
func TestTerminalAtOnce(t *testing.T) {
	s := newScreen(t, 80)
	tick := make(chan time.Time)
	terminal := newTerminal(s, func() int { return 80 }, time.Now, tick)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case tick <- time.Time{}:
			case <-stop:
				return
			}
		}
	})
	const each = 50
	var tellers sync.WaitGroup
	for range 4 {
		tellers.Go(func() {
			for range each {
				_ = terminal.Read(event.Entry{Event: event.StepStarted{StepKind: "window"}})
				_ = terminal.Read(event.Entry{Event: event.Progress{Text: "recording", Done: 1, Total: 2}})
				_ = terminal.Read(event.Entry{Event: event.StepFinished{StepKind: "window"}})
				_, _ = fmt.Fprintln(terminal, "log")
			}
		})
	}
	tellers.Wait()
	close(stop)
	wg.Wait()
	terminal.Close()
	text := s.text()
	if n := strings.Count(text, "  window     ok"); n != 4*each {
		t.Errorf("%d lines of plan steps, want %d", n, 4*each)
	}
	if n := strings.Count(text, "log\n"); n != 4*each {
		t.Errorf("%d log lines, want %d", n, 4*each)
	}
	if n := strings.Count(text, "\n"); n != 8*each {
		t.Errorf("%d lines in all, want %d", n, 8*each)
	}
}

// With its own clock and ticker it ends, too.
func TestNewTerminal(t *testing.T) {
	s := newScreen(t, 80)
	terminal := NewTerminal(s)
	tell(t, terminal, stream())
	terminal.Close()
	if !strings.HasSuffix(s.text(), "1f3c9a\n") {
		t.Errorf("the end is missing:\n%s", s.text())
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"größe", 5, "größe"}, {"größe", 4, "grö…"}, {"größe", 1, "…"}, {"größe", 0, ""}, {"größe", -1, ""}, {"", -1, ""}} {
		if got := fit(c.text, c.most); got != c.want {
			t.Errorf("%q in %d is %q, want %q", c.text, c.most, got, c.want)
		}
	}
}
