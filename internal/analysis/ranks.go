package analysis

import (
	"cmp"
	"math"
	"slices"
)

// ranks holds readings against each other by the collectives that they leave together.
// The clocks of hosts differ, so waits are not told by when ranks entered: all leave a
// collective at about the same time, so the one that was in it for the shortest was the
// last to enter, and each other waited for as much longer as it was in it. The first of
// several with the same shortest time counts as last.
//
// Row n of each rank's steps is of the same step. There is nothing, nil, to be said of
// readings that are not the ranks of one group: whose world sizes differ, or of which
// two have the same rank.
func ranks(readings []Reading) []RankSkew {
	group := groupOf(readings)
	if len(group) < 2 {
		return nil
	}
	steps := commonSteps(group)
	rows := make([]RankSkew, len(group))
	for i, r := range group {
		rows[i] = RankSkew{File: r.Trace.File, Rank: rankOf(r)}
		for _, together := range steps {
			s := &r.Trace.Steps[together[i]]
			rows[i].Steps = append(rows[i].Steps, RankStep{Index: s.Index, Duration: max(s.Duration, 0)})
		}
	}
	oneClock := oneHost(group)
	for _, q := range match(group, steps) {
		for ; len(q.at) > 0; q.at = q.at[len(group):] {
			if at := q.at[:len(group)]; !oneClock || atOnce(group, at) {
				tally(group, rows, q.step, at)
			}
		}
	}
	if rows[0].Collectives == 0 {
		return nil
	}
	return rows
}

// tally adds one collective to the ranks' rows.
func tally(group []*Reading, rows []RankSkew, step int, at []int32) {
	last, shortest := 0, int64(math.MaxInt64)
	for i, r := range group {
		if length := inside(&r.Collectives[at[i]]); length < shortest {
			last, shortest = i, length
		}
	}
	waited := false
	for i, r := range group {
		wait := inside(&r.Collectives[at[i]]) - shortest
		waited = waited || wait > 0
		rows[i].Collectives++
		rows[i].Wait = plus(rows[i].Wait, wait)
		rows[last].Caused = plus(rows[last].Caused, wait)
		if step >= 0 {
			rows[i].Steps[step].Wait = plus(rows[i].Steps[step].Wait, wait)
		}
	}
	if !waited {
		return // all entered at once
	}
	rows[last].Last++
	if step >= 0 {
		rows[last].Steps[step].Last++
	}
}

// oneHost says whether all ranks were on one host, so that their clocks are the same.
func oneHost(group []*Reading) bool {
	for _, r := range group {
		if r.Trace.Host == "" || r.Trace.Host != group[0].Trace.Host {
			return false
		}
	}
	return true
}

// clockSlack is how far apart the clocks of devices of one host may be.
const clockSlack = 1_000_000

// atOnce says whether there was a time when all ranks were in a collective. If not, it
// is not the same one (pipeline stages and other groups within the group have as many),
// or a broadcast that its source left before the others came: nobody waited.
func atOnce(group []*Reading, at []int32) bool {
	begin, end := int64(math.MinInt64), int64(math.MaxInt64)
	for i, r := range group {
		c := &r.Collectives[at[i]]
		begin, end = max(begin, c.Start), min(end, c.End)
	}
	return begin <= plus(end, clockSlack)
}

// inside is for how long a rank was in a collective, from 0.
func inside(c *Collective) int64 {
	if c.End <= c.Start {
		return 0
	}
	return plus(c.End, minus(c.Start))
}

// groupOf are the readings that have collectives, by rank, if they can be of one group.
func groupOf(readings []Reading) []*Reading {
	var group []*Reading
	seen := map[int]bool{}
	for i := range readings {
		r := &readings[i]
		if len(r.Collectives) == 0 {
			continue
		}
		rank := rankOf(r)
		if rank != NotKnown && seen[rank] || len(group) > 0 && worldOf(r) != worldOf(group[0]) {
			return nil
		}
		seen[rank] = true
		group = append(group, r)
	}
	slices.SortStableFunc(group, func(a, b *Reading) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	return group
}

func rankOf(r *Reading) int  { return known(r.Trace.Rank) }
func worldOf(r *Reading) int { return known(r.Trace.WorldSize) }

func known(n *int) int {
	if n == nil || *n < 0 {
		return NotKnown
	}
	return *n
}
