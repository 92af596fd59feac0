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
// src is read once where what decides of an event stands before it, as in most
// files, and else twice; once more where its base time stands behind the events.
// What is held of it are sets of ids. dst appears once it is
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
	if err := t.run(dst); err != nil {
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
	rules  rules
	result TrimResult

	base      int64
	baseKnown bool  // the whole file was read for it
	failed    error // to read the source
}

var errAgain = errors.New("the source has to be read again")

// run reads the source until it is written as the rules say when they know all
// of it: most often that takes one pass.
func (t *trimmer) run(dst string) error {
	const passes = 3 // to find its base, to learn what the rules must know, to write
	for range passes {
		t.failed = nil
		err := writeFile(dst, t.write)
		if t.failed != nil {
			return t.failed
		}
		if !errors.Is(err, errAgain) {
			return err
		}
	}
	return fmt.Errorf("trim trace %s: it changes while it is read", t.src)
}

// write is one pass over the source.
func (t *trimmer) write(w *bufio.Writer) error {
	r, err := open(t.ctx, t.src)
	if err != nil {
		t.failed = err
		return err
	}
	defer r.Close()
	t.result = TrimResult{Steps: t.cut.Steps}
	p := &trimming{trimmer: t, r: r, object: object{w: w}}
	for {
		if t.result.Events%4096 == 0 && t.ctx.Err() != nil {
			t.failed = fmt.Errorf("trim trace %s: %w", t.src, context.Cause(t.ctx))
			return t.failed
		}
		e, err := r.Next()
		if err == io.EOF {
			return p.end()
		}
		if err == nil {
			err = p.learn(e)
		}
		if err != nil {
			t.failed = err
			return err
		}
		if p.blind || t.rules.wrong {
			continue // what is written is thrown away
		}
		if err := p.copy(e); err != nil {
			return err
		}
	}
}

// trimming is a pass.
type trimming struct {
	*trimmer
	r      *Reader
	object object
	line   []byte
	timed  bool // an event with a time was read
	blind  bool // only the base is looked for
}

// learn has the rules know an event before it is decided on. The base time is
// most often known when the first event comes; where there is none and times
// are years away from the window's, it comes later.
func (p *trimming) learn(e *Event) error {
	if p.result.Events == 0 {
		p.begin()
	}
	p.result.Events++
	if !p.timed && e.Timed && e.Phase != 'M' {
		const years = 1 << 58 // nine of them, in ns
		p.timed = true
		p.blind = !p.baseKnown && p.base == 0 && (e.TS-p.cut.Start > years || p.cut.Start-e.TS > years)
	}
	if p.blind || p.rules.settled {
		return nil
	}
	return p.rules.learn(e)
}

func (p *trimming) begin() {
	if !p.baseKnown {
		p.base = p.r.Base()
	}
	if !p.rules.settled {
		p.rules = rules{path: p.src, start: p.cut.Start - p.base, end: p.cut.End - p.base}
	}
}

func (p *trimming) copy(e *Event) error {
	p.object.members(p.r.Metadata())
	fate := p.rules.decide(e)
	if fate == drop {
		return nil
	}
	p.result.Kept++
	if fate == keep {
		return p.object.event(e.Raw)
	}
	p.result.Clipped++
	p.line = appendClipped(p.line[:0], e, p.rules.start, p.rules.end)
	return p.object.event(p.line)
}

// end closes the object, or says that it is not what it should be.
func (p *trimming) end() error {
	if base := p.r.Base(); p.result.Events > 0 && base != p.base {
		p.base, p.baseKnown = base, true
		return errAgain
	}
	if p.blind {
		p.baseKnown = true
		return errAgain
	}
	if p.rules.wrong {
		p.rules.settled, p.rules.wrong = true, false
		return errAgain
	}
	p.object.members(p.r.Metadata())
	mark, err := p.mark(p.object.of)
	if err != nil {
		return err
	}
	return p.object.close(mark)
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
		enc, err := gzip.NewWriterLevel(f, gzip.BestSpeed) // any other takes longer than the reading
		if err != nil {
			return err
		}
		z = enc
	case strings.HasSuffix(path, ".zst"):
		enc, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		z = enc
	}
	if z == nil {
		return buffered(f, write)
	}
	b := writeBehind(z)
	err := buffered(b, write)
	if failed := b.Close(); err == nil {
		err = failed
	}
	return errors.Join(err, z.Close())
}

func buffered(f io.Writer, write func(*bufio.Writer) error) error {
	w := bufio.NewWriterSize(f, blockSize)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}
