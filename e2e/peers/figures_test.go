//go:build e2e

package peers

import (
	"math"

	"profjob/internal/analysis"
)

// figures are what the tools say of all device work of a trace. Times are in µs;
// a figure that a tool does not give is NaN.
type figures struct {
	events                         int     // kernels, copies and fills; -1 where not given
	sum                            float64 // of their durations
	span, idle                     float64
	compute, communication, copies float64 // for how long any was at work
}

// named are the times by what the table calls them.
func (f figures) named() []struct {
	name string
	us   float64
} {
	return []struct {
		name string
		us   float64
	}{{"sum", f.sum}, {"span", f.span}, {"idle", f.idle}, {"computation", f.compute}, {"communication", f.communication}, {"copies", f.copies}}
}

// ofProfjob are the figures of an analysis, nil without device work.
func ofProfjob(trace *analysis.Trace) *figures {
	d := trace.Total.Device
	if d == nil {
		return nil
	}
	f := &figures{events: d.Kernels, span: us(d.Span), idle: us(d.Idle), compute: us(d.Compute), communication: us(d.Communication), copies: us(d.Copies)}
	for _, c := range trace.Total.Categories {
		f.sum += us(c.Time)
	}
	return f
}

func us(ns int64) float64 { return float64(ns) / 1000 }

// near says whether two times are the same but for at most the tolerance.
func near(a, b, tolerance float64) bool {
	return math.IsNaN(a) || math.IsNaN(b) || math.Abs(a-b) <= tolerance
}
