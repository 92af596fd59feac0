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
}

// span is a part of an event's raw bytes; the zero value is none.
type span struct{ start, end int }

// End is the time at which a span ends, TS for an event without a duration.
func (e *Event) End() int64 { return e.TS + e.Dur }

// Arg gives an argument's raw JSON value. The name is compared with the key as
// it is written.
func (e *Event) Arg(name string) ([]byte, bool) {
	if len(e.Args) == 0 || e.Args[0] != '{' {
		return nil, false
	}
	for i := 1; ; {
		m, code := nextMember(e.Args, i)
		if code < 0 {
			return nil, false
		}
		if string(m.key) == name {
			return e.Args[m.start:m.end], true
		}
		if m.last {
			return nil, false
		}
		i = m.next
	}
}

// ArgInt gives an argument that is a whole number, or such a number in quotes.
func (e *Event) ArgInt(name string) (int64, bool) {
	raw, ok := e.Arg(name)
	if !ok {
		return 0, false
	}
	return parseInt(raw)
}

// parseEvent reads the event at the start of b, which is its opening bracket,
// and gives its length or a negative code.
func parseEvent(b []byte, e *Event) int {
	*e = Event{text: e.text[:0]}
	i := skipSpace(b, 1)
	if i < len(b) && b[i] == '}' {
		e.Raw = b[:i+1]
		return i + 1
	}
	for {
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
	}
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
		e.Args = value
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
