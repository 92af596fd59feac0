package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

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
		all = append(all, engineName(t))
	}
	return strings.Join(all, ", ")
}

func engineName(t archive.Target) string { return strings.TrimSpace(t.Engine + " " + t.Version) }

// windowsInShort tells how many windows are exact; empty where none was recorded.
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
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d exact", exact, total)
}

// Runs lists runs for people, in the order given, and below them why some could not be read.
func Runs(w io.Writer, entries []archive.Entry) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RUN\tJOB\tSTATUS\tTOOK\tENGINE\tWINDOWS\tPATH")
	for _, e := range entries {
		r := rowOf(e)
		took := "-"
		if r.TookNS > 0 {
			took = Took(time.Duration(r.TookNS))
		}
		cells := []string{r.RunID, r.Job, string(r.Status), took, r.Engine, r.Windows, r.Path}
		for i, c := range cells {
			cells[i] = cell(c)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	for _, e := range entries {
		if e.Err == nil {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\n", cell(e.Err.Error())); err != nil {
			return fmt.Errorf("list runs: %w", err)
		}
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

// cell makes a text fit into one cell of a table.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.ReplaceAll(Printable(text), "\n", " ")
}
