package trace

import (
	"bytes"
	"context"
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
	defer content.Close()
	c := closing{path: path}
	if content.plain && !endsInBracket(content.file) {
		return c.fail(0, ErrTruncated, "the JSON is not closed")
	}
	buf := make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("check trace %s: %w", path, context.Cause(ctx))
		}
		n, err := content.Read(buf)
		if err := c.read(buf[:n]); err != nil {
			return err
		}
		switch {
		case err == io.EOF:
			return c.end()
		case err != nil:
			return contentError(path, c.offset, err)
		}
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
	for i < len(b) {
		k := bytes.IndexByte(b[i:], '"')
		if k < 0 {
			c.escaped = endsInEscape(b[i:])
			break
		}
		if !endsInEscape(b[i : i+k]) {
			c.inString = false
			return i + k
		}
		i += k + 1
	}
	return len(b)
}

// endsInEscape says whether a backslash at the end of s, which starts outside
// of an escape, escapes what follows.
func endsInEscape(s []byte) bool {
	return (len(s)-len(bytes.TrimRight(s, `\`)))%2 == 1
}

func (c *closing) end() error {
	if !c.begun || c.depth > 0 || c.inString {
		return c.fail(0, ErrTruncated, "the JSON is not closed")
	}
	return nil
}

func (c *closing) fail(i int, kind error, detail string) error {
	return &Error{Path: c.path, Offset: c.offset + int64(i), Kind: kind, Detail: detail}
}
