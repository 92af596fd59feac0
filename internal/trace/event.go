package trace

import "bytes"

// Event is one event of a trace. Its byte slices point into the reader's
// buffer: they are valid until the next call of [Reader.Next]. Strings have
// their escapes resolved.
//
// What the fields mean is Chrome's trace event format; Kineto writes the
// phases X (a span), M (metadata), i (an instant), s and f (the ends of a flow
// arrow).
type Event struct {
	Phase    byte
	Category []byte // cpu_op, cuda_runtime, kernel, user_annotation, …
	Name     []byte
	PID, TID []byte // as written; numbers and strings are seen
	ID       []byte // of a flow
	Bind     []byte // bp: what a flow's end binds to
	TS       int64  // ns after Reader.Base
	Dur      int64  // ns
	Timed    bool   // the event has a ts
	Args     []byte // raw JSON, nil where there are none
	Raw      []byte // the whole event as it stands in the file

	ts, dur, args span // where those values stand in Raw
	text          []byte
	list          []arg // of Args
	listed        bool  // list is there
}

// span is a part of an event's raw bytes; the zero value is none.
type span struct{ start, end int }

// End is the time at which a span ends, TS for an event without a duration.
func (e *Event) End() int64 { return e.TS + e.Dur }

// The keys of an event with the colon after them, as Kineto writes them and as
// numbers, the first byte the lowest.
const (
	keyStart = 1<<24 - 1 // what of a key tells it from all others
	key2     = 1<<40 - 1
	key3     = 1<<48 - 1
	key4     = 1<<56 - 1

	keyPh   = '"' | 'p'<<8 | 'h'<<16 | '"'<<24 | ':'<<32
	keyTs   = '"' | 't'<<8 | 's'<<16 | '"'<<24 | ':'<<32
	keyID   = '"' | 'i'<<8 | 'd'<<16 | '"'<<24 | ':'<<32
	keyBp   = '"' | 'b'<<8 | 'p'<<16 | '"'<<24 | ':'<<32
	keyCat  = '"' | 'c'<<8 | 'a'<<16 | 't'<<24 | '"'<<32 | ':'<<40
	keyPid  = '"' | 'p'<<8 | 'i'<<16 | 'd'<<24 | '"'<<32 | ':'<<40
	keyTid  = '"' | 't'<<8 | 'i'<<16 | 'd'<<24 | '"'<<32 | ':'<<40
	keyDur  = '"' | 'd'<<8 | 'u'<<16 | 'r'<<24 | '"'<<32 | ':'<<40
	keyName = '"' | 'n'<<8 | 'a'<<16 | 'm'<<24 | 'e'<<32 | '"'<<40 | ':'<<48
	keyArgs = '"' | 'a'<<8 | 'r'<<16 | 'g'<<24 | 's'<<32 | '"'<<40 | ':'<<48
)

// parseEvent reads the event at the start of b, which is its opening bracket,
// and gives its length or a negative code.
func parseEvent(b []byte, e *Event) int {
	e.reset()
	i := skipSpace(b, 1)
	if i < len(b) && b[i] == '}' {
		e.Raw = b[:i+1]
		return i + 1
	}
	for {
		if end := e.usual(b, i); end > 0 {
			if i = skipSpace(b, end); i >= len(b) {
				return needMore
			}
			switch b[i] {
			case ',':
				i = skipSpace(b, i+1)
				continue
			case '}':
				e.Raw = b[:i+1]
				return i + 1
			default:
				return malformed
			}
		}
		m, code := nextMember(b, i)
		if code < 0 {
			return code
		}
		if !e.set(b, m) {
			return malformed
		}
		if i = m.next; m.last {
			e.Raw = b[:i]
			return i
		}
		i = skipSpace(b, i)
	}
}

func (e *Event) reset() {
	e.Phase, e.Timed, e.listed = 0, false, false
	e.TS, e.Dur = 0, 0
	e.Category, e.Name, e.PID, e.TID, e.ID, e.Bind, e.Args = nil, nil, nil, nil, nil, nil, nil
	e.ts, e.dur, e.args = span{}, span{}, span{}
	e.text = e.text[:0]
}

// usual takes over the member at b[i] if it is as Kineto writes it, and gives
// the index after it; 0 leaves it to nextMember and set, which take everything.
func (e *Event) usual(b []byte, i int) int {
	if i+16 > len(b) {
		return 0
	}
	var end int
	switch w := word(b, i); w & keyStart {
	case keyPh & keyStart:
		if i = after(b, w&key2 == keyPh, i+5); i > 0 && b[i] == '"' && b[i+1] != '\\' && b[i+1] != '"' && b[i+2] == '"' {
			e.Phase = b[i+1]
			return i + 3
		}
	case keyCat & keyStart:
		if i = after(b, w&key3 == keyCat, i+6); i > 0 {
			e.Category, end = e.plain(b, i)
		}
	case keyName & keyStart:
		if i = after(b, w&key4 == keyName, i+7); i > 0 {
			e.Name, end = e.plain(b, i)
		}
	case keyPid & keyStart:
		if i = after(b, w&key3 == keyPid, i+6); i > 0 {
			e.PID, end = e.plain(b, i)
		}
	case keyTid & keyStart:
		if i = after(b, w&key3 == keyTid, i+6); i > 0 {
			e.TID, end = e.plain(b, i)
		}
	case keyID & keyStart:
		if i = after(b, w&key2 == keyID, i+5); i > 0 {
			e.ID, end = e.plain(b, i)
		}
	case keyBp & keyStart:
		if i = after(b, w&key2 == keyBp, i+5); i > 0 {
			e.Bind, end = e.plain(b, i)
		}
	case keyTs & keyStart:
		if i = after(b, w&key2 == keyTs, i+5); i > 0 {
			if e.TS, end = nanosAt(b, i); end > 0 {
				e.Timed, e.ts = true, span{i, end}
			}
		}
	case keyDur & keyStart:
		if i = after(b, w&key3 == keyDur, i+6); i > 0 {
			if e.Dur, end = nanosAt(b, i); end > 0 {
				e.Dur, e.dur = max(e.Dur, 0), span{i, end}
			}
		}
	case keyArgs & keyStart:
		if i = after(b, w&key4 == keyArgs, i+7); i > 0 && b[i] == '{' {
			if end = e.listArgs(b, i); end > 0 {
				e.listed, e.args, e.Args = true, span{i, end}, b[i:end]
			}
		}
	}
	return end
}

// after gives the index of the value behind the colon at b[i-1], or 0 where the
// key is another one after all or the bytes end.
func after(b []byte, is bool, i int) int {
	if !is {
		return 0
	}
	if b[i] == ' ' {
		i++
	}
	if i+4 > len(b) || b[i] <= ' ' {
		return 0
	}
	return i
}

// plain is the text of the value at b[i], if it is a string without escapes or a
// number, and the index after it, or 0.
func (e *Event) plain(b []byte, i int) ([]byte, int) {
	if b[i] != '"' {
		end := skipScalar(b, i)
		if end < 0 {
			return nil, 0
		}
		return b[i:end], end
	}
	end := stringEnd(b, i+1)
	if end >= len(b) || b[end] != '"' {
		return nil, 0
	}
	return b[i+1 : end], end + 1
}

// set takes over one member; it says no to a value of the wrong type.
func (e *Event) set(b []byte, m member) (ok bool) {
	value := b[m.start:m.end]
	switch string(m.key) {
	case "ph":
		if len(value) < 3 || value[0] != '"' {
			return false
		}
		e.Phase = value[1]
	case "cat":
		e.Category = e.string(value)
	case "name":
		e.Name = e.string(value)
	case "pid":
		e.PID = e.string(value)
	case "tid":
		e.TID = e.string(value)
	case "id":
		e.ID = e.string(value)
	case "bp":
		e.Bind = e.string(value)
	case "ts":
		e.ts = span{m.start, m.end}
		e.TS, ok = parseTime(value)
		e.Timed = ok
		return ok || string(value) == "null"
	case "dur":
		e.dur = span{m.start, m.end}
		e.Dur, ok = parseTime(value)
		e.Dur = max(e.Dur, 0) // no span ends before it starts
		return ok || string(value) == "null"
	case "args":
		e.args = span{m.start, m.end}
		e.Args, e.listed = value, false
	}
	return true
}

// parseTime reads a time or a duration of which sums can be made.
func parseTime(value []byte) (int64, bool) {
	ns, ok := parseNanos(value)
	return ns, ok && ns > -maxTime && ns < maxTime
}

// string is the text of a value: of a string without its quotes and escapes,
// of anything else as it is written.
func (e *Event) string(value []byte) []byte {
	if value[0] != '"' {
		return value
	}
	value = value[1 : len(value)-1]
	if bytes.IndexByte(value, '\\') < 0 {
		return value
	}
	start := len(e.text)
	e.text = appendUnquoted(e.text, value)
	return e.text[start:len(e.text):len(e.text)]
}
