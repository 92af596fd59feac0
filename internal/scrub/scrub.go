// Package scrub puts a marker in the place of values that nobody may see, in texts
// that come in parts of any size. It knows nothing of where either comes from.
package scrub

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"
)

const (
	// Marker stands where a value was.
	Marker = "(sensitive)"
	// Least is the length in bytes from which on a value is looked for: a shorter one
	// stands in ordinary words.
	Least = 4
	// chunk is how much of a text is looked at at once, in bytes.
	chunk = 64 << 10
)

// Values are what is looked for, the longest first, so that one which is part of
// another leaves nothing of that behind.
type Values [][]byte

// Of makes Values, each once and without the space around it, such as the line end
// of a file that it was read from. What is too short to be looked for is left out.
func Of(values []string) Values {
	var all Values
	for _, value := range values {
		if value = strings.TrimSpace(value); len(value) >= Least {
			all = append(all, []byte(value))
		}
	}
	slices.SortFunc(all, func(a, b []byte) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b))
	})
	return slices.CompactFunc(all, bytes.Equal)
}

// Longest is the length of the longest in bytes; 0: there is none.
func (v Values) Longest() int {
	if len(v) == 0 {
		return 0
	}
	return len(v[0])
}

// Text is a text with the marker in the place of each value.
func (v Values) Text(text []byte) []byte {
	var out bytes.Buffer
	w := NewWriter(&out, v)
	_, _ = w.Write(text) // neither fails
	_ = w.Flush()
	return out.Bytes()
}

// Copy copies with the marker in the place of each value, and tells how many there
// were. It holds no more than a chunk and one value.
func (v Values) Copy(dst io.Writer, src io.Reader) (found int, err error) {
	w := NewWriter(dst, v)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, make([]byte, chunk))
	if err == nil {
		err = w.Flush()
	}
	return w.Found(), err
}

// Writer passes on what is written to it with the marker in the place of each value,
// however they are cut into writes. It holds back only what may be the beginning of
// a value: of a line that ends as no value begins, nothing. It is for one goroutine.
type Writer struct {
	dst    io.Writer
	values Values
	held   []byte
	found  int
}

// NewWriter makes a Writer to dst.
func NewWriter(dst io.Writer, values Values) *Writer { return &Writer{dst: dst, values: values} }

// Found is how many values there were so far.
func (w *Writer) Found() int { return w.found }

// Write passes on what can be no part of a value. After an error of dst, what it
// did not take is lost.
func (w *Writer) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		part := p[done:min(len(p), done+chunk)]
		done += len(part)
		w.held = append(w.held, part...)
		if err := w.pass(w.beginning()); err != nil {
			return done, err
		}
	}
	return len(p), nil
}

// Flush passes on what was held back: nothing follows it.
func (w *Writer) Flush() error { return w.pass(len(w.held)) }

// beginning is where the last value may begin that is not whole yet: the longest end
// of what is held with which some value begins.
func (w *Writer) beginning() int {
	for i := max(0, len(w.held)-max(0, w.values.Longest()-1)); i < len(w.held); i++ {
		for _, value := range w.values {
			if end := w.held[i:]; len(end) < len(value) && bytes.HasPrefix(value, end) {
				return i
			}
		}
	}
	return len(w.held)
}

// pass writes what is held up to safe, or up to the end of a value that begins
// before it.
func (w *Writer) pass(safe int) error {
	written := 0
	defer func() { w.held = append(w.held[:0], w.held[written:]...) }()
	for written < safe {
		at, length := w.values.first(w.held[written:])
		if at < 0 || written+at >= safe {
			_, err := w.dst.Write(w.held[written:safe])
			written = safe
			return err
		}
		plain := w.held[written : written+at]
		written += at + length
		w.found++
		if err := w.replace(plain); err != nil {
			return err
		}
	}
	return nil
}

// replace writes what stands before a value, and the marker.
func (w *Writer) replace(plain []byte) error {
	if len(plain) > 0 {
		if _, err := w.dst.Write(plain); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w.dst, Marker)
	return err
}

// first finds the first value in a text, of several at one place the longest; −1: none.
func (v Values) first(text []byte) (at, length int) {
	at = -1
	for _, value := range v {
		if i := bytes.Index(text, value); i >= 0 && (at < 0 || i < at) {
			at, length = i, len(value)
		}
	}
	return at, length
}
