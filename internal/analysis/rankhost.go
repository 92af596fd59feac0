package analysis

import (
	"cmp"
	"slices"
	"strings"

	"profjob/internal/trace"
)

// hostCollectives are the collectives of a trace without devices, by their start: spans
// that a rank is in until it leaves together with the others.
//
// Those are Gloo's own, MPI's and UCC's, which torch writes as annotations of the
// threads that do the work ("gloo:all_reduce"), and those in shared memory of vLLM and
// SGLang (csrc/cpu/shm.cpp). Operators of c10d are none: they return when the work is
// queued, and where it is waited for no operator tells.
func hostCollectives(c *trace.Columns, steps []Step) []Collective {
	is := make([]bool, len(c.Names))
	for id, name := range c.Names {
		is[id] = isHostCollective(name)
	}
	var all []Collective
	for _, l := range c.Lanes {
		if l.Device {
			continue
		}
		for s := range l.Spans() {
			if is[s.Name] && (s.Kind == trace.Operator || s.Kind == trace.HostAnnotation) {
				all = append(all, Collective{Name: c.Name(s.Name), Start: plus(c.Base, s.Start), End: plus(c.Base, s.End())})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Collective) int { return cmp.Compare(a.Start, b.Start) })
	order := inTime(steps)
	for i := range all {
		all[i].Step = stepAt(steps, order, all[i].Start)
	}
	return all
}

func isHostCollective(name string) bool {
	for _, backend := range []string{"gloo:", "mpi:", "ucc:"} {
		if strings.HasPrefix(name, backend) {
			return true
		}
	}
	for _, operator := range []string{"shm_allreduce", "shm_all_reduce", "shm_allgather", "shm_all_gather", "shm_gather"} {
		if strings.HasSuffix(name, "::"+operator) {
			return true
		}
	}
	return false
}
