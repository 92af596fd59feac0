package trace

import (
	"cmp"
	"slices"
	"sort"
)

// sort puts the spans in order; those that no order tells apart stay as the file has
// them. A profiler writes a thread's spans as some runs of which each is in order:
// operators, then calls of the runtime, and so on for each time that it was on. Those
// are merged. What has no such order is sorted in place.
func (l *Lane) sort() {
	if l.sorted {
		return
	}
	if runs := l.runs(); runs != nil {
		l.merge(runs)
	} else {
		sort.Sort(inOrder{l})
	}
	l.sorted = true
}

// run is spans that follow one another in order, by their numbers.
type run struct{ next, end int }

// maxBeside is how many runs may be merged at a time: a block of each is in use.
const maxBeside = 64

// runs gives the runs in the order of their begins; none where merging them is not
// worth it.
func (l *Lane) runs() []run {
	var runs []run
	begin := 0
	for i := 1; i <= l.n; i++ {
		if i < l.n && !l.before(i, i-1) {
			continue
		}
		runs = append(runs, run{begin, i})
		if begin = i; len(runs) > l.n/16+8 {
			return nil
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return l.compare(a.next, b.next) })
	if l.beside(runs) > maxBeside {
		return nil
	}
	return runs
}

// beside gives the most runs that there are at a time.
func (l *Lane) beside(runs []run) int {
	ends := make([]int64, len(runs))
	for i, r := range runs {
		ends[i] = l.at(r.end - 1).start
	}
	slices.Sort(ends)
	most, ended := 0, 0
	for i, r := range runs {
		for ended < len(ends) && ends[ended] < l.at(r.next).start {
			ended++
		}
		most = max(most, i+1-ended)
	}
	return most
}

// merge takes the first span of all runs again and again. A block of which all spans
// were taken is where others are put.
func (l *Lane) merge(runs []run) {
	blocks, left := l.blocks, make([]int, len(l.blocks))
	for i := range left {
		left[i] = min(l.n-i<<spanShift, spansPerBlock)
	}
	var merged, free [][]record
	n := 0
	put := func(i int) {
		if n&(spansPerBlock-1) == 0 {
			if len(free) == 0 {
				free = append(free, make([]record, len(blocks[0])))
			}
			merged, free = append(merged, free[len(free)-1]), free[:len(free)-1]
		}
		merged[n>>spanShift][n&(spansPerBlock-1)] = *l.at(i)
		n++
		if left[i>>spanShift]--; left[i>>spanShift] == 0 {
			free = append(free, blocks[i>>spanShift])
		}
	}
	var begun []run
	for n < l.n {
		first, bound := -1, -1 // the run to take from, and the span before which
		for i := range begun {
			switch next := begun[i].next; {
			case first < 0 || l.compare(next, begun[first].next) < 0:
				if first >= 0 {
					bound = begun[first].next
				}
				first = i
			case bound < 0 || l.compare(next, bound) < 0:
				bound = next
			}
		}
		if len(runs) > 0 && (first < 0 || l.compare(runs[0].next, begun[first].next) < 0) {
			begun, runs = append(begun, runs[0]), runs[1:]
			continue
		}
		if len(runs) > 0 && (bound < 0 || l.compare(runs[0].next, bound) < 0) {
			bound = runs[0].next
		}
		r := &begun[first]
		for r.next < r.end && (bound < 0 || l.compare(r.next, bound) < 0) {
			put(r.next)
			r.next++
		}
		if r.next == r.end {
			begun = slices.Delete(begun, first, first+1)
		}
	}
	l.blocks, l.has = merged, len(merged)*len(blocks[0])
}

// before says whether a span must come before another that the file has before it.
func (l *Lane) before(i, k int) bool {
	a, b := l.at(i), l.at(k)
	return a.start < b.start || a.start == b.start && l.length(a) > l.length(b)
}

// compare orders two spans; none are equal.
func (l *Lane) compare(i, k int) int {
	a, b := l.at(i), l.at(k)
	if a.start != b.start {
		return cmp.Compare(a.start, b.start)
	}
	return cmp.Or(cmp.Compare(l.length(b), l.length(a)), cmp.Compare(i, k))
}

// inOrder sorts the blocks in place, without regard to the order in the file.
type inOrder struct{ *Lane }

func (l inOrder) Swap(i, j int) {
	a, b := l.at(i), l.at(j)
	*a, *b = *b, *a
}

func (l inOrder) Less(i, j int) bool {
	a, b := l.at(i), l.at(j)
	return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(l.length(b), l.length(a)),
		cmp.Compare(a.name, b.name), cmp.Compare(a.link, b.link), cmp.Compare(a.external, b.external)) < 0
}
