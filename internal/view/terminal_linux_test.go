package view

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"profjob/internal/event"
)

// screen is as much of a terminal as the view needs. It fails on what it does not know.
type screen struct {
	mu     sync.Mutex
	t      *testing.T
	rows   [][]rune
	row    int
	column int
	rest   []byte // not whole yet
}

// openScreen gives a screen and the terminal that writes to it. The function
// returned ends the terminal and waits until all is on the screen.
func openScreen(t *testing.T) (s *screen, terminal *os.File, finish func()) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(user.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s = &screen{t: t, rows: [][]rune{nil}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(s, user) // it fails once the terminal is closed
	}()
	finish = sync.OnceFunc(func() {
		_ = terminal.Close() // what it wrote is read below
		<-done
		_ = user.Close() // nothing is lost: all was read
	})
	t.Cleanup(finish)
	return s, terminal, finish
}

var escape = regexp.MustCompile(`^\x1b\[([0-9]*)([AJ])`)

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for len(s.rest) > 0 {
		if m := escape.FindSubmatch(s.rest); m != nil {
			s.control(string(m[1]), string(m[2]))
			s.rest = s.rest[len(m[0]):]
			continue
		}
		const longestEscape = 8
		if !utf8.FullRune(s.rest) || s.rest[0] == 0x1b && len(s.rest) < longestEscape {
			break // the rest of it comes with the next piece
		}
		r, size := utf8.DecodeRune(s.rest)
		s.put(r)
		s.rest = s.rest[size:]
	}
	return len(p), nil
}

func (s *screen) control(n, code string) {
	switch code {
	case "A": // the cursor goes up
		up, err := strconv.Atoi(n)
		if err != nil || up > s.row {
			s.t.Errorf("the view moves up by %q from row %d", n, s.row)
			return
		}
		s.row -= up
	case "J": // all from the cursor on is erased
		s.rows[s.row] = s.rows[s.row][:min(s.column, len(s.rows[s.row]))]
		s.rows = s.rows[:s.row+1]
	}
}

func (s *screen) put(r rune) {
	switch {
	case r == '\n':
		s.row, s.column = s.row+1, 0
		if s.row == len(s.rows) {
			s.rows = append(s.rows, nil)
		}
		return
	case r == '\r':
		s.column = 0
		return
	case r < ' ':
		s.t.Errorf("the view writes the control character %q", r)
		return
	}
	for len(s.rows[s.row]) <= s.column {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.column] = r
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

// tellAll hands events to a view.
func tellAll(t *testing.T, terminal *Terminal, events ...event.Event) {
	t.Helper()
	for _, ev := range events {
		if err := terminal.Read(event.Entry{Event: ev}); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for what is drawn in a goroutine of its own.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// In the end the same stands on a terminal as in a log: nothing of the changing
// line is left.
func TestTerminalLeavesLinesOnly(t *testing.T) {
	s, out, finish := openScreen(t)
	terminal := NewTerminal(out)
	tell(t, terminal, stream())
	terminal.Close()
	finish()
	want := written(t, func(b *strings.Builder) error { tell(t, NewLines(b), stream()); return nil })
	if diff := cmp.Diff(want, s.text()); diff != "" {
		t.Errorf("-lines +screen:\n%s", diff)
	}
}

func TestTerminalShowsWhatGoesOn(t *testing.T) {
	s, out, finish := openScreen(t)
	terminal := NewTerminal(out)
	defer finish()
	defer terminal.Close()
	tellAll(t, terminal, event.StepStarted{StepKind: "window"})
	until(t, "the plan step", func() bool { return strings.Contains(s.text(), "  window") })
	tellAll(t, terminal, event.Progress{Text: "recording engine steps", Done: 3, Total: 5, Unit: "steps"})
	until(t, "how far it is", func() bool { return strings.Contains(s.text(), "recording engine steps 3/5 steps") })
	if !strings.Contains(s.text(), "━") {
		t.Errorf("no bar:\n%s", s.text())
	}
	tellAll(t, terminal, event.StepFinished{StepKind: "window"})
	until(t, "the line of the plan step", func() bool { return strings.Contains(s.text(), "  window     ok") })
	if text := s.text(); strings.Contains(text, "recording") || !strings.HasPrefix(text, "  window     ok") {
		t.Errorf("after the plan step:\n%s", text)
	}
}

func TestDescribeProgress(t *testing.T) {
	for _, c := range []struct {
		progress event.Progress
		want     string
	}{
		{event.Progress{Text: "recording", Done: 1400, Total: 2000, Unit: "ms"}, "recording"},
		{event.Progress{Text: "recording engine steps", Done: 3, Total: 5, Unit: "steps"}, "recording engine steps 3/5 steps"},
		{event.Progress{Text: "12 of 64 requests running", Done: 12, Total: 64, Unit: "requests"}, "12 of 64 requests running"},
		{event.Progress{Text: "recording until stopped", Done: 3, Unit: "s"}, "recording until stopped"},
	} {
		if got := describe(c.progress); got != c.want {
			t.Errorf("%+v is %q, want %q", c.progress, got, c.want)
		}
	}
	if got := describe(event.Progress{Text: "more than\nall\x1b[2J"}); strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("control characters are shown: %q", got)
	}
}

// Logs stand above the changing line, each line whole.
func TestTerminalTakesTheLinesOfOthers(t *testing.T) {
	s, out, finish := openScreen(t)
	terminal := NewTerminal(out)
	tellAll(t, terminal, event.StepStarted{StepKind: "window"})
	for _, part := range []string{"first\nsec", "ond", "\nthird"} {
		if n, err := terminal.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	until(t, "the changing line below the others", func() bool { return strings.HasPrefix(s.text(), "first\nsecond\n  window") })
	terminal.Close()
	finish()
	if diff := cmp.Diff("first\nsecond\nthird\n", s.text()); diff != "" {
		t.Errorf("in the end, -want +got:\n%s", diff)
	}
}

// What comes late is shown all the same, without a changing line.
func TestTerminalAfterClose(t *testing.T) {
	s, out, finish := openScreen(t)
	terminal := NewTerminal(out)
	terminal.Close()
	terminal.Close()
	tellAll(t, terminal, event.Warning{Text: "late"})
	if _, err := fmt.Fprintln(terminal, "later"); err != nil {
		t.Fatal(err)
	}
	finish()
	if diff := cmp.Diff("  warning: late\nlater\n", s.text()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Many at once neither deadlock nor race, and lose no line.
func TestTerminalAtOnce(t *testing.T) {
	s, out, finish := openScreen(t)
	terminal := NewTerminal(out)
	const each = 25
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
	terminal.Close()
	finish()
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

// A terminal that has gone is an error of whoever tells it something, and no more.
func TestTerminalGone(t *testing.T) {
	gone := errors.New("gone")
	terminal := NewTerminal(writerFunc(func([]byte) (int, error) { return 0, gone }))
	defer terminal.Close()
	for _, ev := range []event.Event{event.StepStarted{StepKind: "window"}, event.Warning{Text: "x"}, event.StepFinished{StepKind: "window"}} {
		_ = terminal.Read(event.Entry{Event: ev})
	}
	if err := terminal.Read(event.Entry{Event: event.Warning{Text: "x"}}); !errors.Is(err, gone) {
		t.Errorf("error %v, want the writer's", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
