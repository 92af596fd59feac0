package trace

import (
	"fmt"
	"strings"
)

// Between is the cut from one pass of a trace to another, both included, by their
// numbers, which count from 0; idle passes between them belong to it.
func Between(passes []Pass, first, last int) (Cut, error) {
	switch {
	case len(passes) == 0:
		return Cut{}, fmt.Errorf("steps %d..%d: no engine step was recorded", first, last)
	case first < 0 || last < first || last >= len(passes):
		return Cut{}, fmt.Errorf("steps %d..%d: the trace has steps 0 to %d", first, last, len(passes)-1)
	}
	return cutOf(passes, first, last), nil
}

// During is the cut from one moment to another, in ns since the Unix epoch, the second
// not included, whatever passes begin in it.
func During(passes []Pass, start, end int64) (Cut, error) {
	if end <= start {
		return Cut{}, fmt.Errorf("the window ends at %d ns, before its start at %d ns", end, start)
	}
	c := Cut{First: -1, Last: -1, Start: start, End: end, Whole: true}
	for i := range passes {
		p := &passes[i]
		if p.Start < start || p.Start >= end {
			continue
		}
		if c.First < 0 {
			c.First = i
		}
		c.Last = i
		if p.IsStep() {
			c.Steps++
			c.Whole = c.Whole && p.Whole && p.End <= end
		}
	}
	return c, nil
}

// CutName names what is cut of a file: beside it, with ".window" before the ending.
func CutName(path string) string {
	for _, ending := range []string{".pt.trace.json", ".trace.json", ".json"} {
		if i := strings.LastIndex(path, ending); i >= 0 {
			return path[:i] + ".window" + path[i:]
		}
	}
	return path + ".window"
}
