package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"profjob/internal/archive"
)

// Run explains one run to people.
func Run(w io.Writer, path string, m *archive.Manifest) error {
	var b strings.Builder
	fmt.Fprintf(&b, "run %s of job %s: %s\n", m.RunID, m.Job, m.Status)
	fmt.Fprintf(&b, "  %s, took %s, on %s, profjob %s\n", m.StartedAt.Local().Format("2006-01-02 15:04:05 MST"),
		Took(m.FinishedAt.Sub(m.StartedAt)), m.Host, m.Profjob.Version)
	for _, t := range m.Targets {
		fmt.Fprintf(&b, "  target %s: %s at %s\n", t.Name, engineName(t), strings.Join(t.Endpoints, ", "))
	}
	for _, r := range m.Rounds {
		writeRound(&b, m, r)
	}
	writeRecord(&b, m.Record)
	writeFiles(&b, m.Files)
	writeList(&b, "warnings", m.Warnings)
	writeList(&b, "errors", m.Errors)
	fmt.Fprintf(&b, "\n  %s\n", path)
	_, err := io.WriteString(w, Printable(b.String()))
	return err
}

func writeRound(b *strings.Builder, m *archive.Manifest, r archive.Round) {
	fmt.Fprintf(b, "\n  round %d", r.Number)
	if n := len(r.Attempts); n > 1 {
		fmt.Fprintf(b, ", %d attempts", n)
	}
	b.WriteString("\n")
	for _, a := range r.Attempts {
		if a.Error != "" {
			fmt.Fprintf(b, "    attempt %d failed: %s\n", a.Number, indented(a.Error, 6))
		}
	}
	for _, win := range r.Windows {
		fmt.Fprintf(b, "    %s\n", windowLine(m, win))
		writeEngineSteps(b, win)
	}
	if r.SkewNS != nil {
		fmt.Fprintf(b, "    skew between the windows: %s\n", time.Duration(*r.SkewNS))
	}
}

// indented indents the lines of a text but the first.
func indented(text string, columns int) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", columns))
}

// windowLine says what was asked of a window and what was got.
func windowLine(m *archive.Manifest, w archive.Window) string {
	got := fmt.Sprintf("%d engine steps in %s", w.Got.Steps, Took(time.Duration(w.Got.DurationNS)))
	if w.Asked.Steps > 0 {
		got = fmt.Sprintf("%d of %d engine steps", w.Got.Steps, w.Asked.Steps)
	}
	proof := fmt.Sprintf("%s, proved by %s", w.Strategy, w.Evidence)
	if w.Got.Trimmed {
		proof += fmt.Sprintf(", cut from %d", w.Got.RecordedSteps)
	}
	verdict := "exact"
	if !w.Exact {
		verdict = "NOT exact: " + w.Reason
	}
	return fmt.Sprintf("%s: %s (%s): %s", windowName(m, w), got, proof, verdict)
}

// windowName names the window's target, its endpoint where there are several, and its rank.
func windowName(m *archive.Manifest, w archive.Window) string {
	name := w.Target
	for _, t := range m.Targets {
		if t.Name == w.Target && len(t.Endpoints) > 1 && w.Endpoint != nil {
			name += " at " + *w.Endpoint
		}
	}
	if w.Rank != nil {
		name += fmt.Sprintf(" rank %d", *w.Rank)
	}
	return name
}

// mostSteps is how many engine steps of a window are shown one by one.
const mostSteps = 10

func writeEngineSteps(b *strings.Builder, w archive.Window) {
	for i, s := range w.Got.EngineSteps {
		if i == mostSteps {
			fmt.Fprintf(b, "      … and %d more\n", len(w.Got.EngineSteps)-mostSteps)
			return
		}
		fmt.Fprintf(b, "      %-8s %9s  %4s requests, %s tokens  %s\n", s.Class,
			time.Duration(s.DurationNS).Round(time.Microsecond), number(s.Requests), number(s.Tokens), s.Name)
	}
}

func number(n *int) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

func writeRecord(b *strings.Builder, r archive.Record) {
	fmt.Fprintf(b, "\n  record: asked %s", onlyOn(r.Asked))
	if r.Seen != nil {
		fmt.Fprintf(b, "; seen %s", onlyOn(*r.Seen))
	}
	if len(r.Extra) > 0 {
		fmt.Fprintf(b, "; unasked %s", strings.Join(r.Extra, ", "))
	}
	b.WriteString("\n")
}

func onlyOn(o archive.Options) string {
	var on []string
	for _, opt := range []struct {
		name string
		on   bool
	}{{"shapes", o.Shapes}, {"memory", o.Memory}, {"stack", o.Stack}, {"flops", o.FLOPs}} {
		if opt.on {
			on = append(on, opt.name)
		}
	}
	if len(on) == 0 {
		return "none"
	}
	return strings.Join(on, ", ")
}

func writeFiles(b *strings.Builder, files []archive.File) {
	b.WriteString("\n  files\n")
	for _, f := range files {
		fmt.Fprintf(b, "    %-9s %9s  %-12.12s  %s\n", f.Kind, humanize.IBytes(uint64(max(f.Size, 0))), f.SHA256, f.Path)
	}
}

func writeList(b *strings.Builder, name string, texts []string) {
	if len(texts) == 0 {
		return
	}
	fmt.Fprintf(b, "\n  %s\n", name)
	for _, text := range texts {
		fmt.Fprintf(b, "    %s\n", indented(text, 6))
	}
}

// Ended sums up a run in a few lines, for the end of `profjob run`.
func Ended(w io.Writer, status archive.Status, path string, m *archive.Manifest, took time.Duration) error {
	var b strings.Builder
	if m != nil {
		writeWindows(&b, m)
	}
	fmt.Fprintf(&b, "%s in %s", strings.ToUpper(string(status)), Took(took))
	if m == nil {
		b.WriteString(", not sealed")
	}
	fmt.Fprintf(&b, ": %s\n", path)
	_, err := io.WriteString(w, Printable(b.String()))
	return err
}

func writeWindows(b *strings.Builder, m *archive.Manifest) {
	for _, r := range m.Rounds {
		for _, win := range r.Windows {
			if len(m.Rounds) > 1 {
				fmt.Fprintf(b, "round %d, ", r.Number)
			}
			fmt.Fprintf(b, "%s\n", windowLine(m, win))
		}
	}
}
