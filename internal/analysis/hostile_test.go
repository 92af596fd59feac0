package analysis

import (
	"fmt"
	"testing"
	"time"
)

// within fails a test that takes far longer than its trace is worth.
func within(t *testing.T, limit time.Duration, run func()) {
	t.Helper()
	began := time.Now()
	run()
	took := time.Since(began)
	t.Logf("took %v", took)
	if took > limit {
		t.Errorf("took %v, more than %v", took, limit)
	}
}

func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("makes traces of tens of MB")
	}
	const n = 200_000
	for _, c := range []struct {
		name string
		make func(m *made)
	}{
		{"names", func(m *made) {
			for i := range n {
				m.op(fmt.Sprint("op", i), 1, float64(i), 1)
			}
		}},
		{"depth", func(m *made) {
			for i := range n {
				m.op("deep", 1, float64(i), 1e6)
			}
		}},
		{"steps", func(m *made) {
			for i := range n {
				m.step(fmt.Sprintf("execute_context_0(0)_generation_1(%d)", i), float64(4*i), 3)
				m.op(fmt.Sprint("op", i), "main", float64(4*i), 1)
			}
		}},
		{"streams", func(m *made) {
			for i := range n {
				m.kernel("k", i%5000, float64(i), 1e6, i*7919)
			}
		}},
		{"times", func(m *made) {
			for i := range 1000 {
				m.kernel("k", i, 1e15*float64(i%3-1), 1e15, i)
				m.op("o", i, -1e15, 2e15)
				m.step("execute_context_0(0)_generation_1(1)", 1e15*float64(i%3-1), 1e15)
				m.call("cudaLaunchKernel", 1, -1e15, 1e15, i)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m made
			c.make(&m)
			columns := m.columns(t)
			within(t, 20*time.Second, func() {
				r := of(columns)
				if g := r.Trace.Total; len(g.Operators)+len(g.Kernels) == 0 || len(g.Operators) > maxTotalRows {
					t.Errorf("%d operators, %d kernels", len(g.Operators), len(g.Kernels))
				}
			})
		})
	}
}
