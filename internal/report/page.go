// Package report writes report.html: what a run asked for and got, and what its traces
// tell, as one page that needs nothing else, neither a network nor a script.
//
// It stands on the values of [profjob/internal/analysis] and [profjob/internal/archive].
// Whatever is in them may come from a server: it is escaped, shortened and counted, so
// that the page stays a page of at most [MaxBytes].
package report

import (
	"bytes"
	"fmt"
	"io"

	"profjob/internal/analysis"
)

// MaxBytes is how large a page gets. Rows that would make it larger are left out, and
// the page says how many.
const MaxBytes = 5 << 20

// Page is what a report is made of.
type Page struct {
	Title string // empty: made of the run
	Run   *Run   // nil of trace files outside of a run
	// Sets are the analyses, in the order of the page.
	Sets []analysis.Set
	// Links are the trace files. Empty with a Run, each trace is taken to lie where its
	// File says, relative to the page.
	Links []Link
}

// Link says where a trace file lies.
type Link struct {
	File string // its name, [analysis.Trace.File] where it was analysed
	Path string // relative to the page, with slashes; anything else is shown and not linked
}

// Write writes the page. The same Page gives the same bytes. What cannot be shown within
// [MaxBytes] is left out of the page, never of the memory that it takes to write it,
// which is some times the page.
func Write(w io.Writer, p Page) error {
	page, err := render(p, MaxBytes)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := w.Write(page); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// render makes the page with fewer rows until it is at most limit bytes.
func render(p Page, limit int) ([]byte, error) {
	for l := most; ; l = l.halved() {
		m, err := modelOf(p, l)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := layout.Execute(&b, m); err != nil {
			return nil, err
		}
		if b.Len() <= limit {
			return b.Bytes(), nil
		}
		if l.none() {
			return nil, fmt.Errorf("the page has %d bytes, the limit is %d, and there is nothing more to leave out", b.Len(), limit)
		}
	}
}
