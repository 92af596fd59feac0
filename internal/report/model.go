package report

import (
	"cmp"
	"path"
	"strconv"
	"strings"

	"profjob/internal/analysis"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

// model is what the layout is filled with.
type model struct {
	Title    string
	Policy   string
	Assets   assets
	Nav      []navItem
	Run      *runPart
	Problems []problem
	// ProblemsLeftOut says how many there would be more.
	ProblemsLeftOut string
	Headline        *table
	Traces          []tracePart
	TracesLeftOut   string
	Ranks           []*table
	RanksLeftOut    string
	Loads           []loadPart
	Links           *table
	Open            string // the command that opens them
}

type navItem struct{ ID, Text string }

type problem struct{ Where, Text string }

// tracePart is what the page tells of one trace.
type tracePart struct {
	ID, Name string
	Title    string
	About    []fact
	Problem  string
	NoSteps  string // why there is no timeline
	NoDevice string
	Timeline *timeline
	Steps    *table
	Shares   *shares
	Tables   []*table
}

type fact struct{ Name, Text string }

func modelOf(p Page, l limits) (*model, error) {
	m := &model{Title: titleOf(p), Policy: page.policy(), Assets: page}
	all := tracesOf(p.Sets)
	shown, left := first(all, l.traces)
	if p.Run != nil {
		m.Run = runPartOf(p.Run, l)
		m.Loads = loadParts(p.Run.Loads, l)
	}
	m.problems(all, l)
	m.Headline = headline(all, l)
	colours := paletteOf(p.Sets)
	for i, t := range shown {
		m.Traces = append(m.Traces, tracePartOf(t, i, len(shown), colours, l))
	}
	if left > 0 {
		m.TracesLeftOut = "Not shown one by one: " + phrase.Of(int64(left), "more trace") + "; the headline figures have them as far as they fit, and `profjob analyze` shows each."
	}
	sets, left := first(p.Sets, l.traces)
	for i := range sets {
		m.Ranks = appendTable(m.Ranks, ranksOf(&sets[i], l))
	}
	m.RanksLeftOut = leftOut(left, "table")
	m.Links = links(p, all, l)
	m.Open = "profjob open FILE"
	if p.Run != nil {
		m.Open = "profjob open " + word(p.Run.ID)
	}
	m.Nav = m.nav()
	return m, nil
}

// placed is a trace and the set it is of.
type placed struct {
	*analysis.Trace
	set   *analysis.Set
	label string // the shortest that tells the trace from the others
}

func tracesOf(sets []analysis.Set) []placed {
	var all []placed
	for i := range sets {
		s := &sets[i]
		ranks := map[int]int{}
		for j := range s.Traces {
			if r := s.Traces[j].Rank; r != nil {
				ranks[*r]++
			}
		}
		for j := range s.Traces {
			t := &s.Traces[j]
			name := word(path.Base(clip(t.File)))
			if t.Rank != nil && ranks[*t.Rank] == 1 && (len(s.Traces) > 1 || s.Target != "") {
				name = "rank " + phrase.Count(int64(*t.Rank))
			}
			label := strings.Join(append(setName(s), name), ", ")
			all = append(all, placed{t, s, label})
		}
	}
	return all
}

// setName says which set it is; nothing outside of a run.
func setName(s *analysis.Set) []string {
	var parts []string
	if s.Round > 0 {
		parts = append(parts, "round "+strconv.Itoa(s.Round))
	}
	if s.Target != "" {
		parts = append(parts, word(s.Target))
	}
	return parts
}

func titleOf(p Page) string {
	if p.Title != "" {
		return word(p.Title)
	}
	if p.Run != nil {
		return word(p.Run.Job) + " · " + word(p.Run.ID)
	}
	all := tracesOf(p.Sets)
	if len(all) == 1 {
		return word(path.Base(clip(all[0].File)))
	}
	return phrase.Of(int64(len(all)), "trace")
}

func (m *model) problems(all []placed, l limits) {
	var found []problem
	for _, t := range all {
		if t.Problem != "" {
			found = append(found, problem{t.label, message(t.Problem)})
		}
	}
	shown, left := first(found, l.texts)
	m.Problems, m.ProblemsLeftOut = shown, leftOut(left, "damaged trace")
}

func (m *model) nav() []navItem {
	items := []navItem{{"asked", "Asked and got"}, {"headline", "Headline figures"}}
	for _, t := range m.Traces {
		items = append(items, navItem{t.ID, t.Name})
	}
	if len(m.Ranks) > 0 {
		items = append(items, navItem{"ranks", "Ranks side by side"})
	}
	return append(items, navItem{"load", "Load"}, navItem{"files", "Trace files"})
}

func headline(all []placed, l limits) *table {
	t := &table{Caption: "By class of step", Sorts: len(all) > 1}
	if len(all) > 1 {
		t.Columns = append(t.Columns, column{Text: "Trace"})
	}
	t.Columns = append(t.Columns, column{Text: "Class"}, column{Text: "Steps", Number: true}, column{Text: "p50", Number: true, Title: "median duration"},
		column{Text: "p90", Number: true, Title: "duration that nine of ten stay below"}, column{Text: "Longest", Number: true}, column{Text: "In all", Number: true},
		column{Text: "Device busy", Number: true, Title: "of the device's span, from its first to its last kernel of a step"},
		column{Text: "Tokens", Number: true, Title: "scheduled in all steps of the class"}, column{Text: "Tokens/s", Number: true, Title: "tokens by the duration of the steps"})
	for _, tr := range all {
		groups := make([]*analysis.Group, 0, len(tr.Classes)+1)
		for i := range tr.Classes {
			groups = append(groups, &tr.Classes[i])
		}
		if len(groups) == 0 {
			groups = append(groups, &tr.Total)
		}
		for _, g := range groups {
			row := headlineRow(tr, g)
			if len(all) > 1 {
				row = append([]cell{{Text: tr.label, Title: word(tr.File)}}, row...)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	shown, left := first(t.Rows, l.headline)
	t.Rows, t.Note = shown, leftOut(left, "row")
	return t
}

func headlineRow(t placed, g *analysis.Group) []cell {
	row := []cell{{Text: classText(g.Class), Swatch: classClass(g.Class)}, count(int64(g.Steps))}
	if g.Class == "" {
		row[0] = cell{Text: "whole trace"}
	}
	if g.Duration.Count > 0 {
		row = append(row, nanos(g.Duration.P50), nanos(g.Duration.P90), nanos(g.Duration.Max), nanos(g.Duration.Sum))
	} else {
		row = append(row, unknown(), unknown(), unknown(), unknown())
	}
	if g.Device != nil {
		row = append(row, percent(g.Device.Busy, g.Device.Span))
	} else {
		row = append(row, unknown())
	}
	tokens := tokensOf(t.Steps, g.Class)
	rate := unknown()
	if tokens > 0 && g.Duration.Sum > 0 {
		perSecond := int64(float64(tokens) / (float64(g.Duration.Sum) / 1e9))
		rate = count(perSecond)
	}
	return append(row, count(tokens), rate)
}

// tokensOf is how many tokens the steps of a class scheduled; not known where one of
// them does not tell.
func tokensOf(steps []analysis.Step, class trace.Class) int64 {
	var sum int64
	found := false
	for i := range steps {
		s := &steps[i]
		if s.Class != class {
			continue
		}
		if s.Tokens < 0 {
			return analysis.NotKnown
		}
		found = true
		sum += s.Tokens
	}
	if !found {
		return analysis.NotKnown
	}
	return sum
}

func appendTable(tables []*table, t *table) []*table {
	if t == nil || len(t.Rows) == 0 {
		return tables
	}
	return append(tables, t)
}

// links are the trace files.
func links(p Page, all []placed, l limits) *table {
	t := &table{Caption: "Where they lie", Columns: []column{{Text: "File"}, {Text: "Trace"}, {Text: "Size", Number: true}, {Text: "Events", Number: true}}}
	paths := map[string]string{}
	for _, link := range p.Links {
		paths[link.File] = link.Path
	}
	row := func(file, label, href string) []cell {
		c := named(file)
		c.Link = relative(href)
		return []cell{c, {Text: label}}
	}
	seen := map[string]bool{}
	for _, tr := range all {
		href, ok := paths[tr.File]
		if !ok && p.Run != nil && len(p.Links) == 0 {
			href = tr.File
		}
		seen[tr.File] = true
		t.Rows = append(t.Rows, append(row(tr.File, tr.label, href), size(tr.FileBytes), count(int64(tr.Events))))
	}
	for _, link := range p.Links {
		if !seen[link.File] {
			t.Rows = append(t.Rows, append(row(cmp.Or(link.File, link.Path), "not analysed", link.Path), unknown(), unknown()))
		}
	}
	shown, left := first(t.Rows, l.links)
	t.Rows, t.Note = shown, leftOut(left, "file")
	return t
}
