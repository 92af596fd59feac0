package spec

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

const (
	// maxDiagnostics is how many diagnostics of a file are kept: nobody reads more.
	maxDiagnostics = 200
	// maxSnippetWork bounds what is read of files to show their lines, in bytes:
	// each diagnostic is written with a look at its whole file.
	maxSnippetWork = 8 << 20
)

// Diagnostics are the mistakes found in a job file and the files it uses,
// sorted by place, each once. They never show a sensitive value: where the
// source line that a diagnostic points at holds one, it is replaced.
//
// Diagnostics is an error; use [Diagnostics.Err] where an error is wanted, which
// is nil when there is none.
type Diagnostics struct {
	list  hcl.Diagnostics
	files map[string]*redactedFile // by name as in the ranges
}

// HasErrors says whether one of the diagnostics is an error rather than a warning.
func (d *Diagnostics) HasErrors() bool { return d.list.HasErrors() }

// Err is d if it has errors, otherwise nil.
func (d *Diagnostics) Err() error {
	if !d.HasErrors() {
		return nil
	}
	return d
}

// Error is every diagnostic on a line of its own: file:line,columns: summary; detail.
func (d *Diagnostics) Error() string {
	lines := make([]string, len(d.list))
	for i, diag := range d.list {
		lines[i] = diag.Summary + "; " + diag.Detail
		if diag.Subject != nil {
			lines[i] = diag.Subject.String() + ": " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// All are the diagnostics in order. The slice is d's own.
func (d *Diagnostics) All() hcl.Diagnostics { return d.list }

// Append adds diagnostics that were found later, about the same files: by the
// compiler of a plan, say. They are sorted in with the others.
func (d *Diagnostics) Append(more ...*hcl.Diagnostic) {
	d.list = sortDiagnostics(append(slices.Clone(d.list), more...))
}

// WriteText writes the diagnostics for people, each with the lines it is about.
// The text is wrapped at width columns, 0: not at all; colour marks the
// severity and the place with terminal sequences.
func (d *Diagnostics) WriteText(w io.Writer, width uint, colour bool) error {
	var buf bytes.Buffer
	files := map[string]*hcl.File{}
	for name, f := range d.files {
		files[name] = &hcl.File{Bytes: f.text, Nav: f}
	}
	withSource := hcl.NewDiagnosticTextWriter(&buf, files, width, colour)
	withoutSource := hcl.NewDiagnosticTextWriter(&buf, nil, width, colour)
	looked := 0
	for _, diag := range d.list {
		text := withSource
		if diag.Subject != nil && d.files[diag.Subject.Filename] != nil {
			looked += len(d.files[diag.Subject.Filename].text)
		}
		if looked > maxSnippetWork || diag.Subject != nil && d.files[diag.Subject.Filename].snippet(*diag.Subject) == nil {
			text = withoutSource
		}
		if err := text.WriteDiagnostic(d.shifted(diag)); err != nil {
			return fmt.Errorf("write diagnostics: %w", err)
		}
	}
	if _, err := w.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write diagnostics: %w", err)
	}
	return nil
}

// shifted is the diagnostic with ranges that fit the redacted text.
func (d *Diagnostics) shifted(diag *hcl.Diagnostic) *hcl.Diagnostic {
	if diag.Subject == nil || d.files[diag.Subject.Filename] == nil {
		return diag
	}
	f := d.files[diag.Subject.Filename]
	moved := *diag
	moved.Subject = f.moveRange(diag.Subject)
	if diag.Context != nil && diag.Context.Filename == diag.Subject.Filename {
		moved.Context = f.moveRange(diag.Context)
	} else {
		moved.Context = nil
	}
	return &moved
}

// DiagnosticsFormat is the version of the JSON that [Diagnostics.WriteJSON]
// writes. The first number changes when a reader of the old form would fail.
const DiagnosticsFormat = "1.0"

type jsonDiagnostics struct {
	FormatVersion string           `json:"format_version"`
	Errors        int              `json:"error_count"`
	Warnings      int              `json:"warning_count"`
	Diagnostics   []jsonDiagnostic `json:"diagnostics"`
}

type jsonDiagnostic struct {
	Severity   string       `json:"severity"` // error | warning
	Summary    string       `json:"summary"`
	Detail     string       `json:"detail,omitempty"`
	File       string       `json:"file,omitempty"`
	Range      *jsonRange   `json:"range,omitempty"`
	Snippet    *jsonSnippet `json:"snippet,omitempty"`
	Suggestion string       `json:"suggestion,omitempty"` // what to write instead
}

type jsonRange struct {
	Start jsonPos `json:"start"`
	End   jsonPos `json:"end"`
}

// jsonPos counts lines and columns from 1, bytes from 0. The end of a range is
// the position behind its last character.
type jsonPos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// jsonSnippet is the source lines of a range, sensitive values replaced.
type jsonSnippet struct {
	Context   string `json:"context,omitempty"` // header of the block around it
	Code      string `json:"code"`
	StartLine int    `json:"start_line"`
	// The part of Code that the diagnostic is about, in bytes.
	HighlightStart int `json:"highlight_start_offset"`
	HighlightEnd   int `json:"highlight_end_offset"`
}

// WriteJSON writes the diagnostics for programs, as one object on one line.
func (d *Diagnostics) WriteJSON(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(d); err != nil {
		return fmt.Errorf("write diagnostics: %w", err)
	}
	return nil
}

// MarshalJSON is what WriteJSON writes.
func (d *Diagnostics) MarshalJSON() ([]byte, error) {
	out := jsonDiagnostics{FormatVersion: DiagnosticsFormat, Diagnostics: []jsonDiagnostic{}}
	for _, diag := range d.list {
		severity := "error"
		if diag.Severity == hcl.DiagWarning {
			severity = "warning"
			out.Warnings++
		} else {
			out.Errors++
		}
		j := jsonDiagnostic{Severity: severity, Summary: diag.Summary, Detail: diag.Detail}
		if s, ok := diag.Extra.(suggestion); ok {
			j.Suggestion = string(s)
		}
		if diag.Subject != nil {
			j.File = diag.Subject.Filename
			j.Range = &jsonRange{Start: jsonPos(diag.Subject.Start), End: jsonPos(diag.Subject.End)}
			j.Snippet = d.files[diag.Subject.Filename].snippet(*diag.Subject)
		}
		out.Diagnostics = append(out.Diagnostics, j)
	}
	return json.Marshal(out)
}

// suggestion is what to write instead, as the Extra of a diagnostic.
type suggestion string

// reporter collects diagnostics while a file is loaded.
type reporter struct {
	list hcl.Diagnostics
}

func newReporter() *reporter { return &reporter{} }

// errorAt adds an error about the range; the zero range means that no place in
// a file is to blame.
func (r *reporter) errorAt(at hcl.Range, summary, format string, args ...any) {
	r.suggestAt(at, "", summary, format, args...)
}

// suggestAt is errorAt with the text that would be right.
func (r *reporter) suggestAt(at hcl.Range, instead, summary, format string, args ...any) {
	diag := &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(format, args...),
	}
	if at != (hcl.Range{}) {
		diag.Subject = &at
	}
	if instead != "" {
		diag.Extra = suggestion(instead)
	}
	r.list = append(r.list, diag)
}

// add takes diagnostics of the HCL library.
func (r *reporter) add(diags ...*hcl.Diagnostic) { r.list = append(r.list, diags...) }

// drop forgets everything that was reported.
func (r *reporter) drop() { r.list = nil }

func (r *reporter) hasErrors() bool { return r.list.HasErrors() }

// count is how many diagnostics there are; together with since it tells what a
// piece of work has added.
func (r *reporter) count() int { return len(r.list) }

func (r *reporter) failedSince(count int) bool { return r.list[count:].HasErrors() }

// dropRepeats removes of the diagnostics since count those that say of the same
// place what earlier ones have said: the jobs of one for_each share their text.
func (r *reporter) dropRepeats(first, count int) {
	said := map[string]bool{}
	for _, diag := range r.list[first:count] {
		said[placeAndSummary(diag)] = true
	}
	fresh := slices.DeleteFunc(slices.Clone(r.list[count:]), func(diag *hcl.Diagnostic) bool {
		return said[placeAndSummary(diag)]
	})
	r.list = append(r.list[:count], fresh...)
}

func placeAndSummary(diag *hcl.Diagnostic) string {
	return fmt.Sprintf("%v %s", diag.Subject, diag.Summary)
}

// finish makes the Diagnostics of what was reported.
func (r *reporter) finish(files map[string]*redactedFile) *Diagnostics {
	list := sortDiagnostics(r.list)
	if more := len(list) - maxDiagnostics; more > 0 {
		list = append(list[:maxDiagnostics:maxDiagnostics], &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Too many mistakes",
			Detail:   fmt.Sprintf("%d more were found, which are not shown.", more),
			Subject:  list[maxDiagnostics].Subject,
		})
	}
	return &Diagnostics{list: list, files: files}
}

// sortDiagnostics orders by file, line and column and drops what is said twice.
func sortDiagnostics(list hcl.Diagnostics) hcl.Diagnostics {
	slices.SortStableFunc(list, func(a, b *hcl.Diagnostic) int {
		ra, rb := rangeOrZero(a.Subject), rangeOrZero(b.Subject)
		return cmp.Or(
			cmp.Compare(ra.Filename, rb.Filename),
			cmp.Compare(ra.Start.Byte, rb.Start.Byte),
			cmp.Compare(ra.End.Byte, rb.End.Byte),
			cmp.Compare(a.Summary, b.Summary),
			cmp.Compare(a.Detail, b.Detail),
		)
	})
	return slices.CompactFunc(list, func(a, b *hcl.Diagnostic) bool {
		return rangeOrZero(a.Subject) == rangeOrZero(b.Subject) && a.Summary == b.Summary && a.Detail == b.Detail
	})
}

func rangeOrZero(r *hcl.Range) hcl.Range {
	if r == nil {
		return hcl.Range{}
	}
	return *r
}

// place is a range as it is named inside of a sentence: job.hcl:12.
func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
