package analysis

import (
	"cmp"
	"slices"
	"strings"

	"profjob/internal/trace"
)

// Limits on the rows of one list.
const (
	maxTotalRows = 1000
	maxClassRows = 200
	maxBatchRows = 50
	// maxSparks is how many rows of the whole trace say what they were in each step.
	maxSparks = 20
)

// group makes the groups of a trace.
func (w *work) group(t *Trace) {
	for i := range w.steps {
		w.steps[i].Device = w.onDevice[i].time(w.columns.Base)
	}
	total := w.level(1, w.partOf(func(l *leaf) int32 { return 0 }), maxTotalRows, true)
	t.Total = total.groups[0]
	w.wholeTrace(t)
	w.sparks(&t.Total, total)

	classes := w.level(len(w.classes), w.partOf(func(l *leaf) int32 { return l.class }), maxClassRows, false)
	batches := w.level(len(w.leaves), w.partOf(w.batchOf), maxBatchRows, false)
	t.Classes = classes.groups
	for i := range t.Classes {
		t.Classes[i].Class = w.classes[i]
	}
	for i, l := range w.leaves {
		if l.batch != "" {
			g := batches.groups[i]
			g.Class, g.Batch, g.BatchOf = w.classes[l.class], l.batch, l.of
			t.Classes[l.class].Batches = append(t.Classes[l.class].Batches, g)
		}
	}
}

func (w *work) partOf(group func(*leaf) int32) []int32 {
	of := make([]int32, len(w.leaves))
	for i := range w.leaves {
		of[i] = group(&w.leaves[i])
	}
	return of
}

// batchOf: the leaves with a batch are groups themselves.
func (w *work) batchOf(l *leaf) int32 {
	if l.batch == "" {
		return nowhere
	}
	return l.index
}

// wholeTrace puts right what is not a sum over steps.
func (w *work) wholeTrace(t *Trace) {
	g := &t.Total
	g.Device = w.allDevice.time(w.columns.Base)
	if len(w.steps) == 0 && g.Device != nil {
		parts := partsOf(max(t.End-t.Start, 0), g.Device)
		g.Share = parts.list()
	}
}

// level is one way to put leaves together to groups.
type level struct {
	*work
	of     []int32 // which group a leaf is part of, nowhere for none
	limit  int     // rows
	groups []Group

	operators *ledger[operatorRow]
	kernels   *ledger[kernelRow]
	top       [2][]trace.NameID // of the first group, the leading operators and kernels
}

// level makes n groups. Idle passes are no steps of a group that has other ones, too.
func (w *work) level(n int, of []int32, limit int, withoutIdle bool) *level {
	v := &level{work: w, of: of, limit: limit, groups: make([]Group, n)}
	v.sumSteps(withoutIdle)
	v.sumLeaves(withoutIdle)
	v.sumLaunches()
	v.operators = w.operators.merge(of, (*operatorRow).add)
	v.kernels = w.kernels.merge(of, (*kernelRow).add)
	for i, rows := range v.operators.byGroup(n) {
		v.listOperators(&v.groups[i], rows)
	}
	for i, rows := range v.kernels.byGroup(n) {
		v.listKernels(&v.groups[i], rows)
	}
	return v
}

// sumSteps adds up the steps' durations and what devices did for them.
func (v *level) sumSteps(withoutIdle bool) {
	durations, spans := make([][]int64, len(v.groups)), make([][]int64, len(v.groups))
	parts := make([]deviceParts, len(v.groups))
	for i := range v.steps {
		s, g := &v.steps[i], v.of[v.leafOf[i]]
		if g == nowhere || withoutIdle && s.Class == trace.Idle {
			continue
		}
		durations[g] = append(durations[g], s.Duration)
		parts[g].add(partsOf(s.Duration, s.Device))
		if s.Device != nil {
			spans[g] = append(spans[g], s.Device.Span)
			if v.groups[g].Device == nil {
				v.groups[g].Device = &DeviceTime{}
			}
			v.groups[g].Device.add(s.Device)
		}
	}
	for i := range v.groups {
		g := &v.groups[i]
		g.Steps, g.Duration = len(durations[i]), spread(durations[i])
		if len(spans[i]) > 0 {
			s := spread(spans[i])
			g.DeviceSpan = &s
		}
		if !v.onHostOnly() {
			g.Share = parts[i].list()
		}
	}
}

// sumLeaves adds up what is known by leaf. On a host without devices the time of the
// steps' thread is shared out by what its operators are for.
func (v *level) sumLeaves(withoutIdle bool) {
	byCategory := make([]leafSums, len(v.groups))
	for i := range v.sums {
		g := v.of[i]
		if g == nowhere {
			continue
		}
		v.groups[g].FLOPs += v.sums[i].flops
		if c := v.leaves[i].class; withoutIdle && c != nowhere && v.classes[c] == trace.Idle {
			continue
		}
		for category, length := range v.sums[i].byCategory {
			byCategory[g].add(uint16(category), length)
		}
		byCategory[g].inOperators += v.sums[i].inOperators
	}
	if !v.onHostOnly() {
		return
	}
	for i := range v.groups {
		g := &v.groups[i]
		parts := []Part{{"outside of operators", g.Duration.Sum - byCategory[i].inOperators}}
		for category, length := range byCategory[i].byCategory {
			parts = append(parts, Part{v.texts[category], length})
		}
		g.Share = largestFirst(parts)
	}
}

// sumLaunches says what it took to get work onto the device.
func (v *level) sumLaunches() {
	for i := range v.sums {
		if g := v.of[i]; g != nowhere && v.sums[i].launches > 0 {
			v.groups[g].launching().add(&v.sums[i])
		}
	}
	delays := v.delaysOf()
	for i := range delays {
		if len(delays[i]) > 0 {
			v.groups[i].launching().Delay = spread(delays[i])
		}
	}
}

// delaysOf gives the delays of each group's launches. They lie in one piece of memory,
// which all levels use.
func (v *level) delaysOf() [][]int64 {
	counts := make([]int, len(v.groups))
	n := 0
	for i := range v.launches.list {
		if g := v.groupOf(&v.launches.list[i]); g != nowhere {
			counts[g]++
			n++
		}
	}
	if v.delays == nil {
		v.delays = make([]int64, n) // the whole trace comes first and has all
	}
	groups := make([][]int64, len(v.groups))
	at := 0
	for g, n := range counts {
		groups[g] = v.delays[at : at : at+n]
		at += n
	}
	for i := range v.launches.list {
		l := &v.launches.list[i]
		if g := v.groupOf(l); g != nowhere {
			groups[g] = append(groups[g], l.time)
		}
	}
	return groups
}

// groupOf is nowhere, too, for a launch whose delay is not known.
func (v *level) groupOf(l *launch) int32 {
	if !l.isAnswered() {
		return nowhere
	}
	return v.of[v.leafFor(l.step)]
}

func (g *Group) launching() *Launching {
	if g.Launch == nil {
		g.Launch = &Launching{}
	}
	return g.Launch
}

func (l *Launching) add(s *leafSums) {
	l.Calls += s.launches
	l.Time += s.launchTime
	l.Short += s.short
}

func (v *level) listOperators(g *Group, rows []uint32) {
	self := func(i uint32) int64 { return v.operators.rows[i].self }
	rows = v.cut(g, rows, v.operators.keys, self)
	g.Operators = make([]Operator, len(rows))
	for i, n := range rows {
		r, name := &v.operators.rows[n], v.operators.keys[n].name
		g.Operators[i] = Operator{Name: v.columns.Names[name], Category: v.operatorCategory(name),
			Count: r.count, Self: r.self, Total: r.total, Device: r.device, FLOPs: r.flop}
	}
	v.top[0] = leading(rows, v.operators.keys)
}

func (v *level) listKernels(g *Group, rows []uint32) {
	var counts []Category // by number
	for _, n := range rows {
		r := &v.kernels.rows[n]
		c := int(v.kernelCategoryOf(v.kernels.keys[n].name, r.kind))
		for len(counts) <= c {
			counts = append(counts, Category{})
		}
		counts[c].Name = v.texts[c]
		counts[c].Count += r.count
		counts[c].Time += r.time
	}
	g.Categories = append([]Category{}, slices.DeleteFunc(counts, func(c Category) bool { return c.Count == 0 })...)
	slices.SortFunc(g.Categories, func(a, b Category) int { return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Name, b.Name)) })

	time := func(i uint32) int64 { return v.kernels.rows[i].time }
	rows = v.cut(g, rows, v.kernels.keys, time)
	g.Kernels = make([]Kernel, len(rows))
	for i, n := range rows {
		r, name := &v.kernels.rows[n], v.kernels.keys[n].name
		g.Kernels[i] = Kernel{Name: v.columns.Names[name], Category: v.texts[v.kernelCategoryOf(name, r.kind)],
			Count: r.count, Time: r.time, Min: r.min, Max: r.max}
	}
	v.top[1] = leading(rows, v.kernels.keys)
}

// cut sorts rows, the largest first, and cuts them at the limit.
func (v *level) cut(g *Group, rows []uint32, keys []rowKey, value func(uint32) int64) []uint32 {
	slices.SortFunc(rows, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(value(b), value(a)), strings.Compare(v.columns.Names[keys[a].name], v.columns.Names[keys[b].name]))
	})
	if len(rows) > v.limit {
		g.LeftOut += len(rows) - v.limit
		rows = rows[:v.limit]
	}
	return rows
}

func leading(rows []uint32, keys []rowKey) []trace.NameID {
	var names []trace.NameID
	for _, n := range rows[:min(len(rows), maxSparks)] {
		names = append(names, keys[n].name)
	}
	return names
}
