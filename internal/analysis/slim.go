package analysis

import "slices"

// Slim gives the set without the operators and kernels of single classes and batches,
// which a page does not show, so that the sets of many rounds can be held at once.
func (s *Set) Slim() Set {
	slim := *s
	slim.Traces = slices.Clone(s.Traces)
	for i := range slim.Traces {
		slim.Traces[i].Classes = slimGroups(slim.Traces[i].Classes)
	}
	return slim
}

func slimGroups(groups []Group) []Group {
	slim := slices.Clone(groups)
	for i := range slim {
		slim[i].Operators, slim[i].Kernels = nil, nil
		slim[i].Batches = slimGroups(slim[i].Batches)
	}
	return slim
}
