package trace

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// kind is what an operator's name makes it good for.
type kind uint8

const (
	plain     kind = iota
	embedding      // looks up the tokens of a pass: once a pass
	sampler        // chooses tokens: after the forward
	graph          // replays a captured graph: once a pass with full graphs
	noted          // no operator, but the program's own span around or within a pass
)

func kindOf(name string) kind {
	switch {
	case name == "aten::embedding":
		return embedding
	case strings.HasSuffix(name, "GraphLaunch"):
		return graph // cudaGraphLaunch, hipGraphLaunch, cuGraphLaunch
	case isPassSpan(name):
		return noted
	}
	for _, part := range [...]string{"argmax", "multinomial", "exponential_", "sampling", "top_k_top_p"} {
		if strings.Contains(name, part) {
			return sampler
		}
	}
	return plain
}

// op is an operator or runtime call of a thread that is not within another.
type op struct {
	start, end int64
	name       uint32
}

// mark is an operator, at any depth, of a kind that is not plain.
type mark struct {
	start, end int64
	name       uint32
	kind       kind
	tokens     int64 // into an embedding, or NotKnown
}

// note is a span that marks a pass.
type note struct {
	start, end int64
	text       string
	annotation
}

// lane is what Scan remembers of a thread.
type lane struct {
	pid, tid   string
	ops        []op
	marks      []mark
	notes      []note
	preprocess []int64 // starts of preprocessing scopes
	unsorted   bool
}

// add takes over an operator. Those within the one before it are left out at
// once: Kineto writes a thread's operators in the order of their start.
func (l *lane) add(o op) {
	if n := len(l.ops); n > 0 {
		switch last := &l.ops[n-1]; {
		case o.start < last.start:
			l.unsorted = true
		case o.start == last.start && o.end > last.end:
			*last = o
			return
		case o.start < last.end:
			return
		}
	}
	l.ops = append(l.ops, o)
}

// sort puts everything into the order of time, the outer before the inner.
func (l *lane) sort() {
	if l.unsorted {
		slices.SortFunc(l.ops, func(a, b op) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
		})
		top := l.ops[:0]
		for _, o := range l.ops {
			if n := len(top); n == 0 || o.start >= top[n-1].end {
				top = append(top, o)
			}
		}
		l.ops, l.unsorted = top, false
	}
	slices.SortStableFunc(l.marks, func(a, b mark) int { return cmp.Compare(a.start, b.start) })
	slices.SortStableFunc(l.notes, func(a, b note) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	slices.Sort(l.preprocess)
}

// opsIn gives the operators that start in [from, to).
func (l *lane) opsIn(from, to int64) []op {
	i := firstFrom(l.ops, from)
	return l.ops[i : i+firstFrom(l.ops[i:], to)]
}

// firstFrom is the index of the first operator that starts at or after t.
func firstFrom(ops []op, t int64) int {
	i, _ := slices.BinarySearchFunc(ops, t, func(o op, t int64) int { return cmp.Compare(o.start, t) })
	return i
}

// of gives the marks of a kind.
func (l *lane) of(k kind) []mark {
	var found []mark
	for _, m := range l.marks {
		if m.kind == k {
			found = append(found, m)
		}
	}
	return found
}

// firstMark is the index of the first mark that starts at or after t.
func (l *lane) firstMark(t int64) int {
	i, _ := slices.BinarySearchFunc(l.marks, t, func(m mark, t int64) int { return cmp.Compare(m.start, t) })
	return i
}

// has says whether a mark of a kind starts in [from, to).
func (l *lane) has(k kind, from, to int64) bool {
	for i := l.firstMark(from); i < len(l.marks) && l.marks[i].start < to; i++ {
		if l.marks[i].kind == k {
			return true
		}
	}
	return false
}

// lastEnd is just after the thread's last operator or span that is known.
func (l *lane) lastEnd() int64 {
	var end int64
	if n := len(l.ops); n > 0 {
		end = l.ops[n-1].end
	}
	for _, n := range l.notes {
		end = max(end, n.end)
	}
	return end + 1
}

// embeddedTokens reads Input Dims of aten::embedding: [[vocabulary, width],
// [tokens], …]; the tokens may have several dimensions.
func embeddedTokens(dims []byte) int64 {
	if len(dims) > 0 && dims[0] == '"' {
		return embeddedTokensText(dims)
	}
	i := skipSpace(dims, 0)
	if i >= len(dims) || dims[i] != '[' {
		return NotKnown
	}
	end := skipValue(dims, skipSpace(dims, i+1))
	if end < 0 {
		return NotKnown
	}
	i = skipSpace(dims, end)
	if i >= len(dims) || dims[i] != ',' {
		return NotKnown
	}
	i = skipSpace(dims, i+1)
	end = skipValue(dims, i)
	if end < 0 || dims[i] != '[' {
		return NotKnown
	}
	tokens := int64(1)
	for part := range bytes.SplitSeq(dims[i+1:end-1], []byte(",")) {
		n, ok := parseInt(bytes.TrimSpace(part))
		if !ok || n < 0 || n > 1<<30 || tokens > 1<<30 {
			return NotKnown
		}
		tokens *= n
	}
	return tokens
}
