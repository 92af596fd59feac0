package analysis

import (
	"cmp"
	"slices"

	"profjob/internal/trace"
)

// launch is a call that device work correlates with. There may be as many as kernels:
// they are kept small.
type launch struct {
	correlation uint32
	step        int32  // that the call was in
	owner       uint32 // NameID+1 of the innermost operator around the call, 0 for none
	facts       uint32 // how long the call took, and the bits below
	// time is when the call began; once it is answered, how long after that the first
	// work began that it launched.
	time int64
}

const (
	calledBit   = 1 << 31 // the trace has the call, not only the work
	answeredBit = 1 << 30
	graphBit    = 1 << 29 // the call replays a graph
	costMask    = graphBit - 1
)

// launches are in the order of their correlation.
type launches struct {
	list []launch
	near int // where the last one is or would be: the next is most often there or after it
	// orphans says whether there is device work that no call correlates with.
	orphans bool
}

// launchesOf makes room for the launches of all device work.
func launchesOf(c *trace.Columns) *launches {
	var l launches
	n := 0
	l.eachCorrelation(c, func(uint32) { n++ })
	ids := make([]uint32, 0, n)
	l.eachCorrelation(c, func(id uint32) { ids = append(ids, id) })
	slices.Sort(ids)
	ids = slices.Compact(ids)
	l.list = make([]launch, len(ids))
	for i, id := range ids {
		l.list[i] = launch{correlation: id, step: nowhere}
	}
	return &l
}

// eachCorrelation visits the correlations of device work, those that follow each other
// on a stream once: a graph's kernels all have the same.
func (l *launches) eachCorrelation(c *trace.Columns, visit func(uint32)) {
	for _, lane := range c.Lanes {
		if !lane.Device {
			continue
		}
		before := uint32(0)
		for i := range lane.Len() {
			switch s := lane.At(i); {
			case !s.Kind.OnDevice():
			case s.Correlation == 0:
				l.orphans = true
			case s.Correlation != before:
				before = s.Correlation
				visit(before)
			}
		}
	}
}

// find gives the launch with a correlation, nil where no device work has it.
func (l *launches) find(correlation uint32) *launch {
	if correlation == 0 {
		return nil
	}
	for i := l.near; i < min(l.near+2, len(l.list)); i++ {
		if l.list[i].correlation == correlation {
			l.near = i
			return &l.list[i]
		}
	}
	if l.isBetween(l.near, correlation) {
		return nil
	}
	i, ok := slices.BinarySearchFunc(l.list, correlation, func(e launch, id uint32) int { return cmp.Compare(e.correlation, id) })
	l.near = i
	if !ok {
		return nil
	}
	return &l.list[i]
}

// isBetween says whether a correlation belongs before the i-th launch, after the one
// before it: most calls of a runtime launch nothing.
func (l *launches) isBetween(i int, correlation uint32) bool {
	return (i == 0 || l.list[i-1].correlation < correlation) && (i == len(l.list) || correlation < l.list[i].correlation)
}

// called takes over the call of a launch.
func (l *launch) called(f *frame, s *trace.Span, graph bool) {
	l.time, l.step, l.owner = s.Start, f.step, f.operator
	l.facts = uint32(min(s.Dur, costMask)) | calledBit
	if graph {
		l.facts |= graphBit
	}
}

// answered takes over the begin of work that it launched, the first one first.
func (l *launch) answered(at int64) {
	if !l.isAnswered() {
		l.time, l.facts = at-l.time, l.facts|answeredBit
	}
}

func (l *launch) isCalled() bool   { return l.facts&calledBit != 0 }
func (l *launch) isAnswered() bool { return l.facts&answeredBit != 0 }
func (l *launch) isGraph() bool    { return l.facts&graphBit != 0 }

// cost is for how long the call took, up to half a second.
func (l *launch) cost() int64 { return int64(l.facts & costMask) }
