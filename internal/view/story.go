package view

import (
	"fmt"
	"strings"
	"time"

	"profjob/internal/event"
)

// story turns a run's events into lines for people; most of the stream is for
// the journal. It remembers where in the run it is, so that a line need not say.
type story struct {
	rounds int // of the run
	round  int // the last one that was told
}

// lines gives what people see of an event: none, one or several lines.
func (s *story) lines(ev event.Event) []string {
	switch ev := ev.(type) {
	case event.RunStarted:
		s.rounds = ev.Rounds
		return told("%s: run %s", ev.Job, ev.RunID)
	case event.StepStarted:
		return s.heading(ev.Place)
	case event.StepFinished:
		return told("  %-10s %-6s %8s  %s", ev.StepKind, "ok", Took(time.Duration(ev.Took)), ev.Summary)
	case event.StepFailed:
		return told("  %-10s %-6s %8s\n%s", ev.StepKind, "FAILED", Took(time.Duration(ev.Took)), ev.Error)
	case event.StepRetrying:
		return told("  %-10s try %d of %d failed, the next in %s\n%s", kindIn(ev.Step), ev.Try, ev.Of,
			time.Duration(ev.Wait).Round(100*time.Millisecond), ev.Error)
	case event.AttemptFailed:
		if ev.Final {
			return nil // the plan step that failed has said it
		}
		return told("  attempt %d of %d did not get the window: trying again", ev.Attempt, ev.Of)
	case event.Warning:
		return told("  warning: %s", ev.Text)
	case event.Undone:
		if ev.Error != "" {
			return told("  cleanup after %s failed\n%s", ev.Step, ev.Error)
		}
	case event.Interrupted:
		return told("  %s", interrupt(ev.Count))
	}
	return nil
}

// heading announces a round where there are several.
func (s *story) heading(at event.Place) []string {
	if at.Round == 0 || at.Round == s.round {
		return nil
	}
	s.round = at.Round
	if s.rounds < 2 {
		return nil
	}
	return told("  round %d of %d", at.Round, s.rounds)
}

func interrupt(count int) string {
	switch count {
	case 1:
		return "interrupted: stopping what goes on and keeping what there is; once more collects no traces"
	case 2:
		return "interrupted again: no traces are collected, they stay where the server wrote them; once more leaves at once"
	}
	return "interrupted a third time: leaving; what is still on is left to the guard, which writes guard.log"
}

// told formats a text and cuts it into lines; those after the first are indented.
func told(format string, args ...any) []string {
	lines := strings.Split(strings.TrimRight(Printable(fmt.Sprintf(format, args...)), " \n"), "\n")
	for i := range lines[1:] {
		lines[i+1] = strings.TrimRight("      "+lines[i+1], " ")
	}
	return lines
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

func kindIn(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
