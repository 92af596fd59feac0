package trace

import "iter"

// arg is a member of an event's args, as offsets into them.
type arg struct{ key, keyEnd, value, end int32 }

// Arg gives an argument's raw JSON value. The name is compared with the key as
// it is written.
func (e *Event) Arg(name string) ([]byte, bool) {
	for key, value := range e.AllArgs() {
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// ArgInt gives an argument that is a whole number, or such a number in quotes.
func (e *Event) ArgInt(name string) (int64, bool) {
	raw, ok := e.Arg(name)
	if !ok {
		return 0, false
	}
	return parseInt(raw)
}

// AllArgs gives the arguments in their order in the file, each key as it is
// written between its quotes and each value as raw JSON: one pass for those who
// look for several. Where the args are no object, or damaged, it ends there.
func (e *Event) AllArgs() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if e.listed {
			for _, a := range e.list {
				if !yield(e.Args[a.key:a.keyEnd], e.Args[a.value:a.end]) {
					return
				}
			}
			return
		}
		if len(e.Args) == 0 || e.Args[0] != '{' {
			return
		}
		for i := 1; ; {
			m, code := nextMember(e.Args, i)
			if code < 0 || !yield(m.key, e.Args[m.start:m.end]) || m.last {
				return
			}
			i = m.next
		}
	}
}

// listArgs gives the index after the object at b[i], listing its members, or 0
// where it is not as profilers write it: then skipNested says what it is.
func (e *Event) listArgs(b []byte, start int) int {
	list := e.list[:0]
	i := skipSpace(b, start+1)
	if i < len(b) && b[i] == '}' {
		e.list = list
		return i + 1
	}
	for i+8 < len(b) && b[i] == '"' {
		var a arg
		a.key = int32(i + 1 - start)
		i = stringEnd(b, i+1)
		if i+2 >= len(b) || b[i] != '"' || b[i+1] != ':' {
			return 0
		}
		a.keyEnd = int32(i - start)
		i = skipSpace(b, i+2)
		a.value = int32(i - start)
		if i = plainEnd(b, i); i == 0 {
			return 0
		}
		a.end = int32(i - start)
		list = append(list, a)
		if i = skipSpace(b, i); i >= len(b) {
			return 0
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			e.list = list
			return i + 1
		default:
			return 0
		}
	}
	return 0
}

// plainEnd gives the index after the number, string or array at b[i], or 0 where
// it is anything else, or not as usual.
func plainEnd(b []byte, i int) int {
	if i >= len(b) {
		return 0
	}
	switch c := b[i]; {
	case c == '"':
		return max(shortString(b, i), 0)
	case c == '[':
		return arrayEnd(b, i)
	default:
		return max(skipScalar(b, i), 0)
	}
}

// arrayEnd gives the index after the array at b[i], which holds arrays,
// strings and numbers, or 0.
func arrayEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '[':
			if depth++; depth > maxDepth/2 {
				return 0
			}
		case ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			if i = shortString(b, i); i < 0 {
				return 0
			}
			continue
		case '{', '}':
			return 0
		}
		i++
	}
	return 0
}
