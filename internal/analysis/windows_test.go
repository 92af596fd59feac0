package analysis

import (
	"math/rand/v2"
	"testing"

	"profjob/internal/trace"
)

// TestWindows holds the ways to find a time's step against each other, and the parts
// of spans against what they make in all.
func TestWindows(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var passes []trace.Pass
		for at := int64(0); len(passes) < r.IntN(12); {
			at += r.Int64N(5) - 1 // hostile ones overlap
			end := at + r.Int64N(10)
			passes = append(passes, trace.Pass{Start: at, End: end})
			at = end
		}
		w := windowsOf(passes, 0)
		steps, parts := cursor{windows: w}, splitter{windows: w}
		length := make([]int64, len(w))
		for at := int64(-5); at < 120; at++ {
			want := int32(nowhere)
			for i := range w {
				if w[i].start <= at && at < w[i].end {
					want = int32(i)
				}
			}
			if got := w.at(at); got != want {
				t.Fatalf("seed %d: at(%d) = %d, want %d", seed, at, got, want)
			}
			if got := steps.at(at); got != want {
				t.Fatalf("seed %d: cursor at %d gives %d, want %d", seed, at, got, want)
			}
		}
		for at := int64(-5); at < 120; {
			to := at + r.Int64N(20)
			parts.split(at, to, func(step int, n int64) { length[step] += n })
			at = to
		}
		for i := range w {
			if want := w[i].end - w[i].start; length[i] != want {
				t.Fatalf("seed %d: parts of step %d make %d, want %d", seed, i, length[i], want)
			}
		}
	}
}
