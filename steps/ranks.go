package steps

import (
	"fmt"
	"strconv"
	"strings"

	"profjob/internal/archive"
	"profjob/internal/trace"
)

// dropAmbiguousRanks takes back the rank of traces that share one: the ranks of a
// data-parallel vLLM all call themselves rank 0 (0.32.0).
func dropAmbiguousRanks(result *VerifyResult) {
	type key struct {
		target, endpoint string
		rank             int
	}
	seen := map[key]int{}
	of := func(w archive.Window) (key, bool) {
		if w.Rank == nil {
			return key{}, false
		}
		k := key{target: w.Target, rank: *w.Rank}
		if w.Endpoint != nil {
			k.endpoint = *w.Endpoint
		}
		return k, true
	}
	for _, w := range result.Windows {
		if k, ok := of(w); ok {
			seen[k]++
		}
	}
	ambiguous := map[string]bool{} // by file
	for i, w := range result.Windows {
		if k, ok := of(w); ok && seen[k] > 1 {
			result.Windows[i].Rank = nil
			ambiguous[w.File] = true
		}
	}
	for i, f := range result.Files {
		if ambiguous[f.Path] || ambiguous[trace.CutName(f.Path)] {
			result.Files[i].Rank = nil
		}
	}
}

// missingTraces names the traces that were not collected: ranks of a process group,
// of which each trace tells how many it has, and whole endpoints.
func missingTraces(read []scanned, window WindowResult) []string {
	var missing []string
	for _, t := range tracedTargets(read, window) {
		ranks := t.missingRanks()
		missing = append(missing, ranks...)
		if len(ranks) > 0 {
			continue
		}
		if have := t.groups(); have < len(t.endpoints) {
			missing = append(missing, fmt.Sprintf("%s: the %d traces are those of %d of the endpoints %s, and do not tell of which: does every one of them write into trace_dir?",
				t.name, t.traces, have, strings.Join(t.endpoints, ", ")))
		}
	}
	return missing
}

// traced is a target with what its traces tell of its process groups.
type traced struct {
	name      string
	at        string   // the sole endpoint, for messages
	endpoints []string // that must have written: all that were not lost
	traces    int
	alone     int                 // traces that are a group of their own, or do not tell
	sizes     []int               // of the groups, in the order of the traces
	ranks     map[int]map[int]int // by size: how many traces there are of each rank
}

// tracedTargets gives the targets that must have traces, in the window's order.
func tracedTargets(read []scanned, window WindowResult) []*traced {
	var all []*traced
	find := func(name string) *traced {
		for _, t := range all {
			if t.name == name {
				return t
			}
		}
		all = append(all, &traced{name: name, ranks: map[int]map[int]int{}})
		return all[len(all)-1]
	}
	for _, e := range window.Endpoints {
		if t := find(e.Target); !e.Lost() {
			t.endpoints = append(t.endpoints, e.Endpoint)
		}
	}
	for _, r := range read {
		find(r.file.Target).add(r)
	}
	return all
}

func (t *traced) add(r scanned) {
	t.traces++
	if r.file.Endpoint != nil {
		t.at = " at " + *r.file.Endpoint
	}
	rank, size := r.scan.Rank, r.scan.WorldSize
	if rank == nil || size == nil || *size < 2 {
		t.alone++
		return
	}
	if t.ranks[*size] == nil {
		t.ranks[*size] = map[int]int{}
		t.sizes = append(t.sizes, *size)
	}
	t.ranks[*size][*rank]++
}

func (t *traced) missingRanks() []string {
	var missing []string
	for _, size := range t.sizes {
		if absent := absentOf(t.ranks[size], size); absent != "" {
			missing = append(missing, fmt.Sprintf("%s%s: there is no trace of rank %s of %d", t.name, t.at, absent, size))
		}
	}
	return missing
}

// groups is how many process groups the traces are of, where no rank is missing.
func (t *traced) groups() int {
	n := t.alone
	for _, size := range t.sizes {
		whole := t.traces
		for rank := range size {
			whole = min(whole, t.ranks[size][rank])
		}
		n += whole
	}
	return n
}

// absentOf lists the numbers below n of which there is none, the first few of them.
func absentOf(present map[int]int, n int) string {
	const most = 16
	var absent []string
	for i := 0; i < n && len(absent) <= most; i++ {
		if present[i] == 0 {
			absent = append(absent, strconv.Itoa(i))
		}
	}
	if len(absent) > most {
		absent[most] = "…"
	}
	return strings.Join(absent, ", ")
}

// unlikeRanks marks ranks of one engine core (they have ranks of their own in one
// process group) whose engine steps are not the first rank's.
func unlikeRanks(windows []archive.Window) {
	first := map[string]archive.Window{}
	for i, w := range windows {
		if w.Rank == nil || !w.Exact || w.Asked.Kind == "manual" {
			continue
		}
		core := w.Target
		if w.Core != nil {
			core += fmt.Sprintf(" core %d", *w.Core)
		}
		if w.Endpoint != nil {
			core += " " + *w.Endpoint
		}
		lead, ok := first[core]
		if !ok {
			first[core] = w
			continue
		}
		if how := unlike(lead.Got.EngineSteps, w.Got.EngineSteps); how != "" {
			windows[i].Exact = false
			windows[i].Reason = fmt.Sprintf("its engine steps are not those of rank %d: %s", *lead.Rank, how)
		}
	}
}

// unlike says in what two ranks' engine steps differ; empty if they may be the same.
// Steps that all look the same, as in steady decode, are told apart by their times.
func unlike(a, b []archive.Step) string {
	if len(a) != len(b) {
		return fmt.Sprintf("it has %d, not %d", len(b), len(a))
	}
	for i := range a {
		if !sameStep(a[i], b[i]) {
			return fmt.Sprintf("the %d. is %s, not %s", i+1, b[i].Name, a[i].Name)
		}
		if !overlap(a[i], b[i]) {
			return fmt.Sprintf("the two do not run their %d. at the same time", i+1)
		}
	}
	return ""
}

func overlap(a, b archive.Step) bool {
	return a.StartNS <= b.StartNS+b.DurationNS && b.StartNS <= a.StartNS+a.DurationNS
}

// sameStep tells whether two ranks may have recorded the same engine step, by what
// their evidence tells of it.
func sameStep(a, b archive.Step) bool {
	same := func(x, y *int) bool { return x == nil || y == nil || *x == *y }
	return a.Name == b.Name && a.Class == b.Class && same(a.Requests, b.Requests) && same(a.Tokens, b.Tokens)
}
