package trace

import (
	"fmt"
)

// columnsBuilder takes over events one at a time.
type columnsBuilder struct {
	path    string
	columns *Columns
	passes  *collector

	lanes   map[laneKey]*Lane
	current [2]*Lane // the lanes of the host's and the device's event before
	names   map[string]uint32
	counted []counted // by name
	text    int       // bytes of names
	wide    map[int64]uint32
	labels  map[string]*labels
	spans   int
	npu     npu
}

type laneKey struct {
	pid, tid string
	device   bool
}

// labels are what metadata events call a process and its threads.
type labels struct {
	process string
	threads map[string]string
}

func newColumnsBuilder(path string) *columnsBuilder {
	return &columnsBuilder{path: path, columns: &Columns{flops: make([]int64, 1)}, passes: newCollector(path),
		lanes: map[laneKey]*Lane{}, names: map[string]uint32{}, wide: map[int64]uint32{}, labels: map[string]*labels{},
		npu: npu{lanes: map[laneKey]*Lane{}, endsOf: map[laneKey]uint32{}}}
}

func (b *columnsBuilder) add(e *Event) error {
	if err := b.passes.collect(e); err != nil {
		return err
	}
	switch {
	case e.Phase == 'M':
		return b.label(e)
	case !e.Timed:
		return nil
	case e.Phase == 'i' && string(e.Name) == "[memory]":
		return b.memory(e)
	case e.Phase == 's' || e.Phase == 'f':
		return b.flow(e)
	case e.Phase != 'X':
		return nil
	}
	kind, ok := kindOfEvent(e.Category)
	if !ok {
		return b.uncategorised(e)
	}
	return b.span(e, kind)
}

// kindOfEvent tells the kind of what is kept.
func kindOfEvent(category []byte) (Kind, bool) {
	switch string(category) {
	case "cpu_op":
		return Operator, true
	case "user_annotation":
		return HostAnnotation, true
	case "kernel", "concurrent_kernel", "hpu_op", "collective_comm":
		return Kernel, true
	case "gpu_memcpy":
		return Copy, true
	case "gpu_memset":
		return Fill, true
	case "gpu_user_annotation":
		return DeviceAnnotation, true
	}
	return Launch, isLaunch(category)
}

func (b *columnsBuilder) span(e *Event, kind Kind) error {
	l, err := b.lane(e, kind.OnDevice() || kind == DeviceAnnotation)
	if err != nil {
		return err
	}
	name, err := b.name(e.Name)
	if err != nil {
		return err
	}
	if b.spans++; b.spans > maxColumns {
		return b.limit("spans", maxColumns)
	}
	r := record{start: e.TS, name: name | uint32(kind)<<nameBits}
	if kind != HostAnnotation && kind != DeviceAnnotation {
		if r.external, err = b.id(e, "External id"); err != nil {
			return err
		}
	}
	switch {
	case kind == Operator:
		b.count(l, &r, e)
	default:
		if r.link, err = b.id(e, "correlation"); err != nil {
			return err
		}
	}
	l.add(r, e.Dur)
	return nil
}

// id is an argument that is an id; those that 31 bits do not hold get numbers of
// their own above them.
func (b *columnsBuilder) id(e *Event, arg string) (uint32, error) {
	id, ok := e.ArgInt(arg)
	if !ok || id == 0 {
		return 0, nil
	}
	if id > 0 && id < 1<<31 {
		return uint32(id), nil
	}
	n, ok := b.wide[id]
	if !ok {
		if len(b.wide) == maxWideIDs {
			return 0, b.limit("ids beyond 31 bits", maxWideIDs)
		}
		n = 1<<31 + uint32(len(b.wide))
		b.wide[id] = n
	}
	return n, nil
}

func (b *columnsBuilder) lane(e *Event, device bool) (*Lane, error) {
	current := &b.current[side(device)]
	if l := *current; l != nil && string(e.TID) == l.TID && string(e.PID) == l.PID {
		return l, nil
	}
	key := laneKey{string(e.PID), string(e.TID), device}
	l := b.lanes[key]
	if l == nil {
		if len(b.lanes) == maxLanes {
			return nil, b.limit("threads", maxLanes)
		}
		l = &Lane{PID: key.pid, TID: key.tid, Device: device, of: b.columns, sorted: true}
		b.lanes[key] = l
	}
	*current = l
	return l, nil
}

func (b *columnsBuilder) name(name []byte) (uint32, error) {
	if id, ok := b.names[string(name)]; ok {
		return id, nil
	}
	if len(b.columns.Names) == maxNames {
		return 0, b.limit("different names", maxNames)
	}
	if b.text += len(name); b.text > maxText {
		return 0, b.limit("bytes of names", maxText)
	}
	text, id := string(name), uint32(len(b.columns.Names))
	b.names[text] = id
	b.counted = append(b.counted, countedAs[text])
	b.columns.Names = append(b.columns.Names, text)
	return id, nil
}

func (b *columnsBuilder) label(e *Event) error {
	isThread := string(e.Name) == "thread_name"
	if !isThread && string(e.Name) != "process_name" {
		return nil
	}
	raw, ok := e.Arg("name")
	if !ok || len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	text := string(appendUnquoted(nil, raw[1:len(raw)-1]))
	if b.text += len(text); b.text > maxText {
		return b.limit("bytes of names", maxText)
	}
	of := b.labels[string(e.PID)]
	if of == nil {
		if len(b.labels) == maxLanes {
			return b.limit("processes", maxLanes)
		}
		of = &labels{threads: map[string]string{}}
		b.labels[string(e.PID)] = of
	}
	if !isThread {
		of.process = text
		return nil
	}
	if len(of.threads) == maxLanes {
		return b.limit("threads", maxLanes)
	}
	of.threads[string(e.TID)] = text
	return nil
}

func (b *columnsBuilder) memory(e *Event) error {
	if len(b.columns.Memory) == maxSpans {
		return b.limit("memory events", maxSpans)
	}
	m := MemoryPoint{At: e.TS}
	m.Bytes, _ = e.ArgInt("Bytes")
	m.Allocated, _ = e.ArgInt("Total Allocated")
	m.Reserved, _ = e.ArgInt("Total Reserved")
	kind, _ := e.ArgInt("Device Type")
	id, _ := e.ArgInt("Device Id")
	m.DeviceType, m.DeviceID = int32(kind), int32(id)
	b.columns.Memory = append(b.columns.Memory, m)
	return nil
}

func (b *columnsBuilder) limit(what string, n int) error {
	return &Error{Path: b.path, Kind: ErrLimit, Detail: fmt.Sprintf("number of %s (limit %d)", what, n)}
}
