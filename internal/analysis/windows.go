package analysis

import (
	"sort"

	"profjob/internal/trace"
)

// nowhere is the index of a step that there is none of.
const nowhere = -1

// window is a step's time, ns after [trace.Columns.Base], its end not included.
type window struct{ start, end int64 }

// windows are the steps' times; they follow each other and do not overlap.
type windows []window

func windowsOf(passes []trace.Pass, base int64) windows {
	w := make(windows, len(passes))
	for i := range passes {
		start := passes[i].Start - base
		if i > 0 {
			start = max(start, w[i-1].end)
		}
		w[i] = window{start, max(start, passes[i].End-base)}
	}
	return w
}

// at is the index of the step that has a time.
func (w windows) at(t int64) int32 {
	i := sort.Search(len(w), func(i int) bool { return w[i].start > t }) - 1
	if i >= 0 && t < w[i].end {
		return int32(i)
	}
	return nowhere
}

// cursor finds the steps of times that never go back.
type cursor struct {
	windows windows
	next    int // the first that starts later
}

func (c *cursor) at(t int64) int32 {
	for c.next < len(c.windows) && c.windows[c.next].start <= t {
		c.next++
	}
	if i := c.next - 1; i >= 0 && t < c.windows[i].end {
		return int32(i)
	}
	return nowhere
}

// splitter shares out spans, which follow each other, among the steps that they lie in.
type splitter struct {
	windows windows
	first   int // that does not end before the spans so far
}

func (s *splitter) split(start, end int64, part func(step int, length int64)) {
	for s.first < len(s.windows) && s.windows[s.first].end <= start {
		s.first++
	}
	for i := s.first; i < len(s.windows) && s.windows[i].start < end; i++ {
		if n := min(end, s.windows[i].end) - max(start, s.windows[i].start); n > 0 {
			part(i, n)
		}
	}
}
