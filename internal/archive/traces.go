package archive

import (
	"cmp"
	"slices"
)

// TraceGroup is the traces of one target in one round.
type TraceGroup struct {
	Round  int
	Target string
	Files  []File
}

// Traces gives the workers' traces by round and target: of the attempt that counts, and
// of a trace that was cut to its window, what is left of it.
func (m *Manifest) Traces() []TraceGroup { return TracesOf(m.Files, m.Rounds) }

// TracesOf is [Manifest.Traces] of what a manifest will hold.
func TracesOf(files []File, rounds []Round) []TraceGroup {
	uncut := map[string]bool{}
	last := map[int]int{} // attempt by round
	for _, f := range files {
		if f.Kind == KindTrace {
			uncut[f.TrimmedFrom] = true
			last[f.Round] = max(last[f.Round], f.Attempt)
		}
	}
	for _, r := range rounds {
		for _, w := range r.Windows {
			last[r.Number] = w.Attempt
		}
	}
	var groups []TraceGroup
	for _, f := range files {
		if f.Kind != KindTrace || uncut[f.Path] || f.Attempt != last[f.Round] {
			continue
		}
		i := slices.IndexFunc(groups, func(g TraceGroup) bool { return g.Round == f.Round && g.Target == f.Target })
		if i < 0 {
			i = len(groups)
			groups = append(groups, TraceGroup{Round: f.Round, Target: f.Target})
		}
		groups[i].Files = append(groups[i].Files, f)
	}
	slices.SortStableFunc(groups, func(a, b TraceGroup) int {
		return cmp.Or(cmp.Compare(a.Round, b.Round), cmp.Compare(a.Target, b.Target))
	})
	for _, g := range groups {
		slices.SortFunc(g.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	}
	return groups
}
