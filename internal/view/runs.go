package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"profjob/internal/archive"
)

// runRow is one run in a list, as JSON has it.
type runRow struct {
	RunID     string         `json:"run_id"`
	Job       string         `json:"job"`
	Status    archive.Status `json:"status"` // "unfinished" for one that was never sealed
	StartedAt *time.Time     `json:"started_at"`
	TookNS    int64          `json:"took_ns"`
	Engine    string         `json:"engine"`
	Windows   string         `json:"windows"`
	Path      string         `json:"path"`
	Error     string         `json:"error,omitempty"`
}

func rowOf(e archive.Entry) runRow {
	row := runRow{RunID: e.RunID, Job: e.JobDir, Path: e.Path}
	switch {
	case e.Partial:
		row.Status = "unfinished"
	case e.Err != nil:
		row.Status, row.Error = "unreadable", e.Err.Error()
	default:
		m := e.Manifest
		row.Job, row.Status, row.StartedAt, row.TookNS = m.Job, m.Status, &m.StartedAt, int64(m.FinishedAt.Sub(m.StartedAt))
		row.Engine, row.Windows = engines(m), windowsInShort(m)
	}
	return row
}

// engines names the kinds and versions of a run's servers.
func engines(m *archive.Manifest) string {
	var all []string
	for _, t := range m.Targets {
		all = append(all, t.Engine+" "+t.Version)
	}
	return strings.Join(all, ", ")
}

// windowsInShort tells how many windows are exact.
func windowsInShort(m *archive.Manifest) string {
	total, exact := 0, 0
	for _, r := range m.Rounds {
		for _, w := range r.Windows {
			total++
			if w.Exact {
				exact++
			}
		}
	}
	return fmt.Sprintf("%d of %d exact", exact, total)
}

// Runs lists runs for people, oldest first.
func Runs(w io.Writer, entries []archive.Entry) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RUN\tJOB\tSTATUS\tTOOK\tENGINE\tWINDOWS\tPATH")
	for _, e := range entries {
		r := rowOf(e)
		took := "-"
		if r.TookNS > 0 {
			took = Took(time.Duration(r.TookNS))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.RunID, r.Job, r.Status, took, dash(r.Engine), dash(r.Windows), r.Path)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	return nil
}

// RunsJSON lists runs as a JSON array.
func RunsJSON(w io.Writer, entries []archive.Entry) error {
	rows := make([]runRow, 0, len(entries))
	for _, e := range entries {
		rows = append(rows, rowOf(e))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

// RunsJSONLines lists runs as one JSON object a line.
func RunsJSONLines(w io.Writer, entries []archive.Entry) error {
	e := json.NewEncoder(w)
	for _, entry := range entries {
		if err := e.Encode(rowOf(entry)); err != nil {
			return err
		}
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Run explains one run to people.
func Run(w io.Writer, path string, m *archive.Manifest) error {
	var b strings.Builder
	fmt.Fprintf(&b, "run %s of job %s: %s\n", m.RunID, m.Job, m.Status)
	fmt.Fprintf(&b, "  %s, took %s, on %s, profjob %s\n", m.StartedAt.Local().Format("2006-01-02 15:04:05 MST"),
		Took(m.FinishedAt.Sub(m.StartedAt)), m.Host, m.Profjob.Version)
	for _, t := range m.Targets {
		fmt.Fprintf(&b, "  target %s: %s %s at %s\n", t.Name, t.Engine, t.Version, strings.Join(t.Endpoints, ", "))
	}
	for _, r := range m.Rounds {
		writeRound(&b, r)
	}
	writeRecord(&b, m.Record)
	writeFiles(&b, m.Files)
	for _, text := range m.Warnings {
		fmt.Fprintf(&b, "\n  warning: %s", text)
	}
	for _, text := range m.Errors {
		fmt.Fprintf(&b, "\n  error: %s", strings.ReplaceAll(text, "\n", "\n    "))
	}
	fmt.Fprintf(&b, "\n  %s\n", path)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeRound(b *strings.Builder, r archive.Round) {
	fmt.Fprintf(b, "\n  round %d", r.Number)
	if n := len(r.Attempts); n > 1 {
		fmt.Fprintf(b, ", %d attempts", n)
	}
	b.WriteString("\n")
	for _, win := range r.Windows {
		fmt.Fprintf(b, "    %s\n", windowLine(win))
		writeEngineSteps(b, win)
	}
	if r.SkewNS != nil {
		fmt.Fprintf(b, "    skew between the windows: %s\n", time.Duration(*r.SkewNS))
	}
}

// windowLine says what was asked of a window and what was got.
func windowLine(w archive.Window) string {
	name := w.Target
	if w.Rank != nil {
		name += fmt.Sprintf(" rank %d", *w.Rank)
	}
	var got string
	switch w.Asked.Kind {
	case "steps":
		got = fmt.Sprintf("%d of %d engine steps", w.Got.Steps, w.Asked.Steps)
	default:
		got = fmt.Sprintf("%d engine steps in %s", w.Got.Steps, Took(time.Duration(w.Got.DurationNS)))
	}
	proof := fmt.Sprintf("%s, proved by %s", w.Strategy, w.Evidence)
	if w.Got.Trimmed {
		proof += fmt.Sprintf(", cut from %d", w.Got.RecordedSteps)
	}
	if !w.Exact {
		return fmt.Sprintf("%s: %s (%s): NOT exact: %s", name, got, proof, w.Reason)
	}
	return fmt.Sprintf("%s: %s (%s): exact", name, got, proof)
}

// mostSteps is how many engine steps of a window are shown one by one.
const mostSteps = 10

func writeEngineSteps(b *strings.Builder, w archive.Window) {
	for i, s := range w.Got.EngineSteps {
		if i == mostSteps {
			fmt.Fprintf(b, "      … and %d more\n", len(w.Got.EngineSteps)-mostSteps)
			return
		}
		fmt.Fprintf(b, "      %-8s %9s  %s requests, %s tokens  %s\n", s.Class,
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
		fmt.Fprintf(b, "    %-9s %9s  %s  %s\n", f.Kind, humanize.IBytes(uint64(f.Size)), f.SHA256[:12], f.Path)
	}
}

// Ended sums up a run in a few lines, for the end of `profjob run`.
func Ended(w io.Writer, status archive.Status, path string, m *archive.Manifest, took time.Duration) error {
	var b strings.Builder
	if m != nil {
		for _, r := range m.Rounds {
			for _, win := range r.Windows {
				fmt.Fprintf(&b, "%s\n", windowLine(win))
			}
		}
		fmt.Fprintf(&b, "%s in %s: %s\n", strings.ToUpper(string(status)), Took(took), path)
	} else {
		fmt.Fprintf(&b, "%s in %s, not sealed: %s\n", strings.ToUpper(string(status)), Took(took), path)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
