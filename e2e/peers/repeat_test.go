//go:build e2e

package peers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// made is a trace made of a real one by repetition.
type made struct {
	name   string // for the tables
	path   string
	json   int64 // bytes before compression
	events int
}

// repeatable is a trace, cut up so that it can be written many times over.
type repeatable struct {
	name   string
	head   string // of the JSON, up to the first event
	events []pieces
	size   int64 // of the JSON of one time, about
	period int64 // µs from one time to the next
	apart  [numberKinds]int64
}

// pieces are an event's text, cut where its numbers stand that differ from one time to
// the next.
type pieces struct {
	once    bool     // metadata, which names processes and threads
	texts   []string // one more than numbers
	numbers []number
}

type number struct {
	kind  numberKind
	value int64
}

// numberKind says what numbers of one time have to be told from those of another.
type numberKind int

const (
	timeStamp   numberKind = iota // whole µs; what is behind the point stays
	correlation                   // of launches and flows
	external                      // of operators
	pythonCall                    // of calls of Python functions
	stepNumber
	numberKinds
)

// moving finds these numbers. Within a string the quotes would have backslashes.
var moving = regexp.MustCompile(`"(ts|id|correlation|[Ee]xternal id|Python id|Python parent id)"\s*:\s*"?(\d+)|"(ProfilerStep)#(\d+)`)

func kindOf(key string) numberKind {
	switch key {
	case "ts":
		return timeStamp
	case "id", "correlation":
		return correlation
	case "Python id", "Python parent id":
		return pythonCall
	case "ProfilerStep":
		return stepNumber
	}
	return external
}

// readRepeatable reads a trace with encoding/json and nothing of profjob's own.
func readRepeatable(t *testing.T, name, path string) *repeatable {
	t.Helper()
	zcat := exec.CommandContext(t.Context(), "gzip", "-dc", path)
	out, err := zcat.StdoutPipe()
	if err == nil {
		err = zcat.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &repeatable{name: name, head: "{"}
	if err := errors.Join(r.read(json.NewDecoder(out)), zcat.Wait()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r
}

func (r *repeatable) read(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return err
	}
	var span timeSpan
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if key != "traceEvents" {
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				return err
			}
			r.head += fmt.Sprintf("\n  %q: %s,", key, value)
			continue
		}
		if _, err := d.Token(); err != nil {
			return err
		}
		for d.More() {
			var event json.RawMessage
			if err := d.Decode(&event); err != nil {
				return err
			}
			if err := span.add(event); err != nil {
				return err
			}
			r.size += int64(len(event)) + 4
			r.events = append(r.events, cut(string(event)))
		}
		if _, err := d.Token(); err != nil {
			return err
		}
	}
	r.head += "\n  \"traceEvents\": ["
	r.period = int64(span.last-span.first) + 1000
	r.keepApart()
	return nil
}

// timeSpan is from the first begin to the last end of events, µs.
type timeSpan struct {
	first, last float64
	any         bool
}

func (s *timeSpan) add(event json.RawMessage) error {
	var e struct {
		Phase   string   `json:"ph"`
		TS, Dur *float64 // any other case of the keys is none of Kineto's
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return fmt.Errorf("%s: %w", event, err)
	}
	if e.TS == nil || e.Phase == "M" {
		return nil
	}
	end := *e.TS
	if e.Dur != nil {
		end += *e.Dur
	}
	if !s.any {
		s.first, s.last, s.any = *e.TS, end, true
	}
	s.first, s.last = min(s.first, *e.TS), max(s.last, end)
	return nil
}

var metadata = regexp.MustCompile(`"ph"\s*:\s*"M"`)

func cut(event string) pieces {
	p := pieces{once: metadata.MatchString(event)}
	done := 0
	for _, m := range moving.FindAllStringSubmatchIndex(event, -1) {
		key, digits := m[2:4], m[4:6]
		if key[0] < 0 {
			key, digits = m[6:8], m[8:10]
		}
		value, err := strconv.ParseInt(event[digits[0]:digits[1]], 10, 64)
		if err != nil || value == 0 { // no number, or one that says there is no link
			continue
		}
		p.texts = append(p.texts, event[done:digits[0]])
		p.numbers = append(p.numbers, number{kindOf(event[key[0]:key[1]]), value})
		done = digits[1]
	}
	p.texts = append(p.texts, event[done:])
	return p
}

// keepApart finds by how much the numbers of one time differ from those of the next.
func (r *repeatable) keepApart() {
	var low, high [numberKinds]int64
	for _, e := range r.events {
		for _, n := range e.numbers {
			if low[n.kind] == 0 {
				low[n.kind], high[n.kind] = n.value, n.value
			}
			low[n.kind], high[n.kind] = min(low[n.kind], n.value), max(high[n.kind], n.value)
		}
	}
	for k := range r.apart {
		r.apart[k] = high[k] - low[k] + 1
	}
	r.apart[timeStamp] = r.period
}

// timesFor is how many times make JSON of at least a size.
func (r *repeatable) timesFor(size int64) int { return int(size/r.size) + 1 }

// repeat writes the trace a number of times, one after the other, to a file in dir that
// gzip compresses as it does by default, which is how the originals are.
func (r *repeatable) repeat(t *testing.T, dir string, times int) made {
	t.Helper()
	m := made{name: fmt.Sprintf("%d × %s", times, r.name), path: filepath.Join(dir, fmt.Sprintf("%s-%dx.json.gz", strings.ReplaceAll(r.name, "/", "-"), times))}
	f, err := os.Create(m.path)
	if err != nil {
		t.Fatal(err)
	}
	gzip := exec.CommandContext(t.Context(), "gzip", "-6n")
	gzip.Stdout = f
	in, err := gzip.StdinPipe()
	if err == nil {
		err = gzip.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &counted{to: bufio.NewWriterSize(in, 1<<18)}
	r.write(w, times)
	m.json, m.events = w.n, w.events
	if err := errors.Join(w.to.Flush(), in.Close(), gzip.Wait(), f.Close()); err != nil {
		t.Fatalf("make %s: %v", m.path, err)
	}
	return m
}

func (r *repeatable) write(w *counted, times int) {
	w.text(r.head)
	comma := "\n  "
	for i := range int64(times) {
		for _, e := range r.events {
			if e.once && i > 0 {
				continue
			}
			w.text(comma)
			comma = ",\n  "
			for k, n := range e.numbers {
				w.text(e.texts[k])
				w.number(n.value + i*r.apart[n.kind])
			}
			w.text(e.texts[len(e.numbers)])
			w.events++
		}
	}
	w.text("\n  ]\n}\n")
}

// counted counts what is written; an error of the writer stays until it is flushed.
type counted struct {
	to     *bufio.Writer
	n      int64
	events int
	digits [20]byte
}

func (c *counted) text(s string) {
	n, _ := io.WriteString(c.to, s)
	c.n += int64(n)
}

func (c *counted) number(v int64) {
	n, _ := c.to.Write(strconv.AppendInt(c.digits[:0], v, 10))
	c.n += int64(n)
}

// TestRepeat: what is made is a trace, and as many times the events and none twice.
func TestRepeat(t *testing.T) {
	r := readRepeatable(t, "event-sync", filepath.Join(shared(t), "hta/event-sync-multi-stream.json.gz"))
	m := r.repeat(t, t.TempDir(), 3)
	data, err := exec.CommandContext(t.Context(), "gzip", "-dc", m.path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		DistributedInfo struct{ Rank *int }
		Events          []struct {
			Phase string `json:"ph"`
			TS    float64
			Args  struct {
				Correlation int64 `json:"correlation"`
			}
		} `json:"traceEvents"`
	}
	if err := json.Unmarshal(data, &trace); err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != m.json || len(trace.Events) != m.events {
		t.Errorf("%d bytes and %d events, counted %d and %d", len(data), len(trace.Events), m.json, m.events)
	}
	once, launches, last := 0, map[int64]int{}, math.Inf(-1)
	for _, e := range trace.Events {
		switch {
		case e.Phase == "M":
			once++
		case e.Phase == "X":
			launches[e.Args.Correlation]++
			last = max(last, e.TS)
		}
	}
	if want := (len(r.events)-once)*3 + once; m.events != want {
		t.Errorf("%d events, want %d", m.events, want)
	}
	for id, n := range launches {
		if id != 0 && n > 3 { // an operator, its call and its kernel
			t.Errorf("correlation %d of %d events", id, n)
		}
	}
	if trace.DistributedInfo.Rank == nil {
		t.Error("no distributedInfo")
	}
}
