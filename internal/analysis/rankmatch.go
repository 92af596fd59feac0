package analysis

import "math"

// queue is the collectives of one name in one step that all ranks have as many of.
type queue struct {
	step   int     // row of the common steps, -1 outside of them
	counts []int   // by rank
	at     []int32 // their places in the ranks' lists: of one collective after the other, by rank
}

// commonSteps are the steps that all ranks have: for each the places in their lists.
//
// The ranks of a group run the same steps, but one profiler may have been on for longer.
// Steps of the same names in the same order are the same. Else those of the same name
// are that are on at the same time: the clocks of one host are the same, those of
// several hosts closer than a step is long. Else, on clocks further apart, there are none.
func commonSteps(group []*Reading) [][]int {
	first := group[0].Trace.Steps
	common := make([][]int, len(first))
	for i := range common {
		common[i] = []int{i}
	}
	for _, r := range group[1:] {
		partner := sameOrder(first, r.Trace.Steps)
		if partner == nil {
			partner = sameTime(first, r.Trace.Steps)
		}
		kept := common[:0]
		for _, together := range common {
			if j := partner[together[0]]; j >= 0 {
				kept = append(kept, append(together, j))
			}
		}
		common = kept
	}
	return common
}

// sameOrder pairs lists whose names are the same, nil where they are not.
func sameOrder(a, b []Step) []int {
	if len(a) != len(b) {
		return nil
	}
	partner := make([]int, len(a))
	for i := range a {
		if a[i].Name != b[i].Name {
			return nil
		}
		partner[i] = i
	}
	return partner
}

// sameTime pairs each step of a with the one of b that has its name and shares most time
// with it, and more than half of the shorter one's; -1 where there is none. No step of b
// has two partners.
func sameTime(a, b []Step) []int {
	partner := make([]int, len(a))
	for i := range partner {
		partner[i] = -1
	}
	orderB, from, taken := inTime(b), 0, -1
	for _, i := range inTime(a) {
		s := &a[i]
		for from < len(orderB) && ends(&b[orderB[from]]) <= s.Start {
			from++
		}
		var most int64
		best := -1
		begin := max(from, taken+1)
		for n := begin; n < min(len(orderB), begin+maxBeside) && b[orderB[n]].Start < ends(s); n++ {
			other := &b[orderB[n]]
			shared := plus(min(ends(s), ends(other)), minus(max(s.Start, other.Start)))
			if shared > most && shared > min(s.Duration, other.Duration)/2 && other.Name == s.Name {
				most, best = shared, n
			}
		}
		if best >= 0 {
			partner[i], taken = orderB[best], best
		}
	}
	return partner
}

// maxBeside is how many steps of the other rank are looked at: those of a rank follow
// each other, so that few share time with one.
const maxBeside = 64

func ends(s *Step) int64 { return plus(s.Start, max(s.Duration, 0)) }

// match finds the collectives that all ranks have: in each common step the nth of each
// name, where they have as many of that name. Ranks that run several streams may have
// them in another order, but not those of one name. What lies outside of all steps is
// matched in the same way, as is the whole trace where there are no common steps.
func match(group []*Reading, steps [][]int) []queue {
	type key struct {
		name string
		row  int32
	}
	places := map[key]int{}
	var queues []queue
	for i, r := range group {
		rows := rowsOf(r, i, steps)
		for at := range min(len(r.Collectives), math.MaxInt32) {
			k := key{r.Collectives[at].Name, rows[at]}
			if k.row < outside {
				continue
			}
			n, ok := places[k]
			if !ok && i > 0 {
				continue // the first rank has none
			}
			if !ok {
				n = len(queues)
				places[k], queues = n, append(queues, queue{step: int(k.row), counts: make([]int, len(group))})
			}
			queues[n].put(i, at)
		}
	}
	kept := queues[:0]
	for _, q := range queues {
		if q.complete() {
			kept = append(kept, q)
		}
	}
	return kept
}

// put adds a rank's next collective. The first rank's come first.
func (q *queue) put(rank, at int) {
	ranks := len(q.counts)
	if rank == 0 {
		q.at = append(q.at, make([]int32, ranks)...)
	}
	if place := q.counts[rank]*ranks + rank; place < len(q.at) {
		q.at[place] = int32(at)
	}
	q.counts[rank]++
}

// complete says whether all ranks have as many.
func (q *queue) complete() bool {
	for _, n := range q.counts {
		if n != q.counts[0] {
			return false
		}
	}
	return true
}

const (
	outside   = -1 // of all steps
	notCommon = -2 // in a step that some rank lacks
)

// rowsOf tells for each collective of a rank the row of its step.
func rowsOf(r *Reading, rank int, steps [][]int) []int32 {
	row := make(map[int]int32, len(steps)) // by the step's index
	for n, together := range steps {
		row[r.Trace.Steps[together[rank]].Index] = int32(n)
	}
	rows := make([]int32, len(r.Collectives))
	for at := range r.Collectives {
		step := r.Collectives[at].Step
		n, ok := row[step]
		switch {
		case ok:
			rows[at] = n
		case len(steps) > 0 && step >= 0:
			rows[at] = notCommon
		default:
			rows[at] = outside
		}
	}
	return rows
}
