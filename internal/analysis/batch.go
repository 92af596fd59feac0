package analysis

import (
	"math/bits"
	"slices"
	"strconv"

	"profjob/internal/trace"
)

// grouping shares out the steps. The smallest groups are the leaves: steps of a class
// with about the same batch. Leaf 0 is what is in no step.
type grouping struct {
	leaves  []leaf
	classes []trace.Class // that there are
	leafOf  []int32       // by step
}

type leaf struct {
	index int32
	class int32  // index into the classes, nowhere for leaf 0
	batch string // empty where the batch is not known
	of    string // what is counted in the batch
}

// maxExactBatches is up to how many different batches of a class stand for themselves.
const maxExactBatches = 8

func groupingOf(steps []Step) *grouping {
	g := &grouping{leaves: []leaf{{class: nowhere}}, leafOf: make([]int32, len(steps))}
	members := map[trace.Class][]int{}
	for i := range steps {
		members[steps[i].Class] = append(members[steps[i].Class], i)
	}
	for _, class := range []trace.Class{trace.Prefill, trace.Decode, trace.Mixed, trace.Idle, trace.Unknown} {
		if len(members[class]) > 0 {
			g.class(class, members[class], steps)
		}
	}
	return g
}

// leafFor is the leaf of a step's index, which may be nowhere.
func (g *grouping) leafFor(step int32) int32 {
	if step == nowhere {
		return 0
	}
	return g.leafOf[step]
}

func (g *grouping) class(class trace.Class, members []int, steps []Step) {
	index := int32(len(g.classes))
	g.classes = append(g.classes, class)
	size, of := batchesOf(members, steps)
	var sizes []int64
	for _, i := range members {
		sizes = append(sizes, size(&steps[i]))
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	exact := len(sizes) <= maxExactBatches || len(sizes) == maxExactBatches+1 && sizes[0] == NotKnown
	leafOf := map[int64]int32{} // by the smallest batch in it
	for _, n := range sizes {
		least, most := n, n
		if !exact {
			least, most = powersAround(n)
		}
		if _, ok := leafOf[least]; !ok {
			leafOf[least] = int32(len(g.leaves))
			g.leaves = append(g.leaves, leaf{index: int32(len(g.leaves)), class: index, batch: batchText(least, most), of: of})
		}
	}
	for _, i := range members {
		n := size(&steps[i])
		if !exact {
			n, _ = powersAround(n)
		}
		g.leafOf[i] = leafOf[n]
	}
}

// batchesOf says what a batch of these steps is measured in: tokens, requests where no
// step tells its tokens.
func batchesOf(members []int, steps []Step) (size func(*Step) int64, of string) {
	for _, i := range members {
		if steps[i].Tokens >= 0 {
			return func(s *Step) int64 { return max(s.Tokens, NotKnown) }, "tokens"
		}
	}
	return func(s *Step) int64 { return max(s.Requests, NotKnown) }, "requests"
}

// powersAround gives the range from a power of two to below the next that n is in.
func powersAround(n int64) (least, most int64) {
	if n <= 1 {
		return n, n
	}
	least = 1 << (bits.Len64(uint64(n)) - 1)
	return least, least + (least - 1)
}

func batchText(least, most int64) string {
	switch {
	case least < 0:
		return ""
	case least == most:
		return strconv.FormatInt(least, 10)
	}
	return strconv.FormatInt(least, 10) + ".." + strconv.FormatInt(most, 10)
}
