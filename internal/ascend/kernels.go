package ascend

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kernel is all runs of the kernels of one type on one kind of core.
type Kernel struct {
	Type  string // MatMulV2, …; of a collective its name
	Core  string // AI_CORE, AI_VECTOR_CORE, MIX_AIC, AI_CPU, HCCL, …
	Count int
	Time  int64 // ns
	Wait  int64 // ns between the end of the task before and the start, of all of them
	Max   int64 // ns, of one
}

// Type is a type of kernels as op_statistic.csv has it.
type Type struct {
	Type, Core    string
	Count         int
	Time          int64 // ns
	Min, Avg, Max int64 // ns; 0 where the version does not tell
}

// Operator is all calls of one operator of torch.
type Operator struct {
	Name                    string
	Count                   int
	HostSelf, HostTotal     int64 // ns
	DeviceSelf, DeviceTotal int64 // ns of the kernels it launched
	DeviceSelfAI            int64 // ns of those on AI cores
}

// groups adds rows up by a key.
type groups[T any] struct {
	path string
	of   map[string]*T
	list []*T
}

// row gives the group of a key.
func (g *groups[T]) row(key ...string) (row *T, isNew bool, err error) {
	k := strings.Join(key, "\x00")
	if row := g.of[k]; row != nil {
		return row, false, nil
	}
	if len(g.list) == maxGroups {
		return nil, false, fmt.Errorf("read %s: %w: different names (limit %d)", g.path, ErrLimit, maxGroups)
	}
	if g.of == nil {
		g.of = map[string]*T{}
	}
	row = new(T)
	g.of[k] = row
	g.list = append(g.list, row)
	return row, true, nil
}

// sorted gives the groups in an order of theirs.
func (g *groups[T]) sorted(compare func(a, b *T) int) []T {
	slices.SortStableFunc(g.list, compare)
	var all []T
	for _, row := range g.list {
		all = append(all, *row)
	}
	return all
}

// name is a text that is kept.
func (t *table) name(c int) string { return strings.Clone(cut(t.text(c))) }

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxName)], "\ufffd") }

// add is the sum of times, which stays where it would go beyond what an int64 holds.
func add(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxInt64
}

// readKernels reads kernel_details.csv. Its header is, with more columns between and
// behind (torch_npu, _csv_headers.py):
//
//	Device_id,Name,Type,Accelerator Core,Start Time(us),Duration(us),Wait Time(us),Block Num
//
// Versions of CANN name them as in its op_summary: Op Name, OP Type, Task Type, Task
// Duration(us), Task Wait Time(us).
func (d *Dir) readKernels(ctx context.Context, path string) error {
	const (
		kind = iota
		name
		core
		duration
		wait
	)
	g := groups[Kernel]{path: path}
	err := readTable(ctx, path, []column{
		kind:     {names: []string{"type", "optype"}},
		name:     {names: []string{"name", "opname"}, required: true},
		core:     {names: []string{"acceleratorcore", "accelerator", "tasktype"}},
		duration: {names: []string{"duration", "taskduration"}, required: true, digits: 3},
		wait:     {names: []string{"waittime", "taskwaittime"}, digits: 3},
	}, func(t *table) error {
		took, err := t.length(duration)
		if err != nil {
			return err
		}
		waited, err := t.time(wait)
		if err != nil {
			return err
		}
		of := t.text(kind)
		if of == "" || of == "N/A" {
			of = t.text(name)
		}
		of = cut(of)
		k, isNew, err := g.row(of, cut(t.text(core)))
		if err != nil {
			return err
		}
		if isNew {
			k.Type, k.Core = strings.Clone(of), t.name(core)
		}
		k.Count++
		k.Time, k.Wait, k.Max = add(k.Time, took), add(k.Wait, max(waited, 0)), max(k.Max, took)
		return nil
	})
	d.Kernels = g.sorted(func(a, b *Kernel) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Type, b.Type), strings.Compare(a.Core, b.Core))
	})
	return err
}

// readTypes reads op_statistic.csv:
//
//	Device_id,OP Type,Core Type,Count,Total Time(us),Min Time(us),Avg Time(us),Max Time(us),Ratio(%)
func (d *Dir) readTypes(ctx context.Context, path string) error {
	const (
		kind = iota
		core
		count
		total
		least
		average
		most
	)
	g := groups[Type]{path: path}
	err := readTable(ctx, path, []column{
		kind:    {names: []string{"optype", "type"}, required: true},
		core:    {names: []string{"coretype", "acceleratorcore"}},
		count:   {names: []string{"count"}, required: true},
		total:   {names: []string{"totaltime"}, required: true, digits: 3},
		least:   {names: []string{"mintime"}, digits: 3},
		average: {names: []string{"avgtime"}, digits: 3},
		most:    {names: []string{"maxtime"}, digits: 3},
	}, func(t *table) error {
		var times [4]int64
		for i, c := range []int{total, least, average, most} {
			var err error
			if times[i], err = t.length(c); err != nil {
				return err
			}
		}
		n, ok := nanoseconds(t.text(count), 0)
		if !ok || n < 0 || n > maxRows {
			return t.fault(count, "is not a count")
		}
		// Of a process with several devices there is a row for each.
		row, isNew, err := g.row(cut(t.text(kind)), cut(t.text(core)))
		if err != nil {
			return err
		}
		if isNew {
			*row = Type{Type: t.name(kind), Core: t.name(core), Min: times[1]}
		}
		row.Count += int(n)
		row.Time = add(row.Time, times[0])
		row.Min, row.Max = min(row.Min, times[1]), max(row.Max, times[3])
		if row.Avg = times[2]; row.Count > 0 && !isNew {
			row.Avg = row.Time / int64(row.Count)
		}
		return nil
	})
	d.Types = g.sorted(func(a, b *Type) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Type, b.Type), strings.Compare(a.Core, b.Core))
	})
	return err
}

// readOperators reads operator_details.csv (torch_npu, _operator_view_parser.py):
//
//	Name,Input Shapes,Call Stack,Host Self Duration(us),Host Total Duration(us),Device Self Duration(us),Device Total Duration(us),Device Self Duration With AICore(us),Device Total Duration With AICore(us)
func (d *Dir) readOperators(ctx context.Context, path string) error {
	const (
		name = iota
		hostSelf
		hostTotal
		deviceSelf
		deviceTotal
		deviceSelfAI
	)
	g := groups[Operator]{path: path}
	err := readTable(ctx, path, []column{
		name:         {names: []string{"name"}, required: true},
		hostSelf:     {names: []string{"hostselfduration"}, digits: 3},
		hostTotal:    {names: []string{"hosttotalduration"}, digits: 3},
		deviceSelf:   {names: []string{"deviceselfduration"}, required: true, digits: 3},
		deviceTotal:  {names: []string{"devicetotalduration"}, digits: 3},
		deviceSelfAI: {names: []string{"deviceselfdurationwithaicore"}, digits: 3},
	}, func(t *table) error {
		var times [deviceSelfAI + 1]int64
		for c := hostSelf; c <= deviceSelfAI; c++ {
			var err error
			if times[c], err = t.length(c); err != nil {
				return err
			}
		}
		o, isNew, err := g.row(cut(t.text(name)))
		if err != nil {
			return err
		}
		if isNew {
			o.Name = t.name(name)
		}
		o.Count++
		o.HostSelf, o.HostTotal = add(o.HostSelf, times[hostSelf]), add(o.HostTotal, times[hostTotal])
		o.DeviceSelf, o.DeviceTotal = add(o.DeviceSelf, times[deviceSelf]), add(o.DeviceTotal, times[deviceTotal])
		o.DeviceSelfAI = add(o.DeviceSelfAI, times[deviceSelfAI])
		return nil
	})
	d.Operators = g.sorted(func(a, b *Operator) int {
		return cmp.Or(cmp.Compare(b.DeviceSelf, a.DeviceSelf), cmp.Compare(b.HostSelf, a.HostSelf), strings.Compare(a.Name, b.Name))
	})
	return err
}
