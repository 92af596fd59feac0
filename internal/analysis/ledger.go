package analysis

import "profjob/internal/trace"

// ledger has a row of sums for each name in each group of steps. Names come in bursts
// from one group after the other, so the row that a name had last is most often the one
// that it has next; the map is asked where it is not.
type ledger[R any] struct {
	last  []lastRow // by name
	index map[uint64]uint32
	keys  []rowKey
	rows  []R
}

type rowKey struct {
	group int32
	name  trace.NameID
}

type lastRow struct {
	row   uint32 // its number + 1; 0 for none
	group int32
}

func newLedger[R any](names int) *ledger[R] {
	return &ledger[R]{last: make([]lastRow, names), index: map[uint64]uint32{}}
}

// row is good until the next call.
func (l *ledger[R]) row(group int32, name trace.NameID) *R {
	last := &l.last[name]
	if last.row == 0 || last.group != group {
		*last = lastRow{l.find(group, name), group}
	}
	return &l.rows[last.row-1]
}

func (l *ledger[R]) find(group int32, name trace.NameID) uint32 {
	key := uint64(group)<<32 | uint64(name)
	n, ok := l.index[key]
	if !ok {
		var zero R
		l.rows, l.keys = append(l.rows, zero), append(l.keys, rowKey{group, name})
		n = uint32(len(l.rows))
		l.index[key] = n
	}
	return n
}

// merge makes the ledger of larger groups: of says which one a group is part of,
// nowhere for none.
func (l *ledger[R]) merge(of []int32, add func(to, from *R)) *ledger[R] {
	m := newLedger[R](len(l.last))
	for i, k := range l.keys {
		if g := of[k.group]; g != nowhere {
			add(m.row(g, k.name), &l.rows[i])
		}
	}
	return m
}

// byGroup gives the numbers of the rows of each of n groups.
func (l *ledger[R]) byGroup(n int) [][]uint32 {
	rows := make([][]uint32, n)
	for i, k := range l.keys {
		rows[k.group] = append(rows[k.group], uint32(i))
	}
	return rows
}

type operatorRow struct {
	count                     int
	self, total, device, flop int64
}

func (r *operatorRow) add(o *operatorRow) {
	r.count += o.count
	r.self += o.self
	r.total += o.total
	r.device += o.device
	r.flop += o.flop
}

type kernelRow struct {
	count          int
	time, min, max int64
	kind           trace.Kind
}

func (r *kernelRow) add(o *kernelRow) {
	if r.count == 0 {
		*r = *o
		return
	}
	r.count += o.count
	r.time += o.time
	r.min, r.max = min(r.min, o.min), max(r.max, o.max)
}
