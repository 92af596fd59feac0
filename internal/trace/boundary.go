package trace

import (
	"cmp"
	"slices"
)

// boundaries finds where each pass starts, given a time within each pass's
// forward. A pass starts with its preprocessing, which comes before the marker,
// and ends after its sampling, so the boundary lies somewhere between the last
// operator that chooses tokens after one marker and the next marker. Between
// two passes the thread goes back to the scheduler: that leaves a gap between
// the operators, most often the largest there. It is not always: a busy host
// makes larger ones anywhere.
//
// So the passes vote. Each gap is known by the two operators before it, which
// are the end of the sampling where the gap is the boundary, and the same in
// every pass. The gap whose two operators stand before the large gaps of most
// passes is the boundary, in every pass where it is not negligible. (The
// operators after a gap are no use: they depend on what was scheduled.)
//
// The boundary is put at the start of the gap, right after the sampling: the
// server's own bookkeeping before a pass belongs to it then, and an idle pass
// that nothing marks does too.
//
// Held against the annotations of every file under vllm-cpu and sglang-cpu, as
// the tests do: all boundaries lie between the end of the previous step's
// sampling and the start of the annotation.
func (l *lane) boundaries(markers []int64) []int64 {
	starts := make([]int64, len(markers))
	regions := make([]region, 0, len(markers))
	for k := 1; k < len(markers); k++ {
		regions = append(regions, l.between(markers[k-1], markers[k]))
	}
	votes := vote(regions)
	ahead := 0 // most operators between a boundary and its marker
	for k, r := range regions {
		starts[k+1] = r.elect(votes)
		ahead = max(ahead, len(l.opsIn(starts[k+1], markers[k+1])))
	}
	if len(markers) > 0 {
		starts[0] = l.firstStart(markers[0], ahead)
	}
	return starts
}

// gap is time between two operators during which the thread runs none.
type gap struct {
	at     int64  // the end of the operator before it
	length int64  // ns
	before uint64 // the two operators before it
}

// region is where a boundary may be.
type region struct {
	marker  int64 // the one that follows
	gaps    []gap
	largest int64
}

// between gives the gaps from the last sampler after one marker to the next
// marker.
func (l *lane) between(from, to int64) region {
	end := l.firstMark(to)
	for i := end - 1; i >= 0 && l.marks[i].start > from; i-- {
		if l.marks[i].kind == sampler {
			from = l.marks[i].start
			break
		}
	}
	return l.region(from, to)
}

// region gives the gaps behind the operators that are at work at or after from.
func (l *lane) region(from, to int64) region {
	r := region{marker: to}
	for i := max(firstFrom(l.ops, from+1), 1); i < len(l.ops) && l.ops[i].start <= to; i++ {
		previous := &l.ops[i-1]
		g := gap{at: previous.end, length: l.ops[i].start - previous.end, before: uint64(previous.name)}
		if i > 1 {
			g.before |= uint64(l.ops[i-2].name+1) << 32
		}
		r.gaps = append(r.gaps, g)
		r.largest = max(r.largest, g.length)
	}
	return r
}

// vote gives each pair of operators the mean, over the regions, of how large
// the largest gap behind it is beside the region's largest.
func vote(regions []region) map[uint64]float64 {
	votes := map[uint64]float64{}
	for _, r := range regions {
		best := map[uint64]int64{}
		for _, g := range r.gaps {
			best[g.before] = max(best[g.before], g.length)
		}
		for before, length := range best {
			votes[before] += float64(length) / float64(max(r.largest, 1)) / float64(len(regions))
		}
	}
	return votes
}

// elect gives the start of the gap with most votes; gaps below a twentieth of
// the region's largest do not stand for election.
func (r *region) elect(votes map[uint64]float64) int64 {
	if len(r.gaps) == 0 {
		return r.marker
	}
	candidates := slices.DeleteFunc(r.gaps, func(g gap) bool { return g.length < r.largest/20 })
	if len(candidates) == 0 { // operators that end before they start
		return r.marker
	}
	return slices.MaxFunc(candidates, func(a, b gap) int {
		return cmp.Or(cmp.Compare(votes[a.before], votes[b.before]),
			cmp.Compare(a.length, b.length), cmp.Compare(b.at, a.at))
	}).at
}

// firstStart finds the start of the first pass, which no other precedes. A
// profiler is started between two calls of the worker, so the trace begins with
// the pass, unless it begins with the sampling of one that was not recorded, or
// with the turns of an idle scheduler (SGLang): far more operators than the
// most that another pass has before its marker.
func (l *lane) firstStart(marker int64, ahead int) int64 {
	before := l.ops[:firstFrom(l.ops, marker)]
	if len(before) == 0 {
		return marker
	}
	from := before[0].start
	sampled := l.has(sampler, from, marker)
	if !sampled && len(before) <= 2*ahead+64 {
		return from
	}
	r := l.between(from, marker)
	if !sampled {
		r = l.region(before[len(before)-ahead-1].start, marker)
	}
	return r.elect(nil)
}
