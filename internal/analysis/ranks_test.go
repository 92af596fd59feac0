package analysis

import (
	"math/rand/v2"
	"strings"
	"testing"

	"profjob/internal/trace"
)

// rankOf makes the reading of a rank whose clock is ahead by offset, and which enters
// each collective, all of which end every 1 ms, late by the given times.
func rankOf(rank int, offset int64, name string, late ...int64) Reading {
	r := Reading{Trace: Trace{Rank: &rank, Steps: []Step{{Index: 0, Duration: 10}, {Index: 1, Duration: 20}}}}
	for i, l := range late {
		end := int64(i+1) * 1_000_000
		r.Collectives = append(r.Collectives, Collective{Name: name, Step: i % 2, Start: end - 500_000 + l + offset, End: end + offset})
	}
	return r
}

func TestRanks(t *testing.T) {
	skews := ranks([]Reading{
		rankOf(0, 0, "ncclAllReduce", 0, 0, 300),
		rankOf(1, 1_000_000_000, "ncclAllReduce", 100, 0, 0),
		rankOf(2, -7_000, "ncclAllReduce", 40, 0, 100),
	})
	if len(skews) != 3 {
		t.Fatalf("%+v", skews)
	}
	for i, want := range []RankSkew{
		{Rank: 0, Collectives: 3, Wait: 100, Last: 1, Caused: 300 + 200},
		{Rank: 1, Collectives: 3, Wait: 300, Last: 1, Caused: 100 + 60},
		{Rank: 2, Collectives: 3, Wait: 60 + 200},
	} {
		got := skews[i]
		if got.Rank != want.Rank || got.Collectives != want.Collectives || got.Wait != want.Wait || got.Last != want.Last || got.Caused != want.Caused {
			t.Errorf("rank %d: %+v, want %+v", i, got, want)
		}
	}
	if s := skews[0].Steps; len(s) != 2 || s[0].Wait != 100 || s[0].Last != 1 || s[1].Wait != 0 || s[0].Duration != 10 {
		t.Errorf("steps of rank 0: %+v", s)
	}
}

// TestRanksOfGroups: what two groups do is not held against each other, and who stands
// alone is in none.
func TestRanksOfGroups(t *testing.T) {
	drifts := func(rank int) Reading {
		r := rankOf(rank, 0, "ncclAllReduce", 0, 0, 0, 0, 0, 0)
		for i := range r.Collectives {
			r.Collectives[i].Start += int64(i*i) * 3_000_000
			r.Collectives[i].End += int64(i*i) * 3_000_000
		}
		return r
	}
	skews := ranks([]Reading{
		rankOf(0, 0, "ncclAllReduce", 0, 0, 0, 0, 0, 0), drifts(0), rankOf(1, 5, "ncclAllReduce", 9, 0, 0, 0, 0, 0), drifts(1),
		rankOf(2, 0, "ncclAllGather", 0), {},
	})
	var groups []int
	for _, s := range skews {
		groups = append(groups, s.Group)
	}
	if len(groups) != 4 || groups[0] != 0 || groups[1] != 0 || groups[2] != 1 || groups[3] != 1 {
		t.Errorf("groups %v", groups)
	}
	if alone := ranks([]Reading{rankOf(0, 0, "a", 1, 2)}); alone != nil {
		t.Errorf("%+v", alone)
	}
}

// TestRanksBeginApart: a rank whose profiler began later lacks the first collectives.
func TestRanksBeginApart(t *testing.T) {
	a, b := rankOf(0, 0, "ncclAllReduce", 0, 0, 0, 0, 0), rankOf(1, 0, "ncclAllReduce", 0, 0, 0, 70, 0)
	b.Collectives = b.Collectives[2:]
	for i := range a.Collectives {
		a.Collectives[i].Step = -1
	}
	for i := range b.Collectives {
		b.Collectives[i].Step = -1
	}
	skews := ranks([]Reading{a, b})
	if len(skews) != 2 || skews[0].Collectives != 3 || skews[0].Wait != 70 || skews[1].Last != 1 {
		t.Errorf("%+v", skews)
	}
}

// TestRanksAddUp: of each collective somebody waits for nobody, and what one caused is
// what others waited.
func TestRanksAddUp(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var readings []Reading
		for rank := range 2 + random.IntN(6) {
			late := make([]int64, 50)
			for i := range late {
				late[i] = random.Int64N(400_000)
			}
			readings = append(readings, rankOf(rank, random.Int64N(1<<40), "ncclAllReduce", late...))
		}
		var wait, caused int64
		last := 0
		skews := ranks(readings)
		for _, s := range skews {
			if s.Wait < 0 || s.Caused < 0 {
				t.Fatalf("%+v", s)
			}
			var inSteps int64
			for _, step := range s.Steps {
				inSteps += step.Wait
			}
			if inSteps != s.Wait {
				t.Errorf("waited %d, in steps %d", s.Wait, inSteps)
			}
			wait, caused, last = wait+s.Wait, caused+s.Caused, last+s.Last
		}
		if len(skews) != len(readings) || wait != caused || last != 50 {
			t.Fatalf("%d of %d ranks, waited %d, caused %d, last %d", len(skews), len(readings), wait, caused, last)
		}
	}
}

// TestRanksOfAServer: two ranks of a server on the CPU leave their all-reduces together.
func TestRanksOfAServer(t *testing.T) {
	var inputs []Input
	for _, path := range sharedTraces(t) {
		if strings.Contains(path, "v0.32.0-tp2") {
			inputs = append(inputs, Input{Path: path})
		}
	}
	s, err := ReadSet(t.Context(), inputs, trace.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Ranks) != 2 || s.Ranks[0].Rank == s.Ranks[1].Rank || s.Ranks[0].Group != s.Ranks[1].Group {
		t.Fatalf("%+v", s.Ranks)
	}
	a, b := s.Ranks[0], s.Ranks[1]
	if a.Collectives != 50 || b.Collectives != 50 || a.Last+b.Last != 50 || a.Wait != b.Caused || b.Wait != a.Caused {
		t.Errorf("%+v\n%+v", a, b)
	}
	t.Logf("waits %d and %d ns, last %d and %d times", a.Wait, b.Wait, a.Last, b.Last)
}
