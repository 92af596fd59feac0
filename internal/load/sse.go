package load

import (
	"bytes"
	"fmt"
	"io"
)

// Limits of one answer.
const (
	maxStreamLine  = 4 << 20   // bytes of one line
	maxStreamEvent = 8 << 20   // bytes of one event's data
	maxStreamBytes = 512 << 20 // bytes of the whole answer
)

// eventReader splits a stream of server-sent events into the data of each, as the
// HTML standard says (section "Server-sent events", "Interpreting an event
// stream"): lines end with LF, CR LF or CR; the data lines of an event are joined
// with LF; comments and other fields are skipped; an event without data is none.
// Other than the standard it gives an event that the stream's end cut off from
// its blank line.
//
// It never reads further than it has to: when next returns an event, the last
// read from the source is the one that completed it.
type eventReader struct {
	source io.Reader
	limits streamLimits

	buf        []byte
	start, end int   // of what is read and not yet used
	total      int64 // bytes read
	skipLF     bool  // the last line ended with CR: an LF that follows belongs to it
	begun      bool  // past the first line, which may have a byte order mark
	err        error // of the source, once it has ended

	data []byte
}

type streamLimits struct {
	line, event int
	total       int64
}

func newEventReader(source io.Reader) *eventReader {
	limits := streamLimits{line: maxStreamLine, event: maxStreamEvent, total: maxStreamBytes}
	return &eventReader{source: source, limits: limits, buf: make([]byte, 4096)}
}

// next gives the data of the next event, which is valid until the next call, or
// io.EOF at the end of the stream.
func (r *eventReader) next() ([]byte, error) {
	r.data = r.data[:0]
	hasData := false
	for {
		line, err := r.line()
		if err != nil {
			if err == io.EOF && len(r.data) > 0 {
				return r.data, nil
			}
			return nil, err
		}
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) == 0 {
			if len(r.data) > 0 {
				return r.data, nil
			}
			hasData = false
			continue
		}
		value, ok := dataField(line)
		if !ok {
			continue
		}
		if hasData {
			r.data = append(r.data, '\n')
		}
		hasData = true
		if len(r.data)+len(value) > r.limits.event {
			return nil, fmt.Errorf("event larger than the limit of %d bytes", r.limits.event)
		}
		r.data = append(r.data, value...)
	}
}

// dataField gives the value of a data line, and whether it is one.
func dataField(line []byte) ([]byte, bool) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if string(name) != "data" {
		return nil, false
	}
	return bytes.TrimPrefix(value, []byte(" ")), true
}

// line gives the next line without its end, valid until the next call.
func (r *eventReader) line() ([]byte, error) {
	searched := 0
	for {
		r.finishCRLF()
		pending := r.buf[r.start:r.end]
		if i := lineEnd(pending[searched:]); i >= 0 {
			line := pending[:searched+i]
			r.skipLF = pending[len(line)] == '\r'
			r.start += len(line) + 1
			return line, r.checkLine(line)
		}
		searched = len(pending)
		if err := r.checkLine(pending); err != nil {
			return nil, err
		}
		if r.err != nil {
			r.start = r.end
			if r.err == io.EOF && len(pending) > 0 {
				return pending, nil
			}
			return nil, r.err
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

func (r *eventReader) checkLine(line []byte) error {
	if len(line) > r.limits.line {
		return fmt.Errorf("line longer than the limit of %d bytes", r.limits.line)
	}
	return nil
}

// finishCRLF drops the LF of a CR LF, which may come long after its CR.
func (r *eventReader) finishCRLF() {
	if !r.skipLF || r.start == r.end {
		return
	}
	r.skipLF = false
	if r.buf[r.start] == '\n' {
		r.start++
	}
}

// lineEnd gives the index of the first LF or CR, or -1.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// fill reads once from the source, making room first. Only the limit is an error of it; the source's own is kept for later.
func (r *eventReader) fill() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, 2*len(r.buf))
		copy(grown, r.buf)
		r.buf = grown
	}
	n, err := r.source.Read(r.buf[r.end:])
	r.end += n
	r.total += int64(n)
	r.err = err
	if r.total > r.limits.total {
		return fmt.Errorf("answer larger than the limit of %d bytes", r.limits.total)
	}
	return nil
}
