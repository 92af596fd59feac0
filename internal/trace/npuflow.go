package trace

import (
	"cmp"
	"hash/fnv"
	"slices"
	"sort"
)

// flowEnd is one end of an arrow that torch_npu or msprof drew: it is at the thread and
// the start of the span that it is for.
type flowEnd struct {
	id   uint64
	ts   int64
	lane uint32
	of   flowKind
	end  bool
}

type flowKind uint8

const (
	queued   flowKind = iota // from an enqueue to its dequeue, on the thread that launches
	launched                 // from a call in CANN to a task of a device, or to a collective
	issued                   // from an operator of torch to such
)

// flowKindOf tells the arrows that are of use by their category.
func flowKindOf(category []byte) (flowKind, bool) {
	switch string(category) {
	case "async_task_queue":
		return queued, true
	case "HostToDevice":
		return launched, true
	case "async_npu":
		return issued, true
	}
	return 0, false
}

// flow remembers one end of an arrow.
func (b *columnsBuilder) flow(e *Event) error {
	of, ok := flowKindOf(e.Category)
	if !ok {
		return nil
	}
	n := &b.npu
	if len(n.flows) == maxFlows {
		return b.limit("ends of flow arrows", maxFlows)
	}
	key := laneKey{pid: string(e.PID), tid: string(e.TID)}
	lane, ok := n.endsOf[key]
	if !ok {
		if len(n.ends) == maxLanes {
			return b.limit("threads", maxLanes)
		}
		lane = uint32(len(n.ends))
		n.ends = append(n.ends, key)
		n.endsOf[key] = lane
	}
	n.flows = append(n.flows, flowEnd{id: flowID(e.ID), ts: e.TS, lane: lane, of: of, end: e.Phase == 'f'})
	return nil
}

// flowID is a flow's id as a number. Most are: counters, times in ns.
func flowID(id []byte) uint64 {
	if n, ok := parseInt(id); ok {
		return uint64(n)
	}
	h := fnv.New64a()
	h.Write(id)
	return h.Sum64()
}

// correlate gives launches and what they launched the same correlation, and operators
// and what came of them the same external id. The lanes are sorted by now.
//
// Where torch hands its calls to a thread that launches, the launch is the enqueue: that
// thread is behind, and its time says nothing of the step. torch_npu finds them so
// itself (prof_parse/_fwk_cann_relation_parser.py).
func (b *columnsBuilder) correlate() {
	if len(b.npu.flows) == 0 {
		return
	}
	c := correlator{builder: b, dequeues: map[*Lane][]dequeue{}}
	flows := b.npu.flows
	slices.SortStableFunc(flows, func(a, b flowEnd) int {
		return cmp.Or(cmp.Compare(a.of, b.of), cmp.Compare(a.id, b.id), cmp.Compare(ordinal(a.end), ordinal(b.end)), cmp.Compare(a.ts, b.ts))
	})
	for i := 0; i < len(flows); {
		from, to := i, i
		for i < len(flows) && flows[i].of == flows[from].of && flows[i].id == flows[from].id {
			if !flows[i].end {
				to = i + 1
			}
			i++
		}
		c.pair(flows[from:to], flows[max(from, to):i])
		if i < len(flows) && flows[i].of != flows[from].of && flows[from].of == queued {
			c.sortDequeues()
		}
	}
	b.npu = npu{}
}

func ordinal(end bool) int {
	if end {
		return 1
	}
	return 0
}

// correlator numbers what belongs together.
type correlator struct {
	builder  *columnsBuilder
	last     uint32
	dequeues map[*Lane][]dequeue
}

// dequeue is the time in which the launching thread carried out one enqueue.
type dequeue struct {
	start, end int64
	enqueue    *record
}

// pair goes through the arrows of one id. Ids that are times may come twice: then the
// first start is the first end's.
func (c *correlator) pair(starts, ends []flowEnd) {
	if len(starts) == 0 {
		return
	}
	for i, end := range ends {
		start := starts[0]
		if len(starts) == len(ends) {
			start = starts[i]
		}
		from, to := c.laneOf(start), c.laneOf(end)
		if from == nil || to == nil {
			continue
		}
		switch start.of {
		case queued:
			c.queued(from, to, start, end)
		case launched:
			c.launched(from, to, start, end)
		default:
			c.issued(from, to, start, end)
		}
	}
}

func (c *correlator) laneOf(f flowEnd) *Lane {
	key := c.builder.npu.ends[f.lane]
	if l := c.builder.npu.lanes[key]; l != nil {
		return l
	}
	return c.builder.lanes[key]
}

func (c *correlator) queued(from, to *Lane, start, end flowEnd) {
	enqueue, out := from.startingAt(start.ts, isLaunchKind), to.startingAt(end.ts, isLaunchKind)
	if enqueue != nil && out != nil && enqueue != out {
		c.dequeues[to] = append(c.dequeues[to], dequeue{out.start, out.start + to.length(out), enqueue})
	}
}

func (c *correlator) sortDequeues() {
	for _, d := range c.dequeues {
		slices.SortFunc(d, func(a, b dequeue) int { return cmp.Compare(a.start, b.start) })
	}
}

func (c *correlator) launched(from, to *Lane, start, end flowEnd) {
	task := to.startingAt(end.ts, Kind.OnDevice)
	if task == nil {
		return
	}
	call := c.enqueued(from, start.ts)
	if call == nil {
		call = from.startingAt(start.ts, isLaunchKind)
	}
	if call == nil {
		return
	}
	if call.link == 0 {
		c.last++
		call.link = c.last
	}
	task.link = call.link
}

// enqueued gives the enqueue whose carrying out a time is in.
func (c *correlator) enqueued(l *Lane, ts int64) *record {
	d := c.dequeues[l]
	i := sort.Search(len(d), func(i int) bool { return d[i].start > ts }) - 1
	if i < 0 || ts > d[i].end {
		return nil
	}
	return d[i].enqueue
}

func (c *correlator) issued(from, to *Lane, start, end flowEnd) {
	task := to.startingAt(end.ts, Kind.OnDevice)
	operator := from.startingAt(start.ts, func(k Kind) bool { return k == Operator })
	if task == nil || operator == nil {
		return
	}
	if operator.external == 0 {
		c.last++
		operator.external = c.last
	}
	task.external = operator.external
}

func isLaunchKind(k Kind) bool { return k == Launch }

const (
	// flowSlack is by how much an arrow may miss its span, in ns: newer torch_npu write
	// times as floats, which tell µs since 1970 to a quarter.
	flowSlack = 500
	// flowLook is how many spans on each side of its time are looked at.
	flowLook = 64
)

// startingAt gives the span of a kind that starts at ts or nearest to it, the innermost
// of several; nil where none does.
func (l *Lane) startingAt(ts int64, is func(Kind) bool) *record {
	var best *record
	apart := int64(flowSlack + 1)
	look := func(i int, orEqual bool) bool {
		r := l.at(i)
		d := max(r.start-ts, ts-r.start)
		if d > flowSlack {
			return false
		}
		if is(Kind(r.name>>nameBits)) && (d < apart || orEqual && d == apart) {
			best, apart = r, d
		}
		return true
	}
	at := l.From(ts)
	for i := at; i < min(l.n, at+flowLook) && look(i, true); i++ {
	}
	for i := at - 1; i >= max(0, at-flowLook) && look(i, false); i-- {
	}
	return best
}
