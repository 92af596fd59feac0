package trace

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
)

// collector gathers what Scan needs of each event, for the order of events in
// a file promises nothing and its base time may stand at the end.
type collector struct {
	path    string
	summary Summary
	first   int64
	last    int64

	lanes   map[string]*lane
	current *lane // the lane of the event before, most often the next one's too
	key     []byte

	names map[string]uint32
	byID  []string
	kinds []kind
	ops   int
	marks int
	text  int // bytes
}

func newCollector(path string) *collector {
	return &collector{path: path, first: math.MaxInt64, last: math.MinInt64,
		lanes: map[string]*lane{}, names: map[string]uint32{}}
}

func (c *collector) collect(e *Event) error {
	c.summary.Events++
	if !e.Timed || e.Phase == 'M' {
		return nil
	}
	c.first, c.last = min(c.first, e.TS), max(c.last, e.End())
	if e.Phase != 'X' {
		return nil
	}
	switch cat := e.Category; {
	case string(cat) == "python_function":
	case string(cat) == "cpu_op":
		c.summary.Activities.CPU = true
		return c.operator(e)
	case string(cat) == "user_annotation":
		return c.span(e)
	case isLaunch(cat):
		return c.operator(e)
	case onDevice(cat):
		c.summary.Activities.Device = true
	case string(cat) == "Trace" && bytes.HasPrefix(e.Name, []byte("PyTorch Profiler")):
		c.summary.Recorded = e.Dur
	}
	return nil
}

func (c *collector) operator(e *Event) error {
	l, err := c.lane(e)
	if err != nil {
		return err
	}
	id, err := c.name(e.Name)
	if err != nil {
		return err
	}
	if c.kinds[id] == noted {
		return c.span(e)
	}
	before := len(l.ops)
	l.add(op{e.TS, e.End(), id})
	if c.ops += len(l.ops) - before; c.ops > maxOps {
		return c.limit("top-level operators", maxOps)
	}
	k := c.kinds[id]
	if k == plain {
		return nil
	}
	m := mark{start: e.TS, end: e.End(), name: id, kind: k, tokens: NotKnown}
	if k == embedding {
		if dims, ok := e.Arg("Input Dims"); ok {
			m.tokens = embeddedTokens(dims)
		}
	}
	l.marks = append(l.marks, m)
	return c.mark()
}

func (c *collector) span(e *Event) error {
	text := string(e.Name)
	a := parseAnnotation(text)
	if a.rank == noPass && !preprocessScopes[text] {
		return nil
	}
	l, err := c.lane(e)
	if err != nil {
		return err
	}
	if err := c.keepText(len(text)); err != nil {
		return err
	}
	if a.rank == noPass {
		l.preprocess = append(l.preprocess, e.TS)
	} else {
		l.notes = append(l.notes, note{e.TS, e.End(), text, a})
	}
	return c.mark()
}

func (c *collector) mark() error {
	if c.marks++; c.marks > maxSpans {
		return c.limit("annotations and markers", maxSpans)
	}
	return nil
}

// lane finds the thread of an event.
func (c *collector) lane(e *Event) (*lane, error) {
	if l := c.current; l != nil && string(e.TID) == l.tid && string(e.PID) == l.pid {
		return l, nil
	}
	c.key = append(append(append(c.key[:0], e.PID...), 0), e.TID...)
	l := c.lanes[string(c.key)]
	if l == nil {
		if len(c.lanes) == maxLanes {
			return nil, c.limit("threads", maxLanes)
		}
		if err := c.keepText(len(e.PID) + len(e.TID)); err != nil {
			return nil, err
		}
		l = &lane{pid: string(e.PID), tid: string(e.TID)}
		c.lanes[string(c.key)] = l
	}
	c.current = l
	return l, nil
}

func (c *collector) name(name []byte) (uint32, error) {
	if id, ok := c.names[string(name)]; ok {
		return id, nil
	}
	if len(c.byID) == maxNames {
		return 0, c.limit("different operator names", maxNames)
	}
	if err := c.keepText(len(name)); err != nil {
		return 0, err
	}
	text, id := string(name), uint32(len(c.byID))
	c.names[text] = id
	c.byID = append(c.byID, text)
	c.kinds = append(c.kinds, kindOf(text))
	return id, nil
}

// keepText counts what is remembered of the file's texts.
func (c *collector) keepText(n int) error {
	if c.text += n; c.text > maxText {
		return c.limit("bytes of names, annotations and threads", maxText)
	}
	return nil
}

func (c *collector) limit(what string, n int) error {
	return &Error{Path: c.path, Kind: ErrLimit, Detail: fmt.Sprintf("number of %s (limit %d)", what, n)}
}

// finish finds the passes and turns all times into ns since the Unix epoch.
func (c *collector) finish(o ScanOptions, base int64) {
	s := &c.summary
	if c.first <= c.last {
		s.First, s.Last = c.first+base, c.last+base
	}
	lanes := c.sorted()
	for _, find := range []struct {
		evidence Evidence
		by       func(*lane) []Pass
	}{
		{Annotation, func(l *lane) []Pass { return l.annotated(serverSpan) }},
		{Annotation, func(l *lane) []Pass { return l.annotated(profilerStep) }},
		{Scope, (*lane).scoped},
		{Structure, func(l *lane) []Pass { return l.structural(l.embeddings(), c.byID) }},
		{Structure, func(l *lane) []Pass { return l.structural(l.launches(), c.byID) }},
		{Structure, func(l *lane) []Pass { return l.structural(l.onceAPass(), c.byID) }},
	} {
		if o.Evidence != NoEvidence && o.Evidence != find.evidence {
			continue
		}
		if best, n := mostPasses(lanes, find.by); n > 0 {
			s.Evidence, s.Passes, s.Lanes = find.evidence, best, n
			break
		}
	}
	for i := range s.Passes {
		p := &s.Passes[i]
		p.Index = i
		p.Start, p.SpanEnd, p.End = p.Start+base, p.SpanEnd+base, p.End+base
	}
	if s.Trimmed != nil && len(s.Passes) > 0 {
		s.Passes[len(s.Passes)-1].closeTrimmed(s.Trimmed)
	}
}

// sorted gives the lanes in an order that does not depend on chance.
func (c *collector) sorted() []*lane {
	lanes := make([]*lane, 0, len(c.lanes))
	for _, l := range c.lanes {
		l.sort()
		lanes = append(lanes, l)
	}
	slices.SortFunc(lanes, func(a, b *lane) int {
		return cmp.Or(cmp.Compare(a.pid, b.pid), cmp.Compare(a.tid, b.tid))
	})
	return lanes
}

// mostPasses gives the passes of the lane that has most of them, the earlier
// where two have as many, and the number of lanes that have some.
func mostPasses(lanes []*lane, by func(*lane) []Pass) (best []Pass, n int) {
	for _, l := range lanes {
		passes := by(l)
		if len(passes) == 0 {
			continue
		}
		n++
		if len(passes) > len(best) || len(passes) == len(best) && passes[0].Start < best[0].Start {
			best = passes
		}
	}
	return best, n
}

// closeTrimmed: a file that Trim cut ends where its last pass does, which the
// operators left in it can no longer tell.
func (p *Pass) closeTrimmed(t *Trimmed) {
	if t.End >= p.Start {
		p.End = t.End
		p.Whole = p.Class == Idle || t.Whole
	}
}
