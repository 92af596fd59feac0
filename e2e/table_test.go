//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"

	"profjob/internal/archive"
)

// table gathers what was asked and got, to be printed at the end.
type table struct{ rows []string }

func (r *table) add(server, what string, m archive.Manifest) {
	for _, w := range windows(m) {
		rank := "?"
		if w.Rank != nil {
			rank = fmt.Sprint(*w.Rank)
		}
		asked := fmt.Sprintf("%d steps", w.Asked.Steps)
		if w.Asked.Kind == "tokens" {
			asked += fmt.Sprintf(" from %d tokens", w.Asked.Threshold)
		}
		if w.Asked.Delay > 0 {
			asked += fmt.Sprintf(" after %d", w.Asked.Delay)
		}
		if w.Asked.Kind == "manual" {
			asked = fmt.Sprintf("%.1f s", float64(w.Asked.DurationNS)/1e9)
		}
		recorded := fmt.Sprintf("%d steps of %d recorded", w.Got.Steps, w.Got.RecordedSteps)
		if w.Asked.Kind == "manual" {
			recorded = fmt.Sprintf("%.2f s, %d steps", float64(w.Got.DurationNS)/1e9, w.Got.Steps)
		}
		attempts := 0
		for _, round := range m.Rounds {
			attempts = max(attempts, len(round.Attempts))
		}
		r.rows = append(r.rows, strings.Join([]string{server, what, asked, recorded, fmt.Sprint(w.Got.IdlePasses), rank, w.Strategy, w.Evidence,
			fmt.Sprint(attempts), fmt.Sprint(w.Exact)}, "\t"))
	}
}

func (r *table) print(t *testing.T) {
	t.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nserver\tjob\tasked\trecorded\tidle\trank\tstrategy\tevidence\tattempts\texact")
	for _, row := range r.rows {
		fmt.Fprintln(w, row)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}
