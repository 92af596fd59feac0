package trace

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// torch_npu's trace_view.json has what CANN's msprof wrote beside what torch did
// (torch_npu 2.1 to 2.10, torch_npu/profiler/analysis/prof_common_func/_trace_event_manager.py
// and prof_parse/_fwk_file_parser.py; mstt, msprof_analyze/compare_tools, which reads it).
// What torch did has categories: cpu_op, under which stand annotations too, enqueue and
// dequeue. What CANN wrote has none: what such a span is, the name of its process says,
// in metadata that may stand behind it. So it is kept as one of these kinds, which no
// lane has once the columns are finished.
const (
	taskWork  = DeviceAnnotation + 1 + iota // of a device's stream: it computes, or may
	taskCopy                                // it copies
	taskOther                               // it waits, or tells others
)

// npu is what is remembered of a trace until it is known whether torch_npu wrote it.
type npu struct {
	lanes   map[laneKey]*Lane // of spans without a category
	current *Lane

	flows  []flowEnd
	ends   []laneKey // what flowEnd.lane is an index of
	endsOf map[laneKey]uint32
}

// maxFlows is how many ends of flow arrows are remembered.
const maxFlows = 1 << 28

// The processes of such a trace.
const (
	processPython   = "Python"
	processCANN     = "CANN"
	processHardware = "Ascend Hardware"
	processOverlap  = "Overlap Analysis"
)

// isCommunicationProcess: it is "Communication" since CANN 8, and was "HCCL".
func isCommunicationProcess(name string) bool { return name == "Communication" || name == "HCCL" }

// isNPU says whether torch_npu wrote the trace.
func (b *columnsBuilder) isNPU() bool {
	for _, l := range b.labels {
		switch p := l.process; {
		case p == processCANN, p == processHardware, p == processOverlap, isCommunicationProcess(p):
			return true
		}
	}
	return false
}

// uncategorised takes over a span whose category says nothing of a kind.
func (b *columnsBuilder) uncategorised(e *Event) error {
	switch string(e.Category) {
	case "enqueue", "dequeue": // into and out of the queue before the thread that launches
		return b.span(e, Launch)
	case "", "null":
	default:
		return nil
	}
	l := b.npu.current
	if l == nil || string(e.TID) != l.TID || string(e.PID) != l.PID {
		key := laneKey{pid: string(e.PID), tid: string(e.TID)}
		if l = b.npu.lanes[key]; l == nil {
			if len(b.npu.lanes) == maxLanes {
				return b.limit("threads", maxLanes)
			}
			l = &Lane{PID: key.pid, TID: key.tid, of: b.columns, sorted: true}
			b.npu.lanes[key] = l
		}
		b.npu.current = l
	}
	name, err := b.name(e.Name)
	if err != nil {
		return err
	}
	if b.spans++; b.spans > maxColumns {
		return b.limit("spans", maxColumns)
	}
	l.add(record{start: e.TS, name: name | uint32(taskKind(e))<<nameBits}, e.Dur)
	return nil
}

// taskKind tells what a device's task is by its type (AI_CORE, MIX_AIC, KERNEL_AIVEC,
// SDMA_SQE, EVENT_WAIT_SQE, …), by its name where it has none. A type that is not known
// is work.
func taskKind(e *Event) Kind {
	task, ok := e.Arg("Task Type")
	if !ok {
		task = e.Name
	}
	for _, part := range [...]string{"WAIT", "RECORD", "EVENT_", "Notify_", "PLACE_HOLDER", "WRITE_VALUE", "LABEL", "STREAM_SWITCH", "MAINTENANCE"} {
		if bytes.Contains(task, []byte(part)) {
			return taskOther
		}
	}
	if ok && (bytes.Contains(task, []byte("DMA")) || bytes.Contains(task, []byte("MEMCPY"))) {
		return taskCopy
	}
	return taskWork
}

// settle gives the spans without a category the kinds that their processes tell, and
// puts them where they belong. Those of a trace that torch_npu did not write are dropped.
func (b *columnsBuilder) settle() {
	n := &b.npu
	if len(n.lanes) == 0 && len(n.flows) == 0 || !b.isNPU() {
		b.npu = npu{}
		return
	}
	b.renameAnnotations()
	collectives := b.hasCollectives()
	keys := make([]laneKey, 0, len(n.lanes))
	for k := range n.lanes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b laneKey) int { return cmp.Or(strings.Compare(a.pid, b.pid), strings.Compare(a.tid, b.tid)) })
	python := b.pythonThreads()
	for _, k := range keys {
		from := n.lanes[k]
		delete(n.lanes, k)
		switch process := b.processOf(k.pid); {
		case process == processHardware:
			n.lanes[k] = b.settleOn(laneKey{k.pid, k.tid, true})
			b.move(from, n.lanes[k], b.asWork(collectives))
		case isCommunicationProcess(process):
			n.lanes[k] = b.settleOn(laneKey{k.pid, k.tid, true})
			b.move(from, n.lanes[k], b.asCollectives(b.labels[k.pid].threads[k.tid]))
		case process == processCANN:
			if n.lanes[k] = python[k.tid]; n.lanes[k] == nil {
				n.lanes[k] = b.settleOn(laneKey{pid: k.pid, tid: k.tid})
			}
			b.move(from, n.lanes[k], as(Launch))
		case process == processPython:
			n.lanes[k] = b.settleOn(laneKey{pid: k.pid, tid: k.tid})
			b.move(from, n.lanes[k], as(Operator))
		}
	}
}

// asWork is for what the streams of a device did. Collectives have a lane of their own.
func (b *columnsBuilder) asWork(collectives bool) func(*record, Kind) bool {
	return func(r *record, was Kind) bool {
		kind := Kernel
		switch {
		case was == taskOther || collectives && isCollectiveName(b.columns.Names[r.name]):
			return false
		case was == taskCopy:
			kind = Copy
		}
		r.name |= uint32(kind) << nameBits
		return true
	}
}

// asCollectives is for a thread of the communication process. Each run of a collective
// has a name of its own there: hcom_allReduce__844_2_1.
func (b *columnsBuilder) asCollectives(thread string) func(*record, Kind) bool {
	return func(r *record, _ Kind) bool {
		name := b.columns.Names[r.name]
		if !isCollectiveLane(thread) && (thread != "" || !isCollectiveName(name)) {
			return false
		}
		if plain, _, ok := strings.Cut(name, "__"); ok {
			if id, err := b.name([]byte(plain)); err == nil {
				r.name = id
			}
		}
		r.name |= uint32(Kernel) << nameBits
		return true
	}
}

func (b *columnsBuilder) processOf(pid string) string {
	if l := b.labels[pid]; l != nil {
		return l.process
	}
	return ""
}

// settleOn gives the lane of a key, a new one where there is none.
func (b *columnsBuilder) settleOn(key laneKey) *Lane {
	l := b.lanes[key]
	if l == nil {
		l = &Lane{PID: key.pid, TID: key.tid, Device: key.device, of: b.columns, sorted: true}
		b.lanes[key] = l
	}
	return l
}

// as is for a move in which all become one kind.
func as(kind Kind) func(*record, Kind) bool {
	return func(r *record, _ Kind) bool {
		r.name |= uint32(kind) << nameBits
		return true
	}
}

// move moves spans, but for those that become says no to. It gives the record, whose name
// is without a kind, its new one.
func (b *columnsBuilder) move(from, to *Lane, become func(r *record, was Kind) bool) {
	for i := range from.n {
		r := *from.at(i)
		was := Kind(r.name >> nameBits)
		if r.name &= nameMask; !become(&r, was) {
			continue
		}
		dur := from.length(&r)
		to.add(r, dur)
		if to.Device {
			b.passes.summary.Activities.Device = true
		}
		if i&(spansPerBlock-1) == spansPerBlock-1 {
			from.blocks[i>>spanShift] = nil
		}
	}
	from.blocks, from.long, from.n = nil, nil, 0
}

// pythonThreads are the threads of torch by their id, but for ids that several
// processes have. CANN's calls on a thread of the same id are of the same thread.
func (b *columnsBuilder) pythonThreads() map[string]*Lane {
	threads := map[string]*Lane{}
	for k, l := range b.lanes {
		if k.device || b.processOf(k.pid) != processPython {
			continue
		}
		if _, twice := threads[k.tid]; twice {
			l = nil
		}
		threads[k.tid] = l
	}
	return threads
}

// isCollectiveLane says whether a thread of the communication process has the
// collectives of a group ("Group 0 Communication"). The others, its planes, have the
// tasks that they are made of.
func isCollectiveLane(thread string) bool { return strings.Contains(thread, "Communication") }

func isCollectiveName(name string) bool {
	lower := strings.ToLower(name[:min(len(name), 8)])
	return strings.HasPrefix(lower, "hcom_") || strings.HasPrefix(lower, "hccl")
}

// hasCollectives says whether the trace has lanes of collectives.
func (b *columnsBuilder) hasCollectives() bool {
	for k := range b.npu.lanes {
		if isCommunicationProcess(b.processOf(k.pid)) {
			return true
		}
	}
	return false
}

// renameAnnotations finds the annotations among the operators: torch_npu writes all that
// record_function was given as operators.
func (b *columnsBuilder) renameAnnotations() {
	isNote := make([]bool, len(b.columns.Names))
	some := false
	for i, name := range b.columns.Names {
		isNote[i] = isPassSpan(name)
		some = some || isNote[i]
	}
	if !some {
		return
	}
	for _, l := range b.lanes {
		for i := range l.n {
			if r := l.at(i); Kind(r.name>>nameBits) == Operator && isNote[r.name&nameMask] {
				r.name, r.link = r.name&nameMask|uint32(HostAnnotation)<<nameBits, 0
			}
		}
	}
}
