package trace

import (
	"context"
	"fmt"
	"io"
)

// Member is one top-level key of a trace with its value.
type Member struct {
	Key    string
	RawKey []byte // with its quotes, as written
	Raw    []byte // the value's JSON, as written; nil for the array of events
}

// EventsKey is the top-level key whose value is the array of events.
const EventsKey = "traceEvents"

// Reader reads the events of one file in their order in the file. It holds no
// more of the file than some blocks, one event and the top-level values. It
// belongs to one goroutine, and has one of its own, which reads and decompresses
// the blocks that come next until Close.
type Reader struct {
	path  string
	ahead *ahead

	buf      []byte
	pos, end int    // the unread part of buf
	offset   int64  // of buf[0] in the content
	block    []byte // buf, if it is one of ahead's
	long     []byte // buf, while more is unread than has room before a block
	readErr  error  // why there is nothing behind buf[end]

	state    state
	bare     bool // the file is an array without an object around it
	some     bool // the object or array that is being read has a member
	events   bool // an array of events was found
	event    Event
	metadata []Member
	metaSize int
	base     int64
	err      error
}

type state uint8

const (
	atStart state = iota
	inObject
	inEvents
	atEnd
)

// Open opens a trace: JSON, plain or compressed with gzip or zstd, whatever
// its name. It may be an object with a key traceEvents, as Kineto writes it, or
// a bare array of events, as torch_npu does. The caller closes the reader.
func Open(path string) (*Reader, error) { return open(context.Background(), path) }

// open is Open with a context for the reading.
func open(ctx context.Context, path string) (*Reader, error) {
	content, err := openContent(path)
	if err != nil {
		return nil, err
	}
	return &Reader{path: path, ahead: readAhead(ctx, content)}, nil
}

// Close ends the reading and releases the file. It may be called at any time, once.
func (r *Reader) Close() error { return r.ahead.close() }

// Base is what an event's TS counts from: the file's baseTimeNanoseconds, in
// ns since the Unix epoch, or 0 where the file has none (then TS itself counts
// from the epoch, or from the host's boot, as the profiler's version had it).
// It may stand behind the events: only after io.EOF is it sure.
func (r *Reader) Base() int64 { return r.base }

// Metadata gives the top-level keys read so far, in their order in the file;
// after io.EOF, all of them. The array of events is the entry without Raw; a
// bare array has no entries. The slices stay valid.
func (r *Reader) Metadata() []Member { return r.metadata }

// Next reads the next event. At the end of a file that is whole, compressed
// stream and all, the error is io.EOF; else it is an [*Error] or the system's.
// An error stays. The event is valid until the next call.
func (r *Reader) Next() (*Event, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.state == inEvents && r.some {
		if n := r.following(); n > 0 {
			r.pos += n
			return &r.event, nil
		}
	}
	ok, err := r.step()
	for !ok && err == nil {
		ok, err = r.step()
	}
	if err != nil {
		r.err = err
		return nil, err
	}
	return &r.event, nil
}

// following reads the event that follows another in the buffer, and gives the
// length with what is before it; where there is anything else step says what.
func (r *Reader) following() int {
	b := r.buf[r.pos:r.end]
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != ',' {
		return 0
	}
	i = skipSpace(b, i+1)
	if i == len(b) || b[i] != '{' {
		return 0
	}
	n := parseEvent(b[i:], &r.event)
	if n < 0 || n > maxValue {
		return 0
	}
	return i + n
}

// step goes on by one event, which it says, or one top-level key or bracket.
func (r *Reader) step() (isEvent bool, err error) {
	if r.state == atEnd {
		return false, r.finish()
	}
	c, err := r.peek()
	if err != nil {
		return false, err
	}
	switch r.state {
	case atStart:
		return false, r.begin(c)
	case inObject:
		return false, r.member(c)
	default:
		return r.element(c)
	}
}

func (r *Reader) begin(c byte) error {
	switch c {
	case '{':
		r.state = inObject
	case '[':
		r.state, r.bare = inEvents, true
	default:
		return r.fail(ErrFormat, "neither an object nor an array")
	}
	r.pos++
	return nil
}

// finish makes sure that nothing but white space follows, and that the
// compressed stream is whole.
func (r *Reader) finish() error {
	for {
		r.pos = skipSpace(r.buf[:r.end], r.pos)
		if r.pos < r.end {
			return r.fail(ErrFormat, "text after the end of the JSON")
		}
		if more, err := r.more(); err != nil {
			return err
		} else if !more {
			return io.EOF
		}
	}
}

// separator consumes the comma before a member, or the closing bracket, which
// it says.
func (r *Reader) separator(c, closing byte) (closed bool, err error) {
	switch {
	case c == closing:
		r.pos++
		return true, nil
	case !r.some:
		r.some = true
		return false, nil
	case c != ',' && closing == '}' && r.pos > 0 && r.buf[r.pos-1] == '"':
		return false, r.fail(ErrFormat, "a comma is missing: "+unescapedDetail)
	case c != ',':
		return false, r.fail(ErrFormat, "a comma is missing")
	}
	r.pos++
	_, err = r.peek()
	return false, err
}

// member reads one member of the top-level object.
func (r *Reader) member(c byte) error {
	closed, err := r.separator(c, '}')
	if err != nil {
		return err
	}
	if closed {
		return r.closeObject()
	}
	if r.buf[r.pos] != '"' {
		return r.fail(ErrFormat, "a key is missing")
	}
	key, err := r.value()
	if err != nil {
		return err
	}
	m := Member{RawKey: append([]byte(nil), key...)}
	m.Key = string(appendUnquoted(nil, m.RawKey[1:len(m.RawKey)-1]))
	if c, err = r.peek(); err != nil {
		return err
	}
	if c != ':' {
		return r.fail(ErrFormat, "a colon is missing")
	}
	r.pos++
	if c, err = r.peek(); err != nil {
		return err
	}
	if m.Key == EventsKey {
		return r.openEvents(m, c)
	}
	raw, err := r.value()
	if err != nil {
		return err
	}
	m.Raw = append([]byte(nil), raw...)
	return r.keep(m)
}

// openEvents goes into the array of events. Kineto writes one; should there be
// more, they are read one after the other.
func (r *Reader) openEvents(m Member, c byte) error {
	if c != '[' {
		return r.fail(ErrFormat, EventsKey+" is not an array")
	}
	r.pos++
	r.state, r.some, r.events = inEvents, false, true
	return r.keep(m)
}

func (r *Reader) closeObject() error {
	if !r.events {
		return r.fail(ErrFormat, "no "+EventsKey)
	}
	r.state = atEnd
	return nil
}

// keep remembers a top-level member.
func (r *Reader) keep(m Member) error {
	r.metaSize += len(m.Raw) + len(m.RawKey)
	if r.metaSize > maxMetadata {
		return r.fail(ErrLimit, fmt.Sprintf("size of all top-level values (limit %d bytes)", maxMetadata))
	}
	if len(r.metadata) == maxKeys {
		return r.fail(ErrLimit, fmt.Sprintf("top-level keys (limit %d)", maxKeys))
	}
	if m.Key == "baseTimeNanoseconds" {
		base, ok := parseInt(m.Raw)
		if !ok || base <= -maxTime || base >= maxTime {
			return r.fail(ErrFormat, "baseTimeNanoseconds is not a whole number of at most 73 years")
		}
		r.base = base
	}
	r.metadata = append(r.metadata, m)
	return nil
}

// element reads one event, or the bracket that closes them.
func (r *Reader) element(c byte) (isEvent bool, err error) {
	closed, err := r.separator(c, ']')
	if err != nil {
		return false, err
	}
	if closed {
		r.state, r.some = inObject, true
		if r.bare {
			r.state = atEnd
		}
		return false, nil
	}
	if r.buf[r.pos] != '{' {
		return false, r.fail(ErrFormat, "an event that is not an object")
	}
	for {
		n := parseEvent(r.buf[r.pos:r.end], &r.event)
		if n > maxValue {
			return false, r.tooLong("event")
		}
		if n > 0 {
			r.pos += n
			return true, nil
		}
		if err := r.grow(n, "event"); err != nil {
			return false, err
		}
	}
}

// value reads any value; the bytes are valid until the next read.
func (r *Reader) value() ([]byte, error) {
	for {
		n := skipValue(r.buf[:r.end], r.pos)
		if n-r.pos > maxValue {
			return nil, r.tooLong("top-level value")
		}
		if n > 0 {
			start := r.pos
			r.pos = n
			return r.buf[start:n], nil
		}
		if err := r.grow(n, "top-level value"); err != nil {
			return nil, err
		}
	}
}

// grow answers a negative code: it reads more, or says why that is no use.
func (r *Reader) grow(code int, what string) error {
	switch {
	case code == tooDeep:
		return r.unreadable(ErrLimit, what, fmt.Sprintf("nesting of one %s (limit %d)", what, maxDepth))
	case code == malformed:
		return r.unreadable(ErrFormat, what, "a malformed "+what)
	case r.end-r.pos >= maxValue:
		return r.tooLong(what)
	}
	more, err := r.more()
	if err != nil {
		return err
	}
	if !more {
		return r.unreadable(ErrTruncated, what, "the file ends inside of one "+what)
	}
	return nil
}

func (r *Reader) tooLong(what string) error {
	return r.unreadable(ErrLimit, what, fmt.Sprintf("size of one %s (limit %d bytes)", what, maxValue))
}

// unreadable is the error of a value, of which a quote too many may be the cause.
func (r *Reader) unreadable(kind error, what, detail string) error {
	if at, found := unescaped(r.buf[r.pos:r.end]); found {
		r.pos += at
		return r.fail(ErrFormat, "a malformed "+what+": "+unescapedDetail)
	}
	return r.fail(kind, detail)
}

// peek skips white space and gives the byte after it.
func (r *Reader) peek() (byte, error) {
	for {
		r.pos = skipSpace(r.buf[:r.end], r.pos)
		if r.pos < r.end {
			return r.buf[r.pos], nil
		}
		more, err := r.more()
		if err != nil {
			return 0, err
		}
		if !more {
			return 0, r.fail(ErrTruncated, "the JSON is not closed")
		}
	}
}

// more puts the next block of the content behind what is unread; false says
// that the content has ended. What is unread is most often part of one event,
// and is copied into the room before the block.
func (r *Reader) more() (bool, error) {
	if r.readErr != nil {
		return false, r.ended()
	}
	unread := r.buf[r.pos:r.end]
	if len(unread) > headroom {
		return r.lengthen(unread)
	}
	b, err := r.nextBlock()
	if err != nil {
		return false, err
	}
	if b.end == headroom {
		return false, r.ended()
	}
	start := headroom - len(unread)
	copy(b.buf[start:], unread)
	r.release()
	r.offset += int64(r.pos - start)
	r.buf, r.block, r.pos, r.end = b.buf, b.buf, start, b.end
	return true, nil
}

// lengthen puts as many blocks behind what is unread as make it twice as long, so
// that something long is looked at again only as often as it doubles.
func (r *Reader) lengthen(unread []byte) (bool, error) {
	to := r.long
	if want := min(2*len(unread), maxValue) + 2*blockSize; len(to) < want {
		to = make([]byte, want)
	}
	r.end = copy(to, unread)
	r.release()
	r.offset += int64(r.pos)
	r.buf, r.long, r.pos = to, to, 0
	before := r.end
	for r.readErr == nil && len(to)-r.end >= blockSize {
		b, err := r.nextBlock()
		if err != nil {
			return false, err
		}
		r.end += copy(to[r.end:], b.buf[headroom:b.end])
		r.ahead.release(b.buf)
	}
	if r.end > before {
		return true, nil
	}
	return false, r.ended()
}

func (r *Reader) nextBlock() (block, error) {
	b, err := r.ahead.next()
	if err != nil {
		return b, fmt.Errorf("read trace %s: %w", r.path, err)
	}
	r.readErr = b.err
	return b, nil
}

// release gives the block that is being read back.
func (r *Reader) release() {
	if r.block != nil {
		r.ahead.release(r.block)
		r.block = nil
	}
}

// ended says whether the content ended as it should.
func (r *Reader) ended() error {
	if r.readErr == io.EOF {
		return nil
	}
	return contentError(r.path, r.offset+int64(r.end), r.readErr)
}

func (r *Reader) fail(kind error, detail string) error {
	return &Error{Path: r.path, Offset: r.offset + int64(r.pos), Kind: kind, Detail: detail}
}
