//go:build e2e

package peers

import (
	"fmt"
	"strings"
	"testing"
)

// ratios is the table of what was measured, each beside what it is held against.
type ratios struct{ rows []ratio }

type ratio struct {
	what, file  string
	ours, peer  string
	value       float64
	must, aim   float64
	atLeast     bool // the value must reach must; it must not pass it else
	percentages bool
}

func (r ratio) meets(bound float64) bool {
	if r.atLeast {
		return r.value >= bound
	}
	return r.value <= bound
}

func (r ratio) met() string {
	switch {
	case !r.meets(r.must):
		return "MISSED"
	case r.meets(r.aim):
		return "aim"
	}
	return "must"
}

func (r ratio) write(v float64, sign string) string {
	if r.percentages {
		return fmt.Sprintf("%s%.1f %%", sign, 100*v)
	}
	return fmt.Sprintf("%s%.2f", sign, v)
}

func (r *ratios) add(row ratio) { r.rows = append(r.rows, row) }

// faster adds how many times as long the peer takes.
func (r *ratios) faster(what string, m made, ours, peer *subject, must, aim float64) {
	r.add(ratio{what: what, file: m.name, ours: seconds(ours), peer: seconds(peer),
		value: float64(peer.median()) / float64(ours.median()), must: must, aim: aim, atLeast: true})
}

// part adds which part of the peer's time ours is.
func (r *ratios) part(what string, m made, ours, peer *subject, must, aim float64) {
	r.add(ratio{what: what, file: m.name, ours: seconds(ours), peer: seconds(peer),
		value: float64(ours.median()) / float64(peer.median()), must: must, aim: aim})
}

// memory adds the peak as a part of the JSON.
func (r *ratios) memory(m made, ours *subject) {
	r.add(ratio{what: "peak memory of analyze / JSON", file: m.name, ours: megabytes(ours.peak), peer: megabytes(m.json),
		value: float64(ours.peak) / float64(m.json), must: 0.2 + (64<<20)/float64(m.json), aim: 0.08, percentages: true})
}

// print shows the table. What was missed is an error; else -update writes it into docs/.
func (r *ratios) print(t *testing.T, target string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| what | file | profjob | peer | ratio | must | aim | met |\n| --- | --- | --- | --- | --: | --: | --: | --- |\n")
	for _, row := range r.rows {
		sign := "≤ "
		if row.atLeast {
			sign = "≥ "
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", row.what, row.file, row.ours, row.peer,
			row.write(row.value, ""), row.write(row.must, sign), row.write(row.aim, sign), row.met())
		if row.met() == "MISSED" {
			t.Errorf("%s, %s: %s, must be %s", row.what, row.file, row.write(row.value, ""), row.write(row.must, sign))
		}
	}
	fmt.Println("\n" + b.String())
	if *update && !t.Failed() {
		findSection(t, target).write(t, b.String())
	}
}

// seconds are the median and the least time of a run.
func seconds(s *subject) string {
	return fmt.Sprintf("%.3f s (%.3f)", s.median().Seconds(), s.least().Seconds())
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
