package analysis

import "slices"

// Slim gives the set without the rows that a page does not show, so that those of many
// rounds can be held at once.
func (s *Set) Slim(rows int) Set {
	slim := *s
	slim.Traces = slices.Clone(s.Traces)
	for i := range slim.Traces {
		t := &slim.Traces[i]
		t.Total = t.Total.slim(rows)
		t.Classes = slices.Clone(t.Classes)
		for j := range t.Classes {
			t.Classes[j] = t.Classes[j].slim(0)
			t.Classes[j].Batches = slices.Clone(t.Classes[j].Batches)
			for k := range t.Classes[j].Batches {
				t.Classes[j].Batches[k] = t.Classes[j].Batches[k].slim(0)
			}
		}
	}
	return slim
}

// slim leaves some rows of each list, in a memory of their own.
func (g *Group) slim(rows int) Group {
	slim := *g
	slim.LeftOut += max(len(g.Operators)-rows, 0)
	slim.Operators = slices.Clone(g.Operators[:min(len(g.Operators), rows)])
	slim.Kernels = slices.Clone(g.Kernels[:min(len(g.Kernels), rows)])
	return slim
}
