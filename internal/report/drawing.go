package report

import (
	"fmt"
	"html/template"
	"strings"

	"profjob/internal/analysis"
	"profjob/internal/phrase"
	"profjob/internal/trace"
)

// The drawings are SVG of numbers and of escaped texts only. Sizes are in the units of
// their view boxes.
const (
	timelineWidth  = 1000
	timelineHeight = 160
	mostBars       = 500
	sparkWidth     = 120
	sparkHeight    = 20
	mostPoints     = 60
)

// bar is one step of a timeline, or several that stand for one.
type bar struct {
	first, last int // indexes into the steps
	longest     *analysis.Step
}

// timeline draws each step as a bar as high as it took long.
func timeline(steps []analysis.Step, id string) (template.HTML, string) {
	bars := barsOf(steps)
	if len(bars) == 0 {
		return "", ""
	}
	var most int64 = 1
	for i := range steps {
		most = max(most, steps[i].Duration)
	}
	note := fmt.Sprintf("Each bar is an engine step; the highest took %s.", phrase.Nanos(most))
	if len(bars) < len(steps) {
		note = fmt.Sprintf("Each bar is up to %d steps, as high as the longest of them took; the highest took %s.", bars[0].last-bars[0].first+1, phrase.Nanos(most))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="timeline" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-labelledby="%s-caption">`, timelineWidth, timelineHeight, id)
	width := float64(timelineWidth) / float64(len(bars))
	for i, at := range bars {
		s := at.longest
		height := max(float64(timelineHeight-4)*float64(s.Duration)/float64(most), 2)
		fmt.Fprintf(&b, `<rect class="bar %s" x="%.2f" y="%.2f" width="%.2f" height="%.2f"><title>%s</title></rect>`,
			classNames[s.Class], float64(i)*width, timelineHeight-height, max(width-min(width*0.15, 2), 0.5), height, template.HTMLEscapeString(titleOf(at)))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()), note //nolint:gosec // numbers and escaped texts
}

// classNames are the classes of the style sheet.
var classNames = map[trace.Class]string{trace.Prefill: "prefill", trace.Decode: "decode", trace.Mixed: "mixed", trace.Idle: "idle", trace.Unknown: "unknown"}

func titleOf(at bar) string {
	s := at.longest
	parts := []string{fmt.Sprintf("step %d: %s", s.Index, s.Class)}
	if s.Tokens >= 0 {
		parts = append(parts, phrase.Of(s.Tokens, "token"))
	}
	if s.Requests >= 0 {
		parts = append(parts, phrase.Of(s.Requests, "request"))
	}
	parts = append(parts, phrase.Nanos(s.Duration))
	if s.Device != nil {
		parts = append(parts, fmt.Sprintf("device %s, %s idle", phrase.Nanos(s.Device.Span), phrase.Percent(s.Device.Idle, s.Device.Span)))
	}
	if at.last > at.first {
		parts[0] = fmt.Sprintf("the longest of steps %d to %d is %s", at.first, at.last, parts[0])
	}
	return strings.Join(parts, ", ")
}

func barsOf(steps []analysis.Step) []bar {
	each := (len(steps) + mostBars - 1) / mostBars
	var bars []bar
	for i := 0; i < len(steps); i += each {
		at := bar{first: i, last: min(i+each, len(steps)) - 1, longest: &steps[i]}
		for k := i; k <= at.last; k++ {
			if steps[k].Duration > at.longest.Duration {
				at.longest = &steps[k]
			}
		}
		bars = append(bars, at)
	}
	return bars
}

// colors is how many colours the style sheet has for parts.
const colors = 10

// sharesOf draws where the time of each class went. A part has the same colour in each.
func sharesOf(t *analysis.Trace) (rows []shareRow, legend []legendRow) {
	groups := t.Classes
	if len(groups) == 0 {
		groups = []analysis.Group{t.Total}
	}
	color := map[string]int{}
	for i := range groups {
		g := &groups[i]
		var sum int64
		for _, p := range g.Share {
			sum += p.Time
		}
		if sum <= 0 || g.Class == trace.Idle {
			continue
		}
		row := shareRow{Class: string(g.Class), Total: phrase.Nanos(sum)}
		if row.Class == "" {
			row.Class = "all"
		}
		var b strings.Builder
		fmt.Fprintf(&b, `<svg class="share" viewBox="0 0 1000 26" preserveAspectRatio="none" aria-hidden="true">`)
		x := 0.0
		for _, p := range g.Share {
			n, ok := color[p.Name]
			if !ok {
				n = min(len(color), colors-1)
				color[p.Name] = n
				legend = append(legend, legendRow{Color: n, Name: p.Name})
			}
			width := 1000 * float64(p.Time) / float64(sum)
			fmt.Fprintf(&b, `<rect class="c%d" x="%.2f" y="0" width="%.2f" height="26"><title>%s</title></rect>`, n, x, width,
				template.HTMLEscapeString(p.Name+" "+phrase.Percent(p.Time, sum)))
			x += width
			if p.Time*200 >= sum {
				row.Parts = append(row.Parts, legendRow{n, p.Name, phrase.Percent(p.Time, sum)})
			}
		}
		b.WriteString(`</svg>`)
		row.Bars = template.HTML(b.String()) //nolint:gosec // numbers and escaped texts
		rows = append(rows, row)
	}
	return rows, legend
}

// spark draws how a number went from step to step.
func spark(values []int64) template.HTML {
	if len(values) < 2 {
		return ""
	}
	each := (len(values) + mostPoints - 1) / mostPoints
	var points []int64
	for i := 0; i < len(values); i += each {
		most := values[i]
		for _, v := range values[i:min(i+each, len(values))] {
			most = max(most, v)
		}
		points = append(points, most)
	}
	var most int64 = 1
	for _, v := range points {
		most = max(most, v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="by step, at most %s"><polyline points="`,
		sparkWidth, sparkHeight, template.HTMLEscapeString(phrase.Nanos(most)))
	for i, v := range points {
		x := float64(sparkWidth) * float64(i) / float64(max(len(points)-1, 1))
		fmt.Fprintf(&b, "%.1f,%.1f ", x, float64(sparkHeight)-1-float64(sparkHeight-2)*float64(v)/float64(most))
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers and escaped texts
}
