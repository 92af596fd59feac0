//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/klauspost/compress/gzip"

	"profjob/internal/trace"
)

// repeated makes a trace that is a real one several times, one after the other, with
// times and ids of their own, compressed as torch compresses. It gives the size of the
// JSON and the number of events.
func repeated(t *testing.T, src, dst string, times int) (size int64, events int) {
	t.Helper()
	s, err := trace.Scan(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	pieces := pieces(t, src)
	f, err := os.Create(dst)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, 6)
	if err != nil {
		t.Fatal(err)
	}
	counted := &counter{to: z}
	w := bufio.NewWriterSize(counted, 1<<20)
	period := (s.Last-s.First)/1000 + 1000 // µs
	_, err = io.WriteString(w, "{\n\"schemaVersion\": 1,\n\"distributedInfo\": {\"rank\": 0, \"world_size\": 1},\n\"traceEvents\": [\n")
	for i := 0; i < times && err == nil; i++ {
		for n, p := range pieces {
			if i+n > 0 {
				w.WriteString(",\n") //nolint:errcheck // the next error is the same
			}
			err = p.write(w, int64(i)*period, int64(i)*1<<24)
		}
	}
	_, endErr := io.WriteString(w, "\n]}\n")
	if err := errors.Join(err, endErr, w.Flush(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return counted.n, len(pieces) * times
}

type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// piece is an event, cut where its time and its ids stand.
type piece struct {
	texts   [][]byte // one more than numbers
	numbers []number
}

type number struct {
	value int64
	time  bool
}

var moving = regexp.MustCompile(`"(ts|correlation|External id|id)": ?"?(\d+)`)

func pieces(t *testing.T, src string) []piece {
	t.Helper()
	r, err := trace.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []piece
	for {
		e, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Phase == 'M' {
			continue // once would do, and what is repeated is the work
		}
		all = append(all, pieceOf(bytes.Clone(e.Raw)))
	}
}

func pieceOf(raw []byte) piece {
	var p piece
	done := 0
	for _, m := range moving.FindAllSubmatchIndex(raw, -1) {
		value, err := strconv.ParseInt(string(raw[m[4]:m[5]]), 10, 64)
		if err != nil {
			continue
		}
		p.texts = append(p.texts, raw[done:m[4]])
		p.numbers = append(p.numbers, number{value, string(raw[m[2]:m[3]]) == "ts"})
		done = m[5]
	}
	p.texts = append(p.texts, raw[done:])
	return p
}

func (p *piece) write(w *bufio.Writer, later, apart int64) error {
	var digits [20]byte
	for i, n := range p.numbers {
		w.Write(p.texts[i]) //nolint:errcheck // the next error is the same
		add := apart
		if n.time {
			add = later
		}
		w.Write(strconv.AppendInt(digits[:0], n.value+add, 10)) //nolint:errcheck // the next error is the same
	}
	_, err := w.Write(p.texts[len(p.numbers)])
	return err
}

// largeFile is a made trace.
type largeFile struct {
	path   string
	json   int64 // bytes of JSON
	events int
}

// largeFiles makes files of times a trace in a folder of the test's own.
func largeFiles(t *testing.T, dir, src string, times ...int) []largeFile {
	t.Helper()
	var all []largeFile
	for _, n := range times {
		f := largeFile{path: filepath.Join(dir, fmt.Sprintf("%dx.json.gz", n))}
		f.json, f.events = repeated(t, src, f.path, n)
		all = append(all, f)
	}
	return all
}
