package trace

import (
	"cmp"
	"context"
	"io"
	"iter"
	"sort"
	"strings"
)

// Columns are the events of a trace that say where time went: operators, launches,
// annotations, work on devices. Frames of Python, flow arrows and the text of
// arguments are not kept. They are read only; any number of goroutines may.
type Columns struct {
	Summary *Summary
	Base    int64 // what the spans' times count from, ns since the Unix epoch
	Names   []string
	Lanes   []*Lane // by process, then thread
	Memory  []MemoryPoint

	flops []int64
}

// Lane is what one thread of the host, or one stream of a device, did, in the order
// of start; of two that start together the longer comes first.
type Lane struct {
	PID, TID        string
	Process, Thread string // names, where the trace tells
	Device          bool   // a stream: its spans are device work and device annotations

	of     *Columns
	blocks [][]record
	n      int
	has    int // spans that there are blocks for
	long   []int64
	sorted bool
	outer  bool // it has FLOPs of operators that others with FLOPs may be within
}

// MemoryPoint is an allocator's state after one allocation (positive) or release.
type MemoryPoint struct {
	At         int64 // ns after [Columns.Base]
	Bytes      int64 // of this allocation
	Allocated  int64 // bytes in all, after it
	Reserved   int64
	DeviceType int32 // torch's c10::DeviceType: 0 CPU, 1 CUDA, 6 HIP, …
	DeviceID   int32 // -1 for the host
}

// Name is a span's name.
func (c *Columns) Name(id NameID) string { return c.Names[id] }

// Len is the number of spans.
func (l *Lane) Len() int { return l.n }

// At gives a span by its number, from 0.
func (l *Lane) At(i int) Span {
	r := l.at(i)
	s := Span{
		Start: r.start, Dur: int64(r.dur),
		Name: NameID(r.name & nameMask), Kind: Kind(r.name >> nameBits),
		Correlation: r.link, External: r.external,
	}
	if r.dur&longBit != 0 {
		s.Dur = l.long[r.dur&^longBit]
	}
	if s.Kind == Operator {
		s.Correlation, s.FLOPs = 0, l.of.flops[r.link]
	}
	return s
}

// Spans gives all spans in order.
func (l *Lane) Spans() iter.Seq[Span] {
	return func(yield func(Span) bool) {
		for i := range l.n {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// From is the number of the first span that starts at or after t, ns after
// [Columns.Base]; it may be Len.
func (l *Lane) From(t int64) int {
	return sort.Search(l.n, func(i int) bool { return l.at(i).start >= t })
}

func (l *Lane) at(i int) *record { return &l.blocks[i>>spanShift][i&(spansPerBlock-1)] }

func (l *Lane) add(r record, dur int64) {
	if dur < longBit {
		r.dur = uint32(dur)
	} else {
		r.dur = longBit | uint32(len(l.long))
		l.long = append(l.long, dur)
	}
	if l.n == l.has {
		l.grow()
	}
	if l.n > 0 && l.sorted {
		before := l.at(l.n - 1)
		l.sorted = before.start < r.start || before.start == r.start && l.length(before) >= dur
	}
	*l.at(l.n) = r
	l.n++
}

// firstBlock is how many spans a lane has room for at first: many have few.
const firstBlock = 8

func (l *Lane) grow() {
	if l.has >= spansPerBlock {
		l.blocks = append(l.blocks, make([]record, spansPerBlock))
		l.has += spansPerBlock
		return
	}
	first := make([]record, max(2*l.has, firstBlock))
	if l.has > 0 {
		copy(first, l.blocks[0])
	}
	l.blocks, l.has = [][]record{first}, len(first)
}

func (l *Lane) length(r *record) int64 {
	if r.dur&longBit != 0 {
		return l.long[r.dur&^longBit]
	}
	return int64(r.dur)
}

// ReadColumns reads a trace once and keeps what analyses are made of. It takes some
// 24 bytes of memory a span.
//
// With an error in the file's content ([*Error]) the columns are of what was read
// before it; with any other error they are nil.
func ReadColumns(ctx context.Context, path string) (*Columns, error) {
	return ReadColumnsWith(ctx, path, ScanOptions{})
}

// ReadColumnsWith is ReadColumns with options for how passes are found.
func ReadColumnsWith(ctx context.Context, path string, o ScanOptions) (*Columns, error) {
	r, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := newColumnsBuilder(path)
	for err == nil {
		var e *Event
		if e, err = r.Next(); err == nil {
			err = b.add(e)
		}
	}
	if err == io.EOF {
		err = nil
	} else if _, ok := err.(*Error); !ok {
		return nil, err
	}
	b.passes.summary.readMetadata(r.Metadata())
	b.passes.finish(o, r.Base())
	return b.finish(r.Base()), err
}

func (b *columnsBuilder) finish(base int64) *Columns {
	c := b.columns
	c.Summary, c.Base = &b.passes.summary, base
	b.settle()
	for _, l := range b.lanes {
		if l.n > 0 {
			c.Lanes = append(c.Lanes, l)
		}
	}
	sort.Slice(c.Lanes, func(i, j int) bool {
		a, b := c.Lanes[i], c.Lanes[j]
		return cmp.Or(strings.Compare(a.PID, b.PID), strings.Compare(a.TID, b.TID), cmp.Compare(side(a.Device), side(b.Device))) < 0
	})
	for _, l := range c.Lanes {
		names := b.labels[l.PID]
		if names != nil {
			l.Process, l.Thread = names.process, names.threads[l.TID]
		}
		l.sort()
		if l.outer {
			b.countInnermost(l)
		}
	}
	b.correlate()
	sort.SliceStable(c.Memory, func(i, j int) bool { return c.Memory[i].At < c.Memory[j].At })
	return c
}

func side(device bool) int {
	if device {
		return 1
	}
	return 0
}
