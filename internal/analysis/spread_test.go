package analysis

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	hundred := make([]int64, 100)
	for i := range hundred {
		hundred[i] = int64(i + 1)
	}
	rand.Shuffle(100, func(i, j int) { hundred[i], hundred[j] = hundred[j], hundred[i] })
	for _, c := range []struct {
		values []int64
		want   Spread
	}{
		{nil, Spread{}},
		{[]int64{7}, Spread{1, 7, 7, 7, 7, 7, 7}},
		{[]int64{3, -1}, Spread{2, 2, -1, -1, 3, 3, 3}},
		{[]int64{3, 1, 2}, Spread{3, 6, 1, 2, 3, 3, 3}},
		{hundred, Spread{100, 5050, 1, 50, 90, 99, 100}},
	} {
		if got := spread(c.values); !cmp.Equal(got, c.want) {
			t.Errorf("spread(%v) = %+v, want %+v", c.values, got, c.want)
		}
	}
}

// TestUnion holds the sweep against one that marks every ns.
func TestUnion(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var spans [][2]int64
		for range r.IntN(20) + 1 {
			start := r.Int64N(100) - 50
			spans = append(spans, [2]int64{start, start + r.Int64N(15)})
		}
		slices.SortFunc(spans, func(a, b [2]int64) int { return int(a[0] - b[0]) })
		u := union{end: spans[0][0]}
		marked := map[int64]bool{}
		for _, s := range spans {
			u.add(s[0], s[1])
			for at := s[0]; at < s[1]; at++ {
				marked[at] = true
			}
		}
		if u.sum != int64(len(marked)) {
			t.Fatalf("seed %d: %v: %d, want %d", seed, spans, u.sum, len(marked))
		}
	}
}
