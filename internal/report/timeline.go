package report

import (
	"fmt"

	"profjob/internal/analysis"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

// timeline is a picture with a bar for each step, or for each group of steps that
// follow each other.
type timeline struct {
	Width, Height int
	Bars          []bar
	Ticks         []tick
	Legend        []legendEntry
	Label         string // what it shows, in words
	Note          string // that steps were put together, that idle passes are cut
	Left, Bottom  int
}

type bar struct {
	X, Y, Width, Height string
	Class               string
	Title               string
}

type tick struct{ Y, Text string }

type legendEntry struct{ Class, Text string }

const (
	chartWidth  = 1000
	chartHeight = 220
	chartLeft   = 70
	chartTop    = 12
	chartBottom = 208
	widestBar   = 48
	filled      = 0.86 // of the room that a bar has
)

// binned is steps that share a bar.
type binned struct {
	from, to int // of the steps
	longest  int64
	sum      int64
	tokens   int64
	class    trace.Class // that most of the time is of
}

func timelineOf(steps []analysis.Step, classes []analysis.Group, bars int) *timeline {
	if len(steps) == 0 || bars == 0 {
		return nil
	}
	bins := binsOf(steps, bars)
	top, cut := heightOf(bins)
	t := &timeline{Width: chartWidth, Height: chartHeight, Left: chartLeft, Bottom: chartBottom}
	width := min(float64(chartWidth-chartLeft)/float64(len(bins)), widestBar/filled)
	shown := width * filled
	for i, b := range bins {
		height := min(max(float64(b.longest)/float64(max(top, 1)), 0.006), 1) * (chartBottom - chartTop)
		t.Bars = append(t.Bars, bar{
			X: short(chartLeft + (float64(i)+0.5)*width - shown/2), Width: fmt.Sprintf("%.2f", shown),
			Y: short(chartBottom - height), Height: short(height),
			Class: classClass(b.class), Title: b.title(steps),
		})
	}
	for _, part := range []int64{4, 3, 2, 1} {
		t.Ticks = append(t.Ticks, tick{short(chartBottom - float64(part)/4*(chartBottom-chartTop)), phrase.Nanos(top * part / 4)})
	}
	t.Label = phrase.Of(int64(len(steps)), "pass")
	if len(steps) > 1 {
		t.Label = phrase.Count(int64(len(steps))) + " passes"
	}
	t.Label += " one after the other, a bar each, as high as it took long; the numbers are in the table below"
	for _, g := range classes {
		t.Legend = append(t.Legend, legendEntry{classClass(g.Class), classText(g.Class)})
	}
	if len(bins) < len(steps) {
		t.Note = fmt.Sprintf("%s steps do not fit: each bar is %s that follow each other, as high as the longest of them, in the colour of the class that most of their time is of.",
			phrase.Count(int64(len(steps))), between(bins))
	}
	if cut {
		t.Note = join(t.Note, "Idle passes longer than every engine step are cut at the top.")
	}
	return t
}

func between(bins []binned) string {
	least, largest := bins[0].to-bins[0].from, 0
	for _, b := range bins {
		least, largest = min(least, b.to-b.from), max(largest, b.to-b.from)
	}
	if least == largest {
		return phrase.Count(int64(least))
	}
	return phrase.Count(int64(least)) + " or " + phrase.Count(int64(largest))
}

func binsOf(steps []analysis.Step, bars int) []binned {
	n := min(len(steps), bars)
	bins := make([]binned, n)
	for i := range bins {
		b := binned{from: i * len(steps) / n, to: (i + 1) * len(steps) / n}
		times := map[trace.Class]int64{}
		b.class = steps[b.from].Class
		for _, s := range steps[b.from:b.to] {
			b.longest = max(b.longest, s.Duration)
			b.sum += s.Duration
			times[s.Class] += s.Duration
			if times[s.Class] > times[b.class] {
				b.class = s.Class
			}
			if s.Tokens < 0 || b.tokens < 0 {
				b.tokens = analysis.NotKnown
			} else {
				b.tokens += s.Tokens
			}
		}
		bins[i] = b
	}
	return bins
}

// heightOf is the duration that is as high as the chart: the longest of a bar with
// engine steps. An idle pass may take seconds and would make all else flat.
func heightOf(bins []binned) (top int64, cut bool) {
	var idle int64
	for _, b := range bins {
		if b.class == trace.Idle {
			idle = max(idle, b.longest)
		} else {
			top = max(top, b.longest)
		}
	}
	if top == 0 {
		return idle, false
	}
	return top, idle > top
}

func (b binned) title(steps []analysis.Step) string {
	s := steps[b.from]
	if b.to-b.from > 1 {
		return fmt.Sprintf("steps %d to %d, mostly %s: longest %s, mean %s, %s tokens", s.Index, steps[b.to-1].Index, classText(b.class),
			phrase.Nanos(b.longest), phrase.Nanos(b.sum/int64(b.to-b.from)), phrase.Count(b.tokens))
	}
	text := fmt.Sprintf("step %d, %s: %s, %s tokens, %s requests", s.Index, classText(s.Class), phrase.Nanos(s.Duration), phrase.Count(s.Tokens), phrase.Count(s.Requests))
	if d := s.Device; d != nil {
		text += fmt.Sprintf(", device busy %s of %s", phrase.Nanos(d.Busy), phrase.Nanos(d.Span))
	}
	if !s.Whole && s.Class != trace.Idle {
		text += ", not recorded whole"
	}
	return text
}

func classText(c trace.Class) string {
	if c == "" {
		return "all"
	}
	return word(string(c))
}

// classClass is the class of the page's style that has the colour of a class of steps.
func classClass(c trace.Class) string {
	switch c {
	case trace.Prefill, trace.Decode, trace.Mixed, trace.Idle:
		return "c-" + string(c)
	}
	return "c-unknown"
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

func stepTable(steps []analysis.Step, most int) *table {
	device, memory, flops := false, false, false
	for _, s := range steps {
		device, memory, flops = device || s.Device != nil, memory || s.MemoryPeak > 0, flops || s.FLOPs > 0
	}
	t := &table{Caption: "Steps, one by one", Sorts: true, Columns: []column{{Text: "Step", Number: true}, {Text: "Class"}, {Text: "Duration", Number: true},
		{Text: "Tokens", Number: true}, {Text: "Requests", Number: true}, {Text: "Whole"}, {Text: "In operators", Number: true, Title: "of the step's thread"}}}
	if device {
		t.Columns = append(t.Columns, column{Text: "Device busy", Number: true}, column{Text: "Device span", Number: true}, column{Text: "Kernels", Number: true})
	}
	if memory {
		t.Columns = append(t.Columns, column{Text: "Memory peak", Number: true})
	}
	if flops {
		t.Columns = append(t.Columns, column{Text: "FLOPs", Number: true})
	}
	t.Columns = append(t.Columns, column{Text: "Found by", Title: "the annotation, scope or operator that the step was found by"})
	shown, left := first(steps, most)
	for _, s := range shown {
		whole := "yes"
		if !s.Whole {
			whole = "no"
		}
		row := []cell{count(int64(s.Index)), {Text: classText(s.Class), Swatch: classClass(s.Class)}, nanos(s.Duration), count(s.Tokens), count(s.Requests), {Text: whole}, nanos(s.OperatorTime)}
		if device {
			if d := s.Device; d != nil {
				row = append(row, nanos(d.Busy), nanos(d.Span), count(int64(d.Kernels)))
			} else {
				row = append(row, unknown(), unknown(), unknown())
			}
		}
		if memory {
			row = append(row, size(s.MemoryPeak))
		}
		if flops {
			row = append(row, number(s.FLOPs, phrase.FLOPs(s.FLOPs)))
		}
		t.Rows = append(t.Rows, append(row, named(s.Name)))
	}
	if left > 0 {
		t.Note = fmt.Sprintf("The first %s of %s steps.", phrase.Count(int64(len(shown))), phrase.Count(int64(len(steps))))
	}
	return t
}
