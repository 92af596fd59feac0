package steps

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"profjob/internal/durable"
)

const (
	// sensitiveMarker stands where a sensitive value was.
	sensitiveMarker = "(sensitive)"
	// leastSensitive is the length in bytes from which on a value is looked for: a
	// shorter one stands in ordinary words.
	leastSensitive = 4
	// logChunk is how much of a log is read at once, in bytes.
	logChunk = 64 << 10
)

// sensitiveValues are the values to look for, the longest first, so that one which
// is part of another leaves nothing of that behind. They are without the space
// around them, such as the line end of a file that a value was read from.
func sensitiveValues(secrets map[string]string) [][]byte {
	var values [][]byte
	for _, value := range secrets {
		if value = strings.TrimSpace(value); len(value) >= leastSensitive {
			values = append(values, []byte(value))
		}
	}
	slices.SortFunc(values, func(a, b []byte) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b))
	})
	return slices.CompactFunc(values, bytes.Equal)
}

func longest(values [][]byte) int {
	if len(values) == 0 {
		return 0
	}
	return len(values[0])
}

// withoutSensitive is a text with the marker in the place of each value.
func withoutSensitive(text []byte, values [][]byte) []byte {
	var out bytes.Buffer
	_, _ = cutSensitive(&out, bytes.NewReader(text), values) // neither of them fails
	return out.Bytes()
}

// cutSensitive copies with the marker in the place of each value, the longest
// first, and tells how many there were. It holds no more than a chunk and one value.
func cutSensitive(dst io.Writer, src io.Reader, values [][]byte) (found int, err error) {
	chunk := make([]byte, logChunk)
	var held []byte // read and not written yet
	for {
		n, readErr := src.Read(chunk)
		if readErr != nil && readErr != io.EOF {
			return found, readErr
		}
		held = append(held, chunk[:n]...)
		safe := len(held)
		if readErr == nil { // a value that begins before safe is whole in what is held
			safe = max(0, len(held)-max(0, longest(values)-1))
		}
		written, here, err := writeWithout(dst, held, safe, values)
		found += here
		if err != nil || readErr == io.EOF {
			return found, err
		}
		held = append(held[:0], held[written:]...)
	}
}

// writeWithout writes a text up to safe, or up to the end of a value that begins
// before it, and tells how much of the text that was and how many values were in it.
func writeWithout(dst io.Writer, text []byte, safe int, values [][]byte) (written, found int, err error) {
	for written < safe {
		at, length := firstOf(text[written:], values)
		if at < 0 || written+at >= safe {
			_, err := dst.Write(text[written:safe])
			return safe, found, err
		}
		if _, err := dst.Write(text[written : written+at]); err != nil {
			return written, found, err
		}
		if _, err := io.WriteString(dst, sensitiveMarker); err != nil {
			return written, found, err
		}
		found++
		written += at + length
	}
	return written, found, nil
}

// firstOf finds the first value in a text, of several at one place the longest; −1: none.
func firstOf(text []byte, values [][]byte) (at, length int) {
	at = -1
	for _, value := range values {
		if i := bytes.Index(text, value); i >= 0 && (at < 0 || i < at) {
			at, length = i, len(value)
		}
	}
	return at, length
}

// cleanLogs cuts the values of the plan's secrets out of the servers' logs, as a
// server that prints its environment leaves them there. It takes no context: an
// interrupt must not leave them behind. A log that cannot be cleaned is removed.
func (r *Run) cleanLogs() error {
	values := sensitiveValues(r.sensitive())
	entries, err := os.ReadDir(r.Dir.Join("logs"))
	if errors.Is(err, fs.ErrNotExist) || len(values) == 0 {
		return nil
	}
	if err != nil {
		return incomplete("cut sensitive values out of logs: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := r.Dir.Join("logs", e.Name())
		if err := cleanLog(path, values); err != nil {
			errs = append(errs, finalIncomplete("logs/%s is not kept, since sensitive values could not be cut out of it: %w",
				e.Name(), errors.Join(err, os.Remove(path))))
		}
	}
	return errors.Join(errs...)
}

// cleanLog leaves a file as it is that holds none of the values.
func cleanLog(path string, values [][]byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := cutSensitive(io.Discard, f, values)
	if err != nil || found == 0 {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	err = durable.WriteFile(path, func(w io.Writer) error {
		_, err := cutSensitive(w, f, values)
		return err
	})
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", filepath.Base(path), err)
	}
	return nil
}
