// Package view shows people and programs what happens: the events of a run, a
// plan, the runs of an archive. It reads and formats; it does nothing.
package view

import (
	"fmt"
	"io"
	"strings"

	"profjob/internal/event"
)

// Lines shows a run's events as plain lines, one a plan step, for logs and for
// terminals that are none.
type Lines struct {
	out   io.Writer
	story story
}

// NewLines makes a view that writes to out.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Read shows one event.
func (l *Lines) Read(e event.Entry) error {
	if _, err := io.WriteString(l.out, joined(l.story.lines(e.Event))); err != nil {
		return fmt.Errorf("show progress: %w", err)
	}
	return nil
}

// joined ends each line.
func joined(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
