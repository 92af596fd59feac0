package report

import (
	"fmt"
	"html/template"
	"path"
	"path/filepath"
	"strings"
	"time"

	"profjob/internal/analysis"
	"profjob/internal/archive"
	"profjob/internal/load"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

// What a page shows at the most of a thing there may be any number of; the rest is in
// the run's analysis/*.json.
const (
	mostDetailed = 16  // traces with all their sections
	mostRows     = 40  // operators, kernels
	mostSteps    = 400 // rows of the table of steps
	mostWindows  = 64
)

// model is a page as the template wants it.
type model struct {
	Title, Style, Script, Policy any

	Run     *archive.Manifest
	Facts   []fact
	Windows []windowRow
	Load    []loadRow
	Sets    []setModel
	Files   []string
	LeftOut string
}

type fact struct{ Name, Value string }

type windowRow struct{ Round, Where, Asked, Got, How, Exact, Class string }

type loadRow struct {
	Round, Requests, Rate string
	Rows                  []latencyRow
}

type latencyRow struct{ Name, Mean, P50, P90, P99, Max string }

// setModel is the traces of one target in one round.
type setModel struct {
	ID, Title string
	Traces    []traceModel
	Slim      []headRow // traces without sections of their own
	Ranks     []rankRow
}

type headRow struct{ File, Steps, P50, P90, Busy string }

type rankRow struct {
	Rank, File, Steps, Collectives, Wait, Last, Caused string
	WaitPart, CausedPart                               float64 // of the largest, 0 to 100
}

type traceModel struct {
	ID, Name, About, Problem string
	Open                     bool
	Classes                  []classRow
	HasDevice                bool
	Timeline                 template.HTML
	TimelineNote             string
	Steps                    []stepRow
	StepsLeft                int
	Shares                   []shareRow
	Legend                   []legendRow
	Operators                []workRow
	Kernels                  []workRow
	OperatorsLeft            int
	KernelsLeft              int
	Categories               []categoryRow
	Launch                   string
	Memory                   []memoryRow
}

type classRow struct {
	Class, Batch, Steps, Tokens, P50, P90, P99, Max, DeviceP50, Busy, Idle, Comm, Exposed string
	Sub                                                                                   bool
}

type stepRow struct{ Index, Class, Requests, Tokens, Duration, Device, Idle, Name string }

type shareRow struct {
	Class, Total string
	Bars         template.HTML
	Parts        []legendRow
}

type legendRow struct {
	Color int
	Name  string
	Part  string
}

type workRow struct {
	Name, Full, Category, Count, Self, Total, Device, Share string
	CountN, SelfN, TotalN, DeviceN                          int64
	Part                                                    float64
	Spark                                                   template.HTML
}

type categoryRow struct {
	Name, Count, Time, Share string
	Part                     float64
}

type memoryRow struct{ Device, Peak, Reserved, Step, Allocations, Allocated string }

func modelOf(p Page) model {
	m := model{Title: p.Title, Style: template.CSS(styleCSS), Script: template.JS(scriptJS), Run: p.Run,
		Policy: "default-src 'none'; style-src " + source(styleCSS) + "; script-src " + source(scriptJS) + "; base-uri 'none'; form-action 'none'"}
	if p.Run != nil {
		m.Facts, m.Windows = factsOf(p.Run), windowsOf(p.Run)
		m.LeftOut = tooMany(windowCount(p.Run), mostWindows, "window")
	}
	for _, l := range p.Load {
		m.Load = append(m.Load, loadOf(l))
	}
	detailed := 0
	for i := range p.Sets {
		m.Sets = append(m.Sets, setOf(&p.Sets[i], i, &detailed))
		for _, t := range p.Sets[i].Traces {
			m.Files = append(m.Files, filepath.ToSlash(t.File))
		}
	}
	return m
}

func tooMany(n, most int, what string) string {
	if n <= most {
		return ""
	}
	return fmt.Sprintf("%s of %s are shown; the rest is in the run's manifest.", phrase.Count(int64(most)), phrase.Of(int64(n), what))
}

func factsOf(r *archive.Manifest) []fact {
	facts := []fact{
		{"Job", r.Job}, {"Run", r.RunID}, {"Status", string(r.Status)},
		{"Began", r.StartedAt.UTC().Format("2006-01-02 15:04:05 MST")},
		{"Took", phrase.Nanos(r.FinishedAt.Sub(r.StartedAt).Nanoseconds())},
		{"On", r.Host + ", profjob " + r.Profjob.Version},
	}
	for _, t := range r.Targets {
		facts = append(facts, fact{"Target " + t.Name, strings.TrimSpace(t.Engine+" "+t.Version) + " at " + strings.Join(t.Endpoints, ", ")})
	}
	facts = append(facts, fact{"Recorded", recorded(r.Record)})
	return facts
}

func recorded(r archive.Record) string {
	on := func(o archive.Options) string {
		var names []string
		for _, opt := range []struct {
			on   bool
			name string
		}{{o.Shapes, "shapes"}, {o.Memory, "memory"}, {o.Stack, "stack"}, {o.FLOPs, "FLOPs"}} {
			if opt.on {
				names = append(names, opt.name)
			}
		}
		if len(names) == 0 {
			return "no options"
		}
		return strings.Join(names, ", ")
	}
	text := "asked for " + on(r.Asked)
	if r.Seen != nil && *r.Seen != r.Asked {
		text += "; the traces show " + on(*r.Seen)
	}
	if len(r.Extra) > 0 {
		text += "; unasked " + strings.Join(r.Extra, ", ")
	}
	return text
}

func windowCount(r *archive.Manifest) (n int) {
	for _, round := range r.Rounds {
		n += len(round.Windows)
	}
	return n
}

func windowsOf(r *archive.Manifest) (rows []windowRow) {
	for _, round := range r.Rounds {
		for _, w := range round.Windows {
			if len(rows) == mostWindows {
				return rows
			}
			row := windowRow{Round: fmt.Sprint(round.Number), Where: whereOf(w), Asked: askedOf(w.Asked), Got: gotOf(w), How: w.Strategy + ", by " + w.Evidence,
				Exact: "exact", Class: "good"}
			if !w.Exact {
				row.Exact, row.Class = "not exact: "+w.Reason, "bad"
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func whereOf(w archive.Window) string {
	where := w.Target
	if w.Core != nil {
		where += fmt.Sprintf(", core %d", *w.Core)
	}
	if w.Rank != nil {
		where += fmt.Sprintf(", rank %d", *w.Rank)
	}
	return where
}

func askedOf(a archive.Asked) string {
	switch a.Kind {
	case "manual":
		if a.Until != "" {
			return "until " + a.Until
		}
		return phrase.Nanos(a.DurationNS)
	case "tokens":
		text := fmt.Sprintf("%s from %s on", phrase.Of(int64(a.Steps), "engine step"), phrase.Of(int64(a.Threshold), "token"))
		if a.AtMost > 0 {
			text += fmt.Sprintf(", at most %d", a.AtMost)
		}
		if a.Phase != "" && a.Phase != "any" {
			text += ", " + a.Phase
		}
		return text
	}
	text := phrase.Of(int64(a.Steps), "engine step")
	if a.Delay > 0 {
		text += fmt.Sprintf(" after %d", a.Delay)
	}
	return text
}

func gotOf(w archive.Window) string {
	text := fmt.Sprintf("%s in %s", phrase.Of(int64(w.Got.Steps), "engine step"), phrase.Nanos(w.Got.DurationNS))
	if w.Got.Trimmed {
		text += fmt.Sprintf(", cut from %d", w.Got.RecordedSteps)
	}
	return text
}

func loadOf(l Load) loadRow {
	s := l.Summary
	row := loadRow{Round: fmt.Sprint(l.Round),
		Requests: fmt.Sprintf("%s sent, %s completed, %s failed", phrase.Of(int64(s.Requests), "request"), phrase.Count(int64(s.Completed)), phrase.Count(int64(s.Failed))),
		Rate:     fmt.Sprintf("%.1f requests, %.0f prompt tokens and %.0f new tokens a second over %s", s.RequestRate, s.InputRate, s.OutputRate, phrase.Nanos(s.Duration))}
	if l.Attempt > 1 {
		row.Round += fmt.Sprintf(", attempt %d", l.Attempt)
	}
	for _, d := range []struct {
		name string
		of   *load.Distribution
	}{{"Time to first token (TTFT)", s.TTFT}, {"Time per output token (TPOT)", s.TPOT}, {"Between tokens (ITL)", s.ITL}, {"Whole request (E2E)", s.E2E}} {
		if d.of != nil {
			row.Rows = append(row.Rows, latencyOf(d.name, d.of))
		}
	}
	return row
}

func setOf(s *analysis.Set, n int, detailed *int) setModel {
	m := setModel{ID: fmt.Sprintf("set-%d", n), Title: "Traces"}
	if s.Round > 0 {
		m.Title = fmt.Sprintf("Round %d, target %s", s.Round, s.Target)
	}
	for i := range s.Traces {
		t := &s.Traces[i]
		if *detailed == mostDetailed {
			m.Slim = append(m.Slim, headOf(t))
			continue
		}
		*detailed++
		tm := traceOf(t, fmt.Sprintf("%s-%d", m.ID, i))
		tm.Open = i == 0
		m.Traces = append(m.Traces, tm)
	}
	m.Ranks = ranksOf(s.Ranks)
	return m
}

func headOf(t *analysis.Trace) headRow {
	row := headRow{File: t.File, Steps: "0", P50: phrase.Unknown, P90: phrase.Unknown, Busy: phrase.Unknown}
	row.Steps = phrase.Count(int64(t.Total.Steps))
	if t.Total.Steps > 0 {
		row.P50, row.P90 = phrase.Nanos(t.Total.Duration.P50), phrase.Nanos(t.Total.Duration.P90)
	}
	if d := t.Total.Device; d != nil {
		row.Busy = phrase.Percent(d.Busy, d.Span)
	}
	return row
}

func ranksOf(ranks []analysis.RankSkew) (rows []rankRow) {
	var most int64 = 1
	for _, r := range ranks {
		most = max(most, r.Wait, r.Caused)
	}
	for _, r := range ranks {
		var steps int64
		for _, s := range r.Steps {
			steps += s.Duration
		}
		rows = append(rows, rankRow{Rank: phrase.Count(int64(r.Rank)), File: path.Base(filepath.ToSlash(r.File)), Steps: phrase.Nanos(steps),
			Collectives: phrase.Count(int64(r.Collectives)), Wait: phrase.Nanos(r.Wait), Last: phrase.Count(int64(r.Last)), Caused: phrase.Nanos(r.Caused),
			WaitPart: 100 * float64(r.Wait) / float64(most), CausedPart: 100 * float64(r.Caused) / float64(most)})
	}
	return rows
}

func traceOf(t *analysis.Trace, id string) traceModel {
	m := traceModel{ID: id, Name: path.Base(filepath.ToSlash(t.File)), About: aboutOf(t), Problem: t.Problem, HasDevice: t.Total.Device != nil}
	for i := range t.Classes {
		g := &t.Classes[i]
		m.Classes = append(m.Classes, classOf(g, tokensOf(t.Steps, g.Class)))
		if len(g.Batches) > 1 {
			for j := range g.Batches {
				m.Classes = append(m.Classes, classOf(&g.Batches[j], ""))
			}
		}
	}
	m.Timeline, m.TimelineNote = timeline(t.Steps, id)
	for i := range t.Steps {
		if len(m.Steps) == mostSteps {
			m.StepsLeft = len(t.Steps) - mostSteps
			break
		}
		m.Steps = append(m.Steps, stepOf(&t.Steps[i]))
	}
	m.Shares, m.Legend = sharesOf(t)
	m.Operators, m.OperatorsLeft = operatorsOf(&t.Total)
	m.Kernels, m.KernelsLeft = kernelsOf(&t.Total)
	m.Categories, m.Launch = categoriesOf(&t.Total), launchOf(&t.Total)
	for _, p := range t.Memory {
		step := "outside of the steps"
		if p.Step >= 0 {
			step = fmt.Sprintf("step %d", p.Step)
		}
		m.Memory = append(m.Memory, memoryRow{p.Device, phrase.Bytes(p.Peak), phrase.Bytes(p.Reserved), step, phrase.Count(int64(p.Allocations)), phrase.Bytes(p.Allocated)})
	}
	return m
}

func aboutOf(t *analysis.Trace) string {
	var parts []string
	if t.EngineVersion != "" {
		parts = append(parts, "vLLM "+t.EngineVersion)
	}
	if t.Rank != nil {
		rank := fmt.Sprintf("rank %d", *t.Rank)
		if t.WorldSize != nil {
			rank += fmt.Sprintf(" of %d", *t.WorldSize)
		}
		parts = append(parts, rank)
	}
	if t.Host != "" {
		parts = append(parts, "host "+t.Host)
	}
	parts = append(parts, phrase.Of(int64(t.Events), "event"), phrase.Nanos(t.End-t.Start)+" from "+time.Unix(0, t.Start).UTC().Format("2006-01-02 15:04:05.000 MST")+" on")
	if t.Evidence != trace.NoEvidence {
		parts = append(parts, "engine steps found by "+string(t.Evidence))
	}
	return strings.Join(parts, " · ")
}

func tokensOf(steps []analysis.Step, class trace.Class) string {
	least, most := int64(-1), int64(-1)
	for i := range steps {
		if s := &steps[i]; s.Class == class && s.Tokens >= 0 {
			if least < 0 || s.Tokens < least {
				least = s.Tokens
			}
			most = max(most, s.Tokens)
		}
	}
	if least == most {
		return phrase.Count(most)
	}
	return phrase.Count(least) + "…" + phrase.Count(most)
}

func classOf(g *analysis.Group, tokens string) classRow {
	d := g.Duration
	row := classRow{Class: string(g.Class), Batch: g.Batch, Steps: phrase.Count(int64(g.Steps)), Tokens: tokens, Sub: g.Batch != "",
		P50: phrase.Nanos(d.P50), P90: phrase.Nanos(d.P90), P99: phrase.Nanos(d.P99), Max: phrase.Nanos(d.Max)}
	if row.Sub {
		row.Tokens = g.Batch
		if g.BatchOf == "requests" {
			row.Tokens += " req."
		}
	}
	if g.DeviceSpan != nil {
		row.DeviceP50 = phrase.Nanos(g.DeviceSpan.P50)
	}
	if v := g.Device; v != nil {
		row.Busy, row.Idle = phrase.Percent(v.Busy, v.Span), phrase.Percent(v.Idle, v.Span)
		row.Comm, row.Exposed = phrase.Percent(v.Communication, v.Span), phrase.Percent(v.Exposed, v.Span)
	}
	return row
}

func stepOf(s *analysis.Step) stepRow {
	row := stepRow{Index: fmt.Sprint(s.Index), Class: string(s.Class), Requests: phrase.Count(s.Requests), Tokens: phrase.Count(s.Tokens),
		Duration: phrase.Nanos(s.Duration), Name: phrase.Short(s.Name, 80)}
	if s.Device != nil {
		row.Device, row.Idle = phrase.Nanos(s.Device.Span), phrase.Percent(s.Device.Idle, s.Device.Span)
	}
	return row
}

func operatorsOf(g *analysis.Group) (rows []workRow, more int) {
	var sum int64
	for i := range g.Operators {
		sum += g.Operators[i].Self
	}
	for i := range g.Operators {
		o := &g.Operators[i]
		if i == mostRows {
			return rows, len(g.Operators) - mostRows + g.LeftOut
		}
		row := workRow{Name: phrase.Short(o.Name, 72), Full: phrase.Short(o.Name, 400), Category: o.Category, Count: phrase.Count(int64(o.Count)), Self: phrase.Nanos(o.Self),
			Total: phrase.Nanos(o.Total), Share: phrase.Percent(o.Self, sum), Part: partOf(o.Self, sum),
			CountN: int64(o.Count), SelfN: o.Self, TotalN: o.Total, DeviceN: o.Device, Spark: spark(o.PerStep)}
		if o.Device > 0 {
			row.Device = phrase.Nanos(o.Device)
		}
		rows = append(rows, row)
	}
	return rows, 0
}

func kernelsOf(g *analysis.Group) (rows []workRow, more int) {
	var sum int64
	for i := range g.Kernels {
		sum += g.Kernels[i].Time
	}
	for i := range g.Kernels {
		k := &g.Kernels[i]
		if i == mostRows {
			return rows, len(g.Kernels) - mostRows
		}
		mean := k.Time / int64(max(k.Count, 1))
		rows = append(rows, workRow{Name: phrase.Short(k.Name, 72), Full: phrase.Short(k.Name, 400), Category: k.Category, Count: phrase.Count(int64(k.Count)),
			Self: phrase.Nanos(k.Time), Total: phrase.Nanos(mean), Share: phrase.Percent(k.Time, sum), Part: partOf(k.Time, sum),
			CountN: int64(k.Count), SelfN: k.Time, TotalN: mean, Spark: spark(k.PerStep)})
	}
	return rows, 0
}

func partOf(n, sum int64) float64 {
	if sum <= 0 {
		return 0
	}
	return 100 * float64(n) / float64(sum)
}

func categoriesOf(g *analysis.Group) (rows []categoryRow) {
	var sum int64
	for _, c := range g.Categories {
		sum += c.Time
	}
	for _, c := range g.Categories {
		rows = append(rows, categoryRow{c.Name, phrase.Count(int64(c.Count)), phrase.Nanos(c.Time), phrase.Percent(c.Time, sum), partOf(c.Time, sum)})
	}
	return rows
}

func launchOf(g *analysis.Group) string {
	l := g.Launch
	if l == nil || l.Calls == 0 {
		return ""
	}
	return fmt.Sprintf("%s took %s of the host. From a launch to its kernel it took %s in the middle (p50), %s at p90. %s took less time than the call that launched them.",
		phrase.Of(int64(l.Calls), "launch"), phrase.Nanos(l.Time), phrase.Nanos(l.Delay.P50), phrase.Nanos(l.Delay.P90), phrase.Of(int64(l.Short), "kernel"))
}
