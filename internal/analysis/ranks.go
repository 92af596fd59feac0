package analysis

import (
	"slices"
	"time"
)

// ranks holds readings against each other. The clocks of two hosts differ, but the ranks
// of a group leave a collective together, so each collective is a clock of its own: the
// rank that was in it for the shortest time entered it last, and the others waited for
// it for as long as they were in it longer.
//
// Which ranks are a group is found from the traces: those whose collectives have the
// same names in the same order, and ends that stay the same distance apart.
func ranks(readings []Reading) []RankSkew {
	var all []RankSkew
	group := 0
	for _, g := range groupsOf(readings) {
		if len(g.members) < 2 {
			continue
		}
		for _, s := range g.skews(readings) {
			s.Group = group
			all = append(all, s)
		}
		group++
	}
	return all
}

// rankGroup are readings that have collectives in common with the first of them.
type rankGroup struct {
	members []int // indexes of readings
	// matched are, for each member, the indexes of its collectives that answer the
	// leader's, -1 where none does.
	matched [][]int32
}

func groupsOf(readings []Reading) []*rankGroup {
	var groups []*rankGroup
	for i := range readings {
		r := readings[i].Collectives
		if len(r) == 0 || len(r) > 1<<31-1 {
			continue
		}
		joined := false
		for _, g := range groups {
			if matched := match(readings[g.members[0]].Collectives, r); matched != nil {
				g.members, g.matched = append(g.members, i), append(g.matched, matched)
				joined = true
				break
			}
		}
		if !joined {
			own := make([]int32, len(r))
			for k := range own {
				own[k] = int32(k)
			}
			groups = append(groups, &rankGroup{members: []int{i}, matched: [][]int32{own}})
		}
	}
	return groups
}

// match answers each of the leader's collectives with one of the other's, or -1; nil
// where the two have none in common.
func match(leader, of []Collective) []int32 {
	var best []int32
	most := 0
	for _, by := range []func(a, b []Collective) []int32{matchBySteps, matchStarts, matchEnds} {
		matched := by(leader, of)
		n := 0
		for _, k := range matched {
			if k >= 0 {
				n++
			}
		}
		if n > most && leaveTogether(leader, of, matched) {
			best, most = matched, n
		}
	}
	return best
}

// matchBySteps matches the collectives of each step that has the same ones on both.
func matchBySteps(a, b []Collective) []int32 {
	matched := none(len(a))
	inB := map[int][]int32{}
	for k := range b {
		if b[k].Step >= 0 {
			inB[b[k].Step] = append(inB[b[k].Step], int32(k))
		}
	}
	inA := map[int][]int32{}
	for k := range a {
		if a[k].Step >= 0 {
			inA[a[k].Step] = append(inA[a[k].Step], int32(k))
		}
	}
	for step, as := range inA {
		bs := inB[step]
		if len(as) != len(bs) || !slices.EqualFunc(as, bs, func(i, j int32) bool { return a[i].Name == b[j].Name }) {
			continue
		}
		for n, i := range as {
			matched[i] = bs[n]
		}
	}
	return matched
}

// matchStarts matches one after the other from the first, as long as names agree.
func matchStarts(a, b []Collective) []int32 {
	matched := none(len(a))
	for k := 0; k < len(a) && k < len(b) && a[k].Name == b[k].Name; k++ {
		matched[k] = int32(k)
	}
	return matched
}

// matchEnds does so backwards from the last: profilers rarely begin together.
func matchEnds(a, b []Collective) []int32 {
	matched := none(len(a))
	for k, n := len(a)-1, len(b)-1; k >= 0 && n >= 0 && a[k].Name == b[n].Name; k, n = k-1, n-1 {
		matched[k] = int32(n)
	}
	return matched
}

func none(n int) []int32 {
	m := make([]int32, n)
	for i := range m {
		m[i] = -1
	}
	return m
}

// leastApart is by how much the ends of one collective may differ at least.
const leastApart = int64(100 * time.Microsecond)

// leaveTogether says whether the ends of what was matched are about the same distance
// apart: half of them within half of what lies between two collectives. Ranks of
// different groups drift apart by more.
func leaveTogether(a, b []Collective, matched []int32) bool {
	var apart, between []int64
	last := int64(0)
	for i, k := range matched {
		if k < 0 {
			continue
		}
		if len(apart) > 0 {
			between = append(between, a[i].End-last)
		}
		last = a[i].End
		apart = append(apart, b[k].End-a[i].End)
	}
	if len(apart) == 0 {
		return false
	}
	middle := median(apart)
	for i := range apart {
		apart[i] = max(apart[i]-middle, middle-apart[i])
	}
	allowed := leastApart
	if len(between) > 0 {
		allowed = max(allowed, median(between)/2)
	}
	return median(apart) <= allowed
}

func median(values []int64) int64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// skews sums up who waited for whom.
func (g *rankGroup) skews(readings []Reading) []RankSkew {
	skews := make([]RankSkew, len(g.members))
	for m, r := range g.members {
		t := &readings[r].Trace
		skews[m] = RankSkew{File: t.File, Rank: NotKnown}
		if t.Rank != nil {
			skews[m].Rank = *t.Rank
		}
		for i := range t.Steps {
			skews[m].Steps = append(skews[m].Steps, RankStep{Index: t.Steps[i].Index, Duration: t.Steps[i].Duration})
		}
	}
	for i := range g.matched[0] {
		g.collective(readings, skews, i)
	}
	return skews
}

// collective adds up one of the leader's collectives.
func (g *rankGroup) collective(readings []Reading, skews []RankSkew, i int) {
	shortest, last, n := int64(0), -1, 0
	each := func(do func(member int, c *Collective)) {
		for m, r := range g.members {
			if k := g.matched[m][i]; k >= 0 {
				do(m, &readings[r].Collectives[k])
			}
		}
	}
	each(func(m int, c *Collective) {
		if length := c.End - c.Start; n == 0 || length < shortest {
			shortest, last = length, m
		}
		n++
	})
	if n < 2 {
		return
	}
	var caused int64
	each(func(m int, c *Collective) {
		wait := c.End - c.Start - shortest
		caused += wait
		skews[m].Collectives++
		skews[m].Wait += wait
		if s := skews[m].step(c.Step); s != nil {
			s.Wait += wait
		}
	})
	if caused == 0 {
		return // they came together
	}
	late := &skews[last]
	late.Last++
	late.Caused += caused
	if s := late.step(readings[g.members[last]].Collectives[g.matched[last][i]].Step); s != nil {
		s.Last++
	}
}

func (s *RankSkew) step(index int) *RankStep {
	if index < 0 || index >= len(s.Steps) {
		return nil
	}
	return &s.Steps[index]
}
