// Package view shows people and programs what happens: the events of a run, a
// plan, the runs of an archive. It reads and formats; it does nothing.
package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"profjob/internal/event"
)

// Lines shows a run's events as plain lines, one a plan step, for logs and for
// terminals that are none.
type Lines struct {
	out io.Writer
}

// NewLines makes a view that writes to out.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Read shows one event.
func (l *Lines) Read(e event.Entry) error {
	for _, line := range lines(e.Event) {
		if _, err := fmt.Fprintln(l.out, line); err != nil {
			return fmt.Errorf("show progress: %w", err)
		}
	}
	return nil
}

// lines gives what people see of an event; most of the stream is for the journal.
func lines(ev event.Event) []string {
	switch ev := ev.(type) {
	case event.RunStarted:
		return []string{fmt.Sprintf("%s: run %s", ev.Job, ev.RunID)}
	case event.StepFinished:
		return []string{stepLine("ok", ev.Place, ev.StepKind, time.Duration(ev.Took), ev.Summary)}
	case event.StepFailed:
		return indented(stepLine("FAILED", ev.Place, ev.StepKind, time.Duration(ev.Took), ""), ev.Error)
	case event.StepRetrying:
		return []string{fmt.Sprintf("  %-10s try %d of %d failed, next in %s: %s", kindIn(ev.Step), ev.Try, ev.Of,
			time.Duration(ev.Wait).Round(100*time.Millisecond), ev.Error)}
	case event.AttemptFailed:
		if ev.Final {
			return nil
		}
		return []string{fmt.Sprintf("  round %d: attempt %d of %d did not get the window, trying again", ev.Round, ev.Attempt, ev.Of)}
	case event.Warning:
		return []string{"  warning: " + ev.Text}
	case event.Undone:
		if ev.Error != "" {
			return []string{fmt.Sprintf("  cleanup after %s failed: %s", ev.Step, ev.Error)}
		}
	case event.Interrupted:
		return []string{interruptLine(ev.Count)}
	}
	return nil
}

func stepLine(mark string, at event.Place, kind string, took time.Duration, summary string) string {
	name := kind
	if at.Round > 1 || at.Attempt > 1 {
		name = fmt.Sprintf("%s (round %d, attempt %d)", kind, at.Round, at.Attempt)
	}
	line := fmt.Sprintf("  %-10s %-6s %8s", name, mark, Took(took))
	if summary != "" {
		line += "  " + summary
	}
	return line
}

// Took writes a duration short enough for a column.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func indented(first, text string) []string {
	all := []string{first}
	for line := range strings.SplitSeq(text, "\n") {
		all = append(all, "      "+line)
	}
	return all
}

func kindIn(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

func interruptLine(count int) string {
	switch count {
	case 1:
		return "  interrupted: stopping the profiler and keeping what there is (again: keep nothing)"
	case 2:
		return "  interrupted again: only stopping the profiler (again: leave at once, the profiler may stay on)"
	}
	return "  interrupted a third time: leaving; the profiler may still be on"
}
