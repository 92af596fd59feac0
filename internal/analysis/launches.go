package analysis

import (
	"cmp"
	"math"
	"slices"

	"profjob/internal/trace"
)

// launch is a call that device work correlates with.
type launch struct {
	correlation uint32
	step        int32  // that the call was in
	owner       uint32 // NameID+1 of the innermost operator around the call, 0 for none
	cost        uint32 // how long the call took, and graphBit
	start       int64  // notFound where the trace has the device work only
	first       int64  // start of the first work that it launched; notFound before it is known
}

const (
	graphBit = 1 << 31
	notFound = math.MinInt64
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
	var ids []uint32
	var l launches
	for _, lane := range c.Lanes {
		if !lane.Device {
			continue
		}
		for i := range lane.Len() {
			switch s := lane.At(i); {
			case !s.Kind.OnDevice():
			case s.Correlation == 0:
				l.orphans = true
			case len(ids) == 0 || ids[len(ids)-1] != s.Correlation: // a graph's kernels all have one
				ids = append(ids, s.Correlation)
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	l.list = make([]launch, len(ids))
	for i, id := range ids {
		l.list[i] = launch{correlation: id, step: nowhere, start: notFound, first: notFound}
	}
	return &l
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
	l.start, l.step, l.owner = s.Start, f.step, f.operator
	l.cost = uint32(min(s.Dur, graphBit-1))
	if graph {
		l.cost |= graphBit
	}
}

func (l *launch) isCalled() bool { return l.start != notFound }
func (l *launch) isGraph() bool  { return l.cost&graphBit != 0 }
