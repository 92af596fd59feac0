package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"profjob/internal/archive"
	"profjob/internal/load"
	"profjob/internal/phrase"
)

// runPart is what the page tells of the run.
type runPart struct {
	Status   string
	Good     bool
	Facts    []fact
	Windows  *table
	Options  *table
	Failed   []problem // attempts
	Warnings []string
	Errors   []string
	LeftOut  string
}

func runPartOf(r *Run, l limits) *runPart {
	p := &runPart{Status: "not ended", Good: r.Status == archive.StatusOK}
	if r.Status != "" {
		p.Status = strings.ReplaceAll(word(string(r.Status)), "_", " ")
	}
	add := func(name, text string) { p.Facts = append(p.Facts, fact{name, text}) }
	add("Job", word(r.Job))
	add("Run", word(r.ID))
	add("Started", instant(r.StartedAt))
	if !r.FinishedAt.IsZero() {
		add("Took", phrase.Nanos(r.FinishedAt.Sub(r.StartedAt).Nanoseconds()))
	}
	add("Ran on", word(r.Host))
	add("profjob", word(r.Tool))
	targets, left := first(r.Targets, l.texts)
	for _, t := range targets {
		add("Target "+word(t.Name), targetText(t))
	}
	p.LeftOut = leftOut(left, "target")
	p.Windows = windows(r, l)
	p.Options = options(r.Record)
	for _, round := range r.Rounds {
		for _, a := range round.Attempts {
			if a.Error != "" {
				p.Failed = append(p.Failed, problem{fmt.Sprintf("round %d, attempt %d", round.Number, a.Number), message(a.Error)})
			}
		}
	}
	p.Failed, left = first(p.Failed, l.texts)
	p.LeftOut = join(p.LeftOut, leftOut(left, "failed attempt"))
	p.Warnings, left = messages(r.Warnings, l.texts)
	p.LeftOut = join(p.LeftOut, leftOut(left, "warning"))
	p.Errors, left = messages(r.Errors, l.texts)
	p.LeftOut = strings.TrimSpace(join(p.LeftOut, leftOut(left, "error")))
	return p
}

func targetText(t archive.Target) string {
	shown, left := first(t.Endpoints, 8)
	var at []string
	for _, e := range shown {
		at = append(at, word(e))
	}
	text := strings.TrimSpace(word(t.Engine) + " " + t.Version)
	if len(at) > 0 {
		text += " at " + strings.Join(at, ", ")
	}
	if left > 0 {
		text += " and " + strconv.Itoa(left) + " more"
	}
	return message(text)
}

func windows(r *Run, l limits) *table {
	t := &table{Caption: "Windows: what was asked and what the traces show", Columns: []column{{Text: "Window"}, {Text: "Asked"}, {Text: "Got"}, {Text: "Proved by"}, {Text: "Exact"}, {Text: "Took", Number: true}, {Text: "Strategy"}}}
	for _, round := range r.Rounds {
		for _, w := range round.Windows {
			t.Rows = append(t.Rows, windowRow(round, w, len(r.Rounds) > 1))
		}
	}
	shown, left := first(t.Rows, l.windows)
	t.Rows, t.Note = shown, leftOut(left, "window")
	return t
}

func windowRow(round archive.Round, w archive.Window, rounds bool) []cell {
	where := word(w.Target)
	if rounds {
		where = "round " + strconv.Itoa(round.Number) + ", " + where
	}
	if w.Core != nil {
		where += ", core " + strconv.Itoa(*w.Core)
	}
	if w.Rank != nil {
		where += ", rank " + strconv.Itoa(*w.Rank)
	}
	title := ""
	if w.Endpoint != nil {
		title = word(*w.Endpoint)
	}
	verdict := cell{Text: "yes"}
	if !w.Exact {
		verdict = cell{Text: "no: " + message(w.Reason), Bad: true}
	}
	took := unknown()
	if w.Got.DurationNS > 0 {
		took = nanos(w.Got.DurationNS)
	}
	return []cell{{Text: where, Title: title}, {Text: asked(w.Asked)}, {Text: got(w.Got)}, text(w.Evidence), verdict, took, text(w.Strategy)}
}

func asked(a archive.Asked) string {
	steps := phrase.Of(int64(a.Steps), "engine step")
	switch a.Kind {
	case "steps":
		if a.Delay > 0 {
			return steps + ", after " + phrase.Count(int64(a.Delay))
		}
		return steps
	case "tokens":
		text := steps + " from the first with at least " + phrase.Of(int64(a.Threshold), "token")
		if a.AtMost > 0 {
			text += ", at most " + phrase.Count(int64(a.AtMost))
		}
		if a.Phase != "" {
			text += ", " + word(a.Phase)
		}
		if a.All {
			text += "; each of them"
		}
		return text
	case "manual":
		if a.DurationNS > 0 {
			return phrase.Nanos(a.DurationNS) + ", from start to stop"
		}
		if a.Until != "" {
			return "until " + word(a.Until)
		}
	}
	return word(a.Kind)
}

func got(g archive.Got) string {
	text := phrase.Of(int64(g.Steps), "engine step")
	if g.Trimmed {
		text += ", cut from " + phrase.Count(int64(g.RecordedSteps))
	}
	if g.IdlePasses == 1 {
		text += ", 1 idle pass"
	} else if g.IdlePasses > 1 {
		text += ", " + phrase.Count(int64(g.IdlePasses)) + " idle passes"
	}
	return text
}

func options(r archive.Record) *table {
	t := &table{Caption: "Record options", Columns: []column{{Text: "Option"}, {Text: "Asked"}, {Text: "Seen in the traces"}}}
	for _, o := range []struct {
		name string
		of   func(archive.Options) bool
	}{
		{"shapes", func(o archive.Options) bool { return o.Shapes }}, {"memory", func(o archive.Options) bool { return o.Memory }},
		{"stacks", func(o archive.Options) bool { return o.Stack }}, {"FLOPs", func(o archive.Options) bool { return o.FLOPs }},
	} {
		seen := cell{Text: phrase.Unknown}
		if r.Seen != nil {
			seen = cell{Text: onOff(o.of(*r.Seen)), Bad: o.of(r.Asked) && !o.of(*r.Seen)}
		}
		t.Rows = append(t.Rows, []cell{{Text: o.name}, {Text: onOff(o.of(r.Asked))}, seen})
	}
	if extra, _ := messages(r.Extra, 8); len(extra) > 0 {
		t.Note = "What the server gave unasked: " + strings.Join(extra, ", ") + "."
	}
	return t
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// loadPart is the load of one attempt.
type loadPart struct {
	Facts   []fact
	Table   *table
	Errors  *table
	Heading string
}

func loadParts(loads []Load, l limits) []loadPart {
	shown, _ := first(loads, min(l.texts, 20))
	var parts []loadPart
	for _, one := range shown {
		p := loadPart{Heading: fmt.Sprintf("Round %d, attempt %d", one.Round, one.Attempt), Facts: loadFacts(&one.Summary), Table: latencies(&one.Summary)}
		errors := &table{Caption: "Errors of requests", Columns: []column{{Text: "Error"}, {Text: "Requests", Number: true}}}
		kinds, left := first(one.Summary.Errors, 10)
		for _, e := range kinds {
			errors.Rows = append(errors.Rows, []cell{{Text: message(e.Error)}, count(int64(e.Count))})
		}
		errors.Note = leftOut(left, "kind")
		if len(errors.Rows) > 0 {
			p.Errors = errors
		}
		parts = append(parts, p)
	}
	return parts
}

func loadFacts(s *load.Summary) []fact {
	requests := fmt.Sprintf("%s: %s completed, %s failed, %s cancelled", phrase.Count(int64(s.Requests)), phrase.Count(int64(s.Completed)), phrase.Count(int64(s.Failed)), phrase.Count(int64(s.Cancelled)))
	if s.NotSent > 0 {
		requests += fmt.Sprintf("; %d could not be sent", s.NotSent)
	}
	return []fact{
		{"Requests", requests},
		{"Took", phrase.Nanos(s.Duration)},
		{"Completed", rate(s.RequestRate) + " requests/s"},
		{"Input", phrase.Of(s.InputTokens, "token") + ", " + rate(s.InputRate) + " a second"},
		{"Output", phrase.Of(s.OutputTokens, "token") + ", " + rate(s.OutputRate) + " a second"},
		{"Began", instant(s.Start.Truncate(time.Second))},
	}
}

func rate(perSecond float64) string { return strconv.FormatFloat(perSecond, 'f', 1, 64) }

func latencies(s *load.Summary) *table {
	t := &table{Caption: "Latencies", Columns: []column{{Text: "Latency"}, {Text: "Count", Number: true}, {Text: "Mean", Number: true}, {Text: "Least", Number: true}, {Text: "p50", Number: true}, {Text: "p90", Number: true},
		{Text: "p95", Number: true}, {Text: "p99", Number: true}, {Text: "Longest", Number: true}}}
	for _, d := range []struct {
		name, title string
		of          *load.Distribution
	}{
		{"TTFT", "time to first token", s.TTFT}, {"TPOT", "time per output token after the first", s.TPOT},
		{"ITL", "time between tokens", s.ITL}, {"E2E", "whole request", s.E2E},
	} {
		row := []cell{{Text: d.name, Title: d.title}}
		if d.of == nil {
			for range 8 {
				row = append(row, unknown())
			}
		} else {
			row = append(row, count(int64(d.of.Count)), nanos(d.of.Mean), nanos(d.of.Min), nanos(d.of.P50), nanos(d.of.P90), nanos(d.of.P95), nanos(d.of.P99), nanos(d.of.Max))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
