package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"profjob/internal/analysis"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

// shares is where the time goes: a stacked bar for each class, and the table that
// explains the colours and has the numbers.
type shares struct {
	Bars  []shareBar
	Table *table
}

type shareBar struct {
	Name  string
	Label string // all parts, in words
	Parts []sharePart
}

type sharePart struct {
	X, Width string
	Class    string
	Title    string
}

const (
	shareWidth = 1000
	maxParts   = 9 // told apart by colour; the others are one
	restName   = "the rest"
)

// palette gives the same colour to a part wherever it is on the page.
type palette map[string]string

// paletteOf gives colours to the parts, the largest of all traces first. What nothing
// was at work in is grey.
func paletteOf(sets []analysis.Set) palette {
	times := map[string]int64{}
	for _, s := range sets {
		for i := range s.Traces {
			for _, p := range s.Traces[i].Total.Share {
				times[p.Name] += p.Time
			}
			for _, c := range s.Traces[i].Classes {
				for _, p := range c.Share {
					times[p.Name] += 0
				}
			}
		}
	}
	names := make([]string, 0, len(times))
	for n := range times {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(times[b], times[a]), strings.Compare(a, b)) })
	p := palette{"device idle": "p-idle", "outside of operators": "p-idle", restName: "p-rest", "other": "p-rest"}
	colours := 0
	for _, n := range names {
		if p[n] == "" && colours < maxParts {
			p[n] = "p-" + strconv.Itoa(colours)
			colours++
		}
	}
	return p
}

func (p palette) class(name string) string { return cmp.Or(p[name], "p-rest") }

// groupsOf are the rows of a trace: its classes, idle passes left out, or all of it
// where no steps were found.
func groupsOf(t *analysis.Trace) []*analysis.Group {
	var groups []*analysis.Group
	for i := range t.Classes {
		if t.Classes[i].Class != trace.Idle {
			groups = append(groups, &t.Classes[i])
		}
	}
	if len(groups) == 0 {
		groups = append(groups, &t.Total)
	}
	return groups
}

func sharesOf(t *analysis.Trace, colours palette) *shares {
	parts := partsOf(t)
	if len(parts) == 0 {
		return nil
	}
	s := &shares{Table: &table{Caption: "Time of the steps by what it went to, for each class", Columns: []column{{Text: "Part"}}}}
	for _, p := range parts {
		s.Table.Rows = append(s.Table.Rows, []cell{{Text: word(p), Swatch: colours.class(p)}})
	}
	for _, g := range groupsOf(t) {
		times := map[string]int64{}
		var sum int64
		for _, p := range g.Share {
			n := p.Name
			if !slices.Contains(parts, n) {
				n = restName
			}
			times[n] += p.Time
			sum += p.Time
		}
		if sum == 0 {
			continue
		}
		s.Table.Columns = append(s.Table.Columns, column{Text: classText(g.Class), Number: true}, column{Text: "share", Number: true})
		b := shareBar{Name: classText(g.Class)}
		var words []string
		var before int64
		for i, p := range parts {
			s.Table.Rows[i] = append(s.Table.Rows[i], nanos(times[p]), percent(times[p], sum))
			if times[p] <= 0 {
				continue
			}
			words = append(words, word(p)+" "+phrase.Percent(times[p], sum))
			x, next := share(before, sum), share(before+times[p], sum)
			before += times[p]
			b.Parts = append(b.Parts, sharePart{X: short(x), Width: short(next - x), Class: colours.class(p),
				Title: word(p) + ": " + phrase.Nanos(times[p]) + ", " + phrase.Percent(times[p], sum)})
		}
		b.Label = b.Name + ": " + strings.Join(words, ", ")
		s.Bars = append(s.Bars, b)
	}
	if len(s.Bars) == 0 {
		return nil
	}
	if t.Total.Device != nil {
		s.Table.Note = "The span of the device counts as it is, and the rest of a step is the host's. Where the device took longer than the step, as it does when the host runs ahead, its parts are scaled to the step."
	}
	return s
}

func share(part, sum int64) float64 { return float64(part) / float64(sum) * shareWidth }

// partsOf are the names of the parts of all classes, the largest first.
func partsOf(t *analysis.Trace) []string {
	times := map[string]int64{}
	for _, g := range groupsOf(t) {
		for _, p := range g.Share {
			times[p.Name] += p.Time
		}
	}
	names := make([]string, 0, len(times))
	for n := range times {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(times[b], times[a]), strings.Compare(a, b)) })
	if len(names) > maxParts+1 {
		names = append(names[:maxParts], restName)
	}
	return names
}
