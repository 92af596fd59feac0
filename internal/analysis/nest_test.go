package analysis

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"profjob/internal/trace"
)

// selfAndRoots gives the sum of a thread's self times, and the sum of the spans that
// are not within another, found in another way: as a union.
func selfAndRoots(l *trace.Lane) (self, roots int64, left int) {
	n := nest{leave: func(f *frame) { self += f.self; left++ }}
	n.walk(l)
	var end int64
	first := true
	for s := range l.Spans() {
		if s.Kind != trace.Operator && s.Kind != trace.Launch {
			continue
		}
		if first || s.Start >= end {
			roots += s.Dur
			end = s.End()
		}
		first = false
	}
	return self, roots, left
}

func checkSelf(t *testing.T, c *trace.Columns) {
	t.Helper()
	for _, l := range c.Lanes {
		if l.Device {
			continue
		}
		self, roots, left := selfAndRoots(l)
		calls := 0
		for s := range l.Spans() {
			if s.Kind == trace.Operator || s.Kind == trace.Launch {
				calls++
			}
		}
		if self != roots || left != calls {
			t.Errorf("thread %s %s: self times add up to %d ns, roots to %d; %d left of %d", l.PID, l.TID, self, roots, left, calls)
		}
	}
}

// TestSelfTimes: self times add up to the spans of the roots, on all real threads.
func TestSelfTimes(t *testing.T) {
	eachShared(t, func(t *testing.T, path string) {
		c := columns(t, path)
		checkSelf(t, c)
		var self, want int64
		r := of(c)
		for _, o := range r.Trace.Total.Operators {
			self += o.Self
		}
		for _, l := range c.Lanes {
			if !l.Device {
				_, roots, _ := selfAndRoots(l)
				want += roots
			}
		}
		if r.Trace.Total.LeftOut == 0 && self != want {
			t.Errorf("the operators' self times add up to %d ns, the roots to %d", self, want)
		}
	})
}

// TestSelfTimesMade is the same of threads whose spans need not nest.
func TestSelfTimesMade(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			var m made
			for range 1 + r.IntN(300) {
				start := float64(r.IntN(2000))
				m.op(fmt.Sprint("op", r.IntN(9)), r.IntN(3), start, float64(r.IntN(1+r.IntN(400))))
			}
			checkSelf(t, m.columns(t))
		})
	}
}
