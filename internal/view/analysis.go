package view

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"profjob/internal/analysis"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

// usualWidth is the width that tables are laid out for where the terminal does not say.
const usualWidth = 100

// AnalysisOptions are how much of an analysis is shown.
type AnalysisOptions struct {
	Top   int  // rows of the operators and of the kernels
	Steps bool // each engine step, too
	Width int  // of the terminal in columns; 0: unknown
}

// Analysis shows what traces tell to people.
func Analysis(w io.Writer, s *analysis.Set, o AnalysisOptions) error {
	if o.Width == 0 {
		o.Width = usualWidth
	}
	a := analysisView{AnalysisOptions: o, top: o.Top, width: max(o.Width, 60)}
	if s.Round > 0 {
		fmt.Fprintf(&a.b, "round %d, target %s\n\n", s.Round, s.Target)
	}
	for i := range s.Traces {
		if i > 0 {
			a.b.WriteString("\n")
		}
		a.trace(&s.Traces[i])
	}
	a.ranks(s.Ranks)
	_, err := io.WriteString(w, Printable(a.b.String()))
	return err
}

type analysisView struct {
	AnalysisOptions
	b          strings.Builder
	top, width int
}

func (a *analysisView) trace(t *analysis.Trace) {
	fmt.Fprintf(&a.b, "%s\n", t.File)
	fmt.Fprintf(&a.b, "  %s\n", strings.Join(about(t), ", "))
	if t.Problem != "" {
		fmt.Fprintf(&a.b, "  DAMAGED: %s\n  what follows is of what could be read\n", indented(t.Problem, 4))
	}
	if len(t.Steps) == 0 {
		a.b.WriteString("  no engine steps were found: no annotation, no scope, and nothing that occurs once a pass\n")
	}
	a.classes(t)
	if a.Steps {
		a.steps(t)
	}
	a.shares(t)
	a.operators(&t.Total)
	a.kernels(&t.Total)
	a.memory(t)
}

// about says what kind of trace it is.
func about(t *analysis.Trace) []string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if t.EngineVersion != "" {
		add("vLLM %s", t.EngineVersion)
	}
	if t.Rank != nil {
		rank := fmt.Sprintf("rank %d", *t.Rank)
		if t.WorldSize != nil {
			rank += fmt.Sprintf(" of %d", *t.WorldSize)
		}
		add("%s", rank)
	}
	if t.Host != "" {
		add("host %s", t.Host)
	}
	add("%s", phrase.Of(int64(t.Events), "event"))
	add("%s", phrase.Nanos(t.End-t.Start))
	if t.Evidence != trace.NoEvidence {
		add("steps by %s", t.Evidence)
	}
	return parts
}

func (a *analysisView) classes(t *analysis.Trace) {
	if len(t.Classes) == 0 {
		return
	}
	rows := [][]string{{"steps", "", "tokens", "p50", "p90", "max", "device busy", "idle", "comm."}}
	for i := range t.Classes {
		g := &t.Classes[i]
		rows = append(rows, classRow(string(g.Class), g, tokensOf(t, g.Class)))
		if len(g.Batches) > 1 {
			for j := range g.Batches {
				rows = append(rows, classRow("", &g.Batches[j], g.Batches[j].Batch+unit(g.Batches[j].BatchOf)))
			}
		}
	}
	a.table(rows, "rlrrrrrrr", -1)
}

func (a *analysisView) steps(t *analysis.Trace) {
	rows := [][]string{{"step", "", "requests", "tokens", "took", "device", "idle", "name"}}
	for i := range t.Steps {
		s := &t.Steps[i]
		row := []string{fmt.Sprint(s.Index), string(s.Class), phrase.Count(s.Requests), phrase.Count(s.Tokens), phrase.Nanos(s.Duration), "", "", s.Name}
		if s.Device != nil {
			row[5], row[6] = phrase.Nanos(s.Device.Span), phrase.Percent(s.Device.Idle, s.Device.Span)
		}
		rows = append(rows, row)
	}
	a.table(rows, "rlrrrrrl", 7)
}

func unit(of string) string {
	if of == "requests" {
		return " req."
	}
	return ""
}

func classRow(name string, g *analysis.Group, tokens string) []string {
	d := g.Duration
	row := []string{phrase.Count(int64(g.Steps)), name, tokens, phrase.Nanos(d.P50), phrase.Nanos(d.P90), phrase.Nanos(d.Max), "", "", ""}
	if g.Device != nil {
		row[6] = phrase.Percent(g.Device.Busy, g.Device.Span)
		row[7] = phrase.Percent(g.Device.Idle, g.Device.Span)
		row[8] = phrase.Percent(g.Device.Communication, g.Device.Span)
	}
	return row
}

// tokensOf is the range of tokens that the steps of a class scheduled.
func tokensOf(t *analysis.Trace, class trace.Class) string {
	least, most := int64(-1), int64(-1)
	for i := range t.Steps {
		if s := &t.Steps[i]; s.Class == class && s.Tokens >= 0 {
			if least < 0 || s.Tokens < least {
				least = s.Tokens
			}
			most = max(most, s.Tokens)
		}
	}
	switch {
	case most < 0:
		return phrase.Unknown
	case least == most:
		return phrase.Count(most)
	}
	return phrase.Count(least) + "…" + phrase.Count(most)
}

// shares draws where the time of each class went.
func (a *analysisView) shares(t *analysis.Trace) {
	groups := t.Classes
	if len(groups) == 0 {
		groups = []analysis.Group{t.Total}
	}
	begun := false
	for i := range groups {
		g := &groups[i]
		var sum int64
		for _, p := range g.Share {
			sum += p.Time
		}
		if sum == 0 || g.Class == trace.Idle {
			continue
		}
		if !begun {
			a.b.WriteString("\n  where the time goes\n")
			begun = true
		}
		var parts []string
		for _, p := range g.Share {
			if p.Time*200 >= sum {
				parts = append(parts, fmt.Sprintf("%s %s", p.Name, phrase.Percent(p.Time, sum)))
			}
		}
		a.wrapped(fmt.Sprintf("    %-8s ", g.Class), parts)
	}
}

// wrapped writes parts after a label, as many on a line as there is room for.
func (a *analysisView) wrapped(label string, parts []string) {
	line := label
	for i, p := range parts {
		if i < len(parts)-1 {
			p += ", "
		}
		if utf8.RuneCountInString(line)+utf8.RuneCountInString(p) > a.width && line != label {
			a.b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", utf8.RuneCountInString(label))
		}
		line += p
	}
	a.b.WriteString(strings.TrimRight(line, " ") + "\n")
}

func (a *analysisView) operators(g *analysis.Group) {
	if len(g.Operators) == 0 || a.top == 0 {
		return
	}
	var self int64
	for _, o := range g.Operators {
		self += o.Self
	}
	rows := [][]string{{"operator", "kind", "calls", "self", "", "total", "device"}}
	for _, o := range g.Operators[:min(len(g.Operators), a.top)] {
		device := ""
		if o.Device > 0 {
			device = phrase.Nanos(o.Device)
		}
		rows = append(rows, []string{o.Name, o.Category, phrase.Count(int64(o.Count)), phrase.Nanos(o.Self), phrase.Percent(o.Self, self), phrase.Nanos(o.Total), device})
	}
	a.table(rows, "llrrrrr", 0)
	a.more(len(g.Operators)-a.top, "operator")
}

func (a *analysisView) kernels(g *analysis.Group) {
	if len(g.Kernels) == 0 || a.top == 0 {
		return
	}
	var sum int64
	for _, k := range g.Kernels {
		sum += k.Time
	}
	rows := [][]string{{"kernel", "kind", "runs", "time", "", "mean"}}
	for _, k := range g.Kernels[:min(len(g.Kernels), a.top)] {
		rows = append(rows, []string{k.Name, k.Category, phrase.Count(int64(k.Count)), phrase.Nanos(k.Time), phrase.Percent(k.Time, sum), phrase.Nanos(k.Time / int64(max(k.Count, 1)))})
	}
	a.table(rows, "llrrrr", 0)
	a.more(len(g.Kernels)-a.top, "kernel")
	var parts []string
	for _, c := range g.Categories {
		parts = append(parts, fmt.Sprintf("%s %s", c.Name, phrase.Percent(c.Time, sum)))
	}
	a.wrapped("    by kind: ", parts)
	if l := g.Launch; l != nil && l.Calls > 0 {
		a.wrapped("    launches: ", []string{phrase.Of(int64(l.Calls), "call"), phrase.Nanos(l.Time) + " of the host",
			"p50 " + phrase.Nanos(l.Delay.P50) + " to the kernel", phrase.Count(int64(l.Short)) + " kernels shorter than their launch"})
	}
}

func (a *analysisView) more(n int, what string) {
	if n > 0 {
		fmt.Fprintf(&a.b, "    … and %s\n", phrase.Of(int64(n), "more "+what))
	}
}

func (a *analysisView) memory(t *analysis.Trace) {
	for i, m := range t.Memory {
		if i == 0 {
			a.b.WriteString("\n")
		}
		where := ""
		if m.Step >= 0 {
			where = fmt.Sprintf(" in step %d", m.Step)
		}
		fmt.Fprintf(&a.b, "  memory of %s: at most %s allocated%s, %s of %s in all\n", m.Device, phrase.Bytes(m.Peak), where,
			phrase.Of(int64(m.Allocations), "allocation"), phrase.Bytes(m.Allocated))
	}
}

func (a *analysisView) ranks(ranks []analysis.RankSkew) {
	if len(ranks) == 0 {
		return
	}
	rows := [][]string{{"rank", "collectives", "waited", "last", "the others waited for it", "file"}}
	for _, r := range ranks {
		rows = append(rows, []string{phrase.Count(int64(r.Rank)), phrase.Count(int64(r.Collectives)), phrase.Nanos(r.Wait),
			phrase.Count(int64(r.Last)), phrase.Nanos(r.Caused), filepath.Base(r.File)})
	}
	a.table(rows, "rrrrrl", 5)
}

// table writes rows, the first of them the heading, after an empty line. align has a
// letter a column; the column named gets what room is left, and is shortened to it.
func (a *analysisView) table(rows [][]string, align string, wide int) {
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(Printable(row[i]), "\n", " ")
		}
	}
	widths := make([]int, len(align))
	for n, row := range rows {
		for i, text := range row {
			if n > 0 && widths[i] == 0 && text != "" {
				widths[i] = utf8.RuneCountInString(rows[0][i]) // a heading over nothing is left out
			}
			if n > 0 {
				widths[i] = max(widths[i], utf8.RuneCountInString(text))
			}
		}
	}
	if wide >= 0 {
		others := 2
		for i, w := range widths {
			if i != wide && w > 0 {
				others += w + 2
			}
		}
		widths[wide] = min(widths[wide], max(a.width-others, 20))
	}
	a.b.WriteString("\n")
	for _, row := range rows {
		line := "  "
		for i, text := range row {
			if widths[i] == 0 {
				continue
			}
			if i == wide {
				text = phrase.Short(text, widths[i])
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if align[i] == 'r' {
				text = pad + text
			} else {
				text += pad
			}
			line += text + "  "
		}
		a.b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
