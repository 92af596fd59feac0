package trace

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"profjob/internal/durable"
)

// TrimResult is what Trim did.
type TrimResult struct {
	Steps   int // engine steps in the window, as the cut says
	Events  int // in the source
	Kept    int // in the new file, the clipped ones included
	Clipped int
}

// Trim writes the part of the trace src that the cut describes to dst, which is
// compressed with gzip or zstd if its name ends in .gz or .zst. What belongs to
// the window is decided as [rules] says. Events keep their bytes, times
// included, but for clipped ones: those have their ts and dur changed and
// "profjob_clipped": true among their args. The top-level keys stay as they
// are, with profjob_trim ([Trimmed]) added; a bare array becomes an object.
//
// src is read twice, or three times where its base time stands behind the events;
// what is held of it are sets of ids. dst appears once it is
// complete and synced, only for its owner to read, and replaces a file of that
// name; after an error there is no new file. src and dst must not be the same file.
func Trim(ctx context.Context, src, dst string, cut Cut) (*TrimResult, error) {
	if cut.End <= cut.Start {
		return nil, fmt.Errorf("trim trace %s: the window ends at %d ns, before its start at %d ns", src, cut.End, cut.Start)
	}
	if err := notSame(src, dst); err != nil {
		return nil, err
	}
	t := &trimmer{ctx: ctx, src: src, cut: cut, result: TrimResult{Steps: cut.Steps}}
	if err := t.learn(); err != nil {
		return nil, err
	}
	if err := writeFile(dst, t.write); err != nil {
		return nil, err
	}
	return &t.result, nil
}

func notSame(src, dst string) error {
	from, err := os.Stat(src)
	if err != nil {
		return fmt.Errorf("trim trace: %w", err)
	}
	to, err := os.Stat(dst)
	if err == nil && os.SameFile(from, to) {
		return fmt.Errorf("trim trace %s: source and destination are the same file", src)
	}
	return nil
}

type trimmer struct {
	ctx    context.Context
	src    string
	cut    Cut
	base   int64
	rules  rules
	result TrimResult
}

// learn reads the file for the first time. Its base may stand at the end, so
// the window is not known in the file's own time before; a third reading is
// saved by reading the base from the front where it is there.
func (t *trimmer) learn() error {
	base, err := t.findBase()
	if err != nil {
		return err
	}
	t.base = base
	t.rules = rules{path: t.src, start: t.cut.Start - base, end: t.cut.End - base}
	return t.each(func(_ *Reader, e *Event) error { return t.rules.learn(e) }, nil)
}

// findBase gives the base time, reading up to the first event, or the whole
// file where it is not before that.
func (t *trimmer) findBase() (base int64, err error) {
	found := errors.New("found")
	err = t.each(func(r *Reader, _ *Event) error {
		if base = r.Base(); base != 0 {
			return found
		}
		return nil
	}, func(r *Reader) error {
		base = r.Base()
		return nil
	})
	if err == found {
		err = nil
	}
	return base, err
}

// each reads the source.
func (t *trimmer) each(event func(*Reader, *Event) error, end func(*Reader) error) error {
	r, err := open(t.ctx, t.src)
	if err != nil {
		return err
	}
	defer r.Close()
	for n := 0; ; n++ {
		if n%4096 == 0 && t.ctx.Err() != nil {
			return fmt.Errorf("trim trace %s: %w", t.src, context.Cause(t.ctx))
		}
		e, err := r.Next()
		if err == io.EOF {
			if end == nil {
				return nil
			}
			return end(r)
		}
		if err != nil {
			return err
		}
		if err := event(r, e); err != nil {
			return err
		}
	}
}

// write reads the source for the second time, copying what stays.
func (t *trimmer) write(w *bufio.Writer) error {
	o := &object{w: w}
	var line []byte
	err := t.each(func(r *Reader, e *Event) error {
		o.members(r.Metadata())
		t.result.Events++
		fate := t.rules.decide(e)
		if fate == drop {
			return nil
		}
		t.result.Kept++
		if fate == keep {
			return o.event(e.Raw)
		}
		t.result.Clipped++
		line = appendClipped(line[:0], e, t.rules.start, t.rules.end)
		return o.event(line)
	}, func(r *Reader) error {
		o.members(r.Metadata())
		mark, err := t.mark(o.of)
		if err != nil {
			return err
		}
		return o.close(mark)
	})
	return err
}

// mark is the value of the top-level key that says what was done.
func (t *trimmer) mark(of []byte) ([]byte, error) {
	mark, err := json.Marshal(Trimmed{Version: 1, Source: filepath.Base(t.src), Steps: t.cut.Steps,
		Start: t.cut.Start, End: t.cut.End, Whole: t.cut.Whole, Of: of})
	if err != nil {
		return nil, fmt.Errorf("trim trace %s: %s: %w", t.src, trimKey, err)
	}
	return mark, nil
}

// object writes the top-level object. Errors of the writer stay in it until
// close.
type object struct {
	w      *bufio.Writer
	seen   int    // members of the source written
	some   bool   // something was written at the level we are on
	opened bool   // the array of events is open
	of     []byte // the source's own profjob_trim
}

// members writes the members of the source that were not written yet; the
// array of events is opened where it comes.
func (o *object) members(all []Member) {
	for ; o.seen < len(all); o.seen++ {
		m := all[o.seen]
		switch {
		case m.Raw == nil:
			o.open(m.RawKey)
		case m.Key == trimKey:
			o.of = m.Raw
		default:
			o.closeEvents()
			o.key(m.RawKey)
			o.w.Write(m.Raw)
		}
	}
}

func (o *object) key(rawKey []byte) {
	if o.some {
		o.w.WriteString(",\n")
	} else {
		o.w.WriteString("{\n")
	}
	o.some = true
	o.w.Write(rawKey)
	o.w.WriteString(": ")
}

func (o *object) open(rawKey []byte) {
	o.closeEvents()
	o.key(rawKey)
	o.w.WriteString("[")
	o.opened, o.some = true, false
}

func (o *object) closeEvents() {
	if o.opened {
		o.w.WriteString("\n]")
		o.opened, o.some = false, true
	}
}

func (o *object) event(raw []byte) error {
	if !o.opened { // of a bare array
		o.open([]byte(`"` + EventsKey + `"`))
	}
	if o.some {
		o.w.WriteString(",")
	}
	o.some = true
	o.w.WriteString("\n")
	_, err := o.w.Write(raw)
	return err
}

func (o *object) close(mark []byte) error {
	if o.seen == 0 && !o.opened { // a bare array of which nothing stays
		o.open([]byte(`"` + EventsKey + `"`))
	}
	o.closeEvents()
	o.key([]byte(`"` + trimKey + `"`))
	o.w.Write(mark)
	_, err := o.w.WriteString("\n}\n")
	return err
}

// writeFile writes a file that appears under its name only when it is complete.
func writeFile(path string, write func(*bufio.Writer) error) error {
	if err := durable.WriteFile(path, func(w io.Writer) error { return compress(w, path, write) }); err != nil {
		return fmt.Errorf("write trace %s: %w", path, err)
	}
	return nil
}

// compress writes through the compressor that the name asks for.
func compress(f io.Writer, path string, write func(*bufio.Writer) error) error {
	var z io.WriteCloser
	switch {
	case strings.HasSuffix(path, ".gz"):
		z = gzip.NewWriter(f)
	case strings.HasSuffix(path, ".zst"):
		enc, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		z = enc
	}
	if z != nil {
		f = z
	}
	w := bufio.NewWriterSize(f, 256<<10)
	err := write(w)
	if err == nil {
		err = w.Flush()
	}
	if z != nil {
		err = errors.Join(err, z.Close())
	}
	return err
}
