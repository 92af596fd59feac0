package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Complete says whether a file has been written to its end: nil if it has, an
// [*Error] of kind ErrTruncated if it has not (yet), any other error if waiting
// is no use. It reads the whole content once, the trailer of the compressed
// stream with it, and checks that its brackets close; it does not look into
// events. Of a file that is not compressed and does not end in a bracket only
// the end is read, so that asking again and again while it grows costs little.
func Complete(ctx context.Context, path string) error {
	content, err := openContent(path)
	if err != nil {
		return err
	}
	c := closing{path: path}
	if content.plain && !endsInBracket(content.file) {
		content.Close()
		return c.fail(0, ErrTruncated, "the JSON is not closed")
	}
	a := readAhead(ctx, content)
	defer a.close()
	for {
		b, err := a.next()
		if err != nil {
			return fmt.Errorf("check trace %s: %w", path, err)
		}
		if err := c.read(b.buf[headroom:b.end]); err != nil {
			return err
		}
		switch {
		case b.err == io.EOF:
			return c.end(ctx)
		case b.err != nil:
			return contentError(path, c.offset, b.err)
		}
		a.release(b.buf)
	}
}

// endsInBracket looks at a file's last bytes; where it cannot, it says yes.
func endsInBracket(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return true
	}
	tail := make([]byte, min(256, info.Size()))
	if n, err := f.ReadAt(tail, info.Size()-int64(len(tail))); n < len(tail) && err != nil {
		return true
	}
	tail = bytes.TrimRight(tail, " \r\n\t")
	return len(tail) > 0 && (tail[len(tail)-1] == '}' || tail[len(tail)-1] == ']')
}

// closing follows the brackets of a JSON text that comes in pieces.
type closing struct {
	path     string
	offset   int64
	depth    int
	begun    bool
	inString bool
	escaped  bool
}

func (c *closing) read(b []byte) error {
	for i := 0; i < len(b); i++ {
		if c.inString {
			i = c.skipString(b, i)
			continue
		}
		switch b[i] {
		case '"':
			c.inString = true
		case '{', '[':
			if c.begun && c.depth == 0 {
				return c.fail(i, ErrFormat, "text after the end of the JSON")
			}
			c.begun = true
			c.depth++
		case '}', ']':
			if c.depth--; c.depth < 0 {
				return c.fail(i, ErrFormat, "a bracket that closes nothing")
			}
		case ' ', '\n', '\r', '\t':
		default:
			if c.depth == 0 {
				return c.fail(i, ErrFormat, "text outside of the JSON")
			}
		}
	}
	c.offset += int64(len(b))
	return nil
}

// skipString gives the index of the quote that ends the string, or len(b).
func (c *closing) skipString(b []byte, i int) int {
	if c.escaped {
		c.escaped = false
		i++
	}
	for {
		switch i = stringEnd(b, i); {
		case i >= len(b):
			return len(b)
		case b[i] == '"':
			c.inString = false
			return i
		case i+1 == len(b):
			c.escaped = true
			return len(b)
		}
		i += 2
	}
}

// end says what is missing. Where the text is all there and its brackets do not
// close, it may be one that cannot be read, of which the reader says why.
func (c *closing) end(ctx context.Context) error {
	if c.begun && c.depth == 0 && !c.inString {
		return nil
	}
	if err := readThrough(ctx, c.path); errors.Is(err, ErrFormat) {
		return err
	}
	return c.fail(0, ErrTruncated, "the JSON is not closed")
}

// readThrough reads all events.
func readThrough(ctx context.Context, path string) error {
	r, err := open(ctx, path)
	if err != nil {
		return err
	}
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	return err
}

func (c *closing) fail(i int, kind error, detail string) error {
	return &Error{Path: c.path, Offset: c.offset + int64(i), Kind: kind, Detail: detail}
}
