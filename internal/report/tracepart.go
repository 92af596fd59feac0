package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"profjob/internal/analysis"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

func tracePartOf(t placed, index, all int, colours palette, l limits) tracePart {
	p := tracePart{ID: "trace-" + strconv.Itoa(index+1), Name: t.label, Title: word(t.File), About: about(t)}
	if t.Problem != "" {
		p.Problem = message(t.Problem)
	}
	if len(t.Steps) == 0 {
		p.NoSteps = "No engine steps were found in this trace: it has no annotation of a step, no scope, and nothing that occurs once a pass. What follows is of the whole trace."
	}
	if t.Total.Device == nil {
		p.NoDevice = "The trace has no device work: the server ran on the host, or its profiler did not record the device."
	}
	p.Timeline = timelineOf(t.Steps, t.Classes, each(l.bars, all, maxBars))
	if steps := each(l.steps, all, maxSteps); steps > 0 && len(t.Steps) > 0 {
		p.Steps = stepTable(t.Steps, steps)
	}
	p.Shares = sharesOf(t.Trace, colours)
	names := each(l.names/2, all, maxNames)
	p.Tables = appendTable(p.Tables, operators(&t.Total, names))
	p.Tables = appendTable(p.Tables, kernels(&t.Total, names))
	p.Tables = appendTable(p.Tables, categories(&t.Total))
	p.Tables = appendTable(p.Tables, batches(t.Trace, l.batches))
	p.Tables = appendTable(p.Tables, launches(t.Trace))
	p.Tables = appendTable(p.Tables, memory(t.Trace, l.batches))
	return p
}

func about(t placed) []fact {
	var facts []fact
	add := func(name, text string) { facts = append(facts, fact{name, text}) }
	add("File", word(t.File)+" ("+phrase.Bytes(t.FileBytes)+")")
	if t.EngineVersion != "" {
		add("Version", word(t.EngineVersion))
	}
	if t.Host != "" {
		add("Host", word(t.Host))
	}
	if t.Rank != nil {
		rank := phrase.Count(int64(*t.Rank))
		if t.WorldSize != nil {
			rank += ", world size " + phrase.Count(int64(*t.WorldSize))
		}
		add("Rank", rank)
	}
	add("Events", phrase.Count(int64(t.Events)))
	if t.End > t.Start {
		add("Recorded", instant(time.Unix(0, t.Start))+", for "+phrase.Nanos(t.End-t.Start))
	}
	if t.Evidence != trace.NoEvidence {
		add("Steps found by", word(string(t.Evidence)))
	}
	add("Has", has(t.Trace))
	if t.Total.FLOPs > 0 {
		add("FLOPs", phrase.FLOPs(t.Total.FLOPs))
	}
	return facts
}

func has(t *analysis.Trace) string {
	var on []string
	for _, o := range []struct {
		name string
		on   bool
	}{{"operators", t.Activities.CPU}, {"device", t.Activities.Device}, {"shapes", t.Options.Shapes}, {"memory", t.Options.Memory}, {"stacks", t.Options.Stack}, {"FLOPs", t.Options.FLOPs}} {
		if o.on {
			on = append(on, o.name)
		}
	}
	if len(on) == 0 {
		return phrase.Unknown
	}
	return strings.Join(on, ", ")
}

func instant(t time.Time) string {
	if t.IsZero() {
		return phrase.Unknown
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func operators(g *analysis.Group, most int) *table {
	device, flops, sparks := false, false, false
	var self int64
	for _, o := range g.Operators {
		self += o.Self
		device, flops, sparks = device || o.Device > 0, flops || o.FLOPs > 0, sparks || len(o.PerStep) > 1
	}
	t := &table{Caption: "Top operators, whole trace", Sorts: true, Columns: []column{{Text: "Operator"}, {Text: "Kind"}, {Text: "Calls", Number: true},
		{Text: "Self", Number: true, Title: "without the operators within"}, {Text: "Share", Number: true, Title: "of the self time of all operators listed"}, {Text: "Total", Number: true, Title: "with the operators within"}}}
	if device {
		t.Columns = append(t.Columns, column{Text: "Device", Number: true, Title: "of the kernels that its own calls launched"})
	}
	if flops {
		t.Columns = append(t.Columns, column{Text: "FLOPs", Number: true})
	}
	if sparks {
		t.Columns = append(t.Columns, column{Text: "Self, by step", Fixed: true})
	}
	shown, left := first(g.Operators, most)
	for _, o := range shown {
		row := []cell{named(o.Name), text(o.Category), count(int64(o.Count)), nanos(o.Self), percent(o.Self, self), nanos(o.Total)}
		if device {
			row = append(row, nanos(o.Device))
		}
		if flops {
			row = append(row, number(o.FLOPs, phrase.FLOPs(o.FLOPs)))
		}
		if sparks {
			row = append(row, sparkCell(o.PerStep))
		}
		t.Rows = append(t.Rows, row)
	}
	t.Note = leftOut(left+leftOutOf(g, len(g.Kernels) == 0), "operator")
	return t
}

// leftOutOf is what the analysis itself left out, which it counts for all lists at once.
func leftOutOf(g *analysis.Group, here bool) int {
	if here {
		return g.LeftOut
	}
	return 0
}

func sparkCell(values []int64) cell {
	if s := sparkOf(values); s != nil {
		return cell{Spark: s}
	}
	return cell{Text: phrase.Unknown}
}

func kernels(g *analysis.Group, most int) *table {
	sparks := false
	var sum int64
	for _, k := range g.Kernels {
		sum += k.Time
		sparks = sparks || len(k.PerStep) > 1
	}
	t := &table{Caption: "Top kernels, whole trace", Sorts: true, Columns: []column{{Text: "Kernel"}, {Text: "Kind"}, {Text: "Runs", Number: true},
		{Text: "Time", Number: true}, {Text: "Share", Number: true, Title: "of the time of all kernels listed"}, {Text: "Mean", Number: true}, {Text: "Shortest", Number: true}, {Text: "Longest", Number: true}}}
	if sparks {
		t.Columns = append(t.Columns, column{Text: "Time, by step", Fixed: true})
	}
	shown, left := first(g.Kernels, most)
	for _, k := range shown {
		row := []cell{named(k.Name), text(k.Category), count(int64(k.Count)), nanos(k.Time), percent(k.Time, sum), nanos(k.Time / int64(max(k.Count, 1))), nanos(k.Min), nanos(k.Max)}
		if sparks {
			row = append(row, sparkCell(k.PerStep))
		}
		t.Rows = append(t.Rows, row)
	}
	if left > 0 || g.LeftOut > 0 {
		t.Note = leftOut(left, "kernel")
		if g.LeftOut > 0 {
			t.Note = join(t.Note, "The analysis left out "+phrase.Of(int64(g.LeftOut), "row")+" of operators and kernels.")
		}
	}
	return t
}

func categories(g *analysis.Group) *table {
	var sum int64
	for _, c := range g.Categories {
		sum += c.Time
	}
	t := &table{Caption: "Kinds of kernels, whole trace", Sorts: true, Columns: []column{{Text: "Kind"}, {Text: "Runs", Number: true}, {Text: "Time", Number: true}, {Text: "Share", Number: true}}}
	shown, left := first(g.Categories, 60)
	for _, c := range shown {
		t.Rows = append(t.Rows, []cell{text(c.Name), count(int64(c.Count)), nanos(c.Time), percent(c.Time, sum)})
	}
	t.Note = leftOut(left, "kind")
	return t
}

func batches(tr *analysis.Trace, most int) *table {
	t := &table{Caption: "Batches: steps of a class that scheduled about as much", Columns: []column{{Text: "Class"}, {Text: "Batch"}, {Text: "Steps", Number: true}, {Text: "p50", Number: true},
		{Text: "p90", Number: true}, {Text: "Longest", Number: true}, {Text: "Device busy", Number: true}, {Text: "Device span, p50", Number: true}}}
	for i := range tr.Classes {
		c := &tr.Classes[i]
		for _, b := range c.Batches {
			row := []cell{{Text: classText(c.Class), Swatch: classClass(c.Class)}, {Text: strings.TrimSpace(word(strings.ReplaceAll(b.Batch, "..", " to ")) + " " + word(b.BatchOf))},
				count(int64(b.Steps)), nanos(b.Duration.P50), nanos(b.Duration.P90), nanos(b.Duration.Max)}
			if b.Device != nil {
				row = append(row, percent(b.Device.Busy, b.Device.Span))
			} else {
				row = append(row, unknown())
			}
			if b.DeviceSpan != nil {
				row = append(row, nanos(b.DeviceSpan.P50))
			} else {
				row = append(row, unknown())
			}
			t.Rows = append(t.Rows, row)
		}
	}
	shown, left := first(t.Rows, most)
	t.Rows, t.Note = shown, leftOut(left, "batch row")
	return t
}

func launches(tr *analysis.Trace) *table {
	t := &table{Caption: "Launches: what it took to get work onto the device", Columns: []column{{Text: "Class"}, {Text: "Calls", Number: true}, {Text: "Time of the host", Number: true}, {Text: "Mean", Number: true},
		{Text: "Delay to the kernel, p50", Number: true}, {Text: "p90", Number: true}, {Text: "Longest", Number: true}, {Text: "Short kernels", Number: true, Title: "that took less time than the call that launched them"}}}
	groups := []*analysis.Group{&tr.Total}
	for i := range tr.Classes {
		groups = append(groups, &tr.Classes[i])
	}
	for _, g := range groups {
		if g.Launch == nil || g.Launch.Calls == 0 {
			continue
		}
		n := cell{Text: classText(g.Class), Swatch: classClass(g.Class)}
		if g == groups[0] {
			n = cell{Text: "whole trace"}
		}
		x := g.Launch
		t.Rows = append(t.Rows, []cell{n, count(int64(x.Calls)), nanos(x.Time), nanos(x.Time / int64(x.Calls)), nanos(x.Delay.P50), nanos(x.Delay.P90), nanos(x.Delay.Max), count(int64(x.Short))})
	}
	return t
}

func memory(tr *analysis.Trace, most int) *table {
	t := &table{Caption: "Memory peaks", Columns: []column{{Text: "Device"}, {Text: "Peak", Number: true}, {Text: "Reserved", Number: true}, {Text: "In step"}, {Text: "After the begin", Number: true},
		{Text: "Allocations", Number: true}, {Text: "Allocated in all", Number: true}}}
	shown, left := first(tr.Memory, most)
	for _, m := range shown {
		step := "outside of any"
		if m.Step >= 0 {
			step = fmt.Sprint(m.Step)
		}
		reserved := size(m.Reserved)
		if m.Reserved <= 0 {
			reserved = unknown()
		}
		t.Rows = append(t.Rows, []cell{text(m.Device), size(m.Peak), reserved, {Text: step}, nanos(m.At - tr.Start), count(int64(m.Allocations)), size(m.Allocated)})
	}
	t.Note = leftOut(left, "device")
	return t
}

// ranksOf holds the traces of a set side by side; nil with fewer than two.
func ranksOf(s *analysis.Set, l limits) *table {
	if len(s.Traces) < 2 {
		return nil
	}
	t := &table{Caption: "What each rank waited", Sorts: true, Columns: []column{{Text: "Trace"}, {Text: "Steps", Number: true}, {Text: "p50", Number: true}, {Text: "In all", Number: true},
		{Text: "Collectives", Number: true, Title: "that could be matched with those of the other ranks"}, {Text: "Waited", Number: true, Title: "in collectives that another rank had not entered"}, {Text: "Share", Number: true, Title: "waited, of the duration of its steps"},
		{Text: "Last", Number: true, Title: "collectives that this rank entered last"}, {Text: "Caused", Number: true, Title: "the waits of the others where this rank was last"}, {Text: "Duration, by step", Fixed: true}, {Text: "Wait, by step", Fixed: true}}}
	if of := strings.Join(setName(s), ", "); of != "" {
		t.Caption += ": " + of
	}
	traces, left := first(tracesOf([]analysis.Set{*s}), l.ranks)
	for _, tr := range traces {
		row := []cell{{Text: tr.label, Title: word(tr.File)}, count(int64(tr.Total.Steps)), nanos(tr.Total.Duration.P50), nanos(tr.Total.Duration.Sum)}
		at := slices.IndexFunc(s.Ranks, func(r analysis.RankSkew) bool { return r.File == tr.File })
		if at < 0 {
			row = append(row, unknown(), unknown(), unknown(), unknown(), unknown(), sparkCell(durations(tr.Steps)), cell{Text: phrase.Unknown})
		} else {
			r := s.Ranks[at]
			row = append(row, count(int64(r.Collectives)), nanos(r.Wait), percent(r.Wait, tr.Total.Duration.Sum), count(int64(r.Last)), nanos(r.Caused), sparkCell(durations(tr.Steps)), sparkCell(waits(r.Steps)))
		}
		t.Rows = append(t.Rows, row)
	}
	t.Note = leftOut(left, "rank")
	if len(s.Ranks) == 0 {
		t.Note = join(t.Note, "The traces have no collectives in common that could be matched: what a rank waited is not known.")
	}
	return t
}

func durations(steps []analysis.Step) []int64 {
	var all []int64
	for _, s := range steps {
		if s.Class != trace.Idle {
			all = append(all, s.Duration)
		}
	}
	return all
}

func waits(steps []analysis.RankStep) []int64 {
	var all []int64
	for _, s := range steps {
		all = append(all, s.Wait)
	}
	return all
}
