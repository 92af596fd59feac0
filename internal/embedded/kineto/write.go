package kineto

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Layout is how a release of torch lays out the text of a trace.
type Layout int

const (
	// Compact has several keys a line and the metadata events at the end, as
	// torch 2.8 to 2.10 write it.
	Compact Layout = iota
	// Spread has one key a line and the metadata events first, as torch 2.13
	// writes it.
	Spread
)

// Meta is what a trace says about the process that recorded it.
type Meta struct {
	Layout Layout
	// Version is the server's release, for the keys vllm_version and
	// vllm_version_tuple. Empty leaves them out.
	Version string
	// Host is the value of host_name. Empty leaves it out.
	Host string
	// PID is the process id, and the thread id of the one thread recorded.
	PID int
	// Process is the process's title.
	Process string
	// Name is the file name that the trace calls its own.
	Name string
	// Keys are top-level keys that whoever recorded added, as torch's
	// add_metadata_json takes them.
	Keys []Key
}

// Key is a top-level key of a trace. Its value is anything that has a JSON form.
type Key struct {
	Name  string
	Value any
}

// quarter is the length in seconds to which libkineto rounds the time that a
// trace's own times count from: three of std::chrono's months.
const quarter = 3 * 2629746

// WriteJSON writes the trace as JSON. The times in it are microseconds with three
// decimals after baseTimeNanoseconds, and both together are Unix time.
func (t *Trace) WriteJSON(dst io.Writer, m Meta) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("write trace: trace id: %w", err)
	}
	base := t.start.Unix() / quarter * quarter
	w := &writer{
		Writer: bufio.NewWriterSize(dst, 1<<16),
		meta:   m,
		origin: t.start.UnixNano() - base*1e9,
	}
	w.header(t.opts, strings.ToUpper(hex.EncodeToString(id)), base)
	if m.Layout == Spread {
		w.process()
	}
	for i := range t.ops {
		w.operator(t, i)
	}
	for i := range t.memory {
		w.allocation(&t.memory[i])
	}
	for i := range t.frames {
		w.frame(t, i)
	}
	if m.Layout == Compact {
		w.process()
	}
	w.recording(t.length)
	w.footer()
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}

// writer carries what every event needs. Errors of the destination stay in the
// bufio.Writer and come out of its Flush.
type writer struct {
	*bufio.Writer
	meta   Meta
	origin int64 // ns from the trace's base time to the start of the recording
	events int
	index  int // the next "Ev Idx"
	buf    []byte
}

func (w *writer) print(parts ...string) {
	for _, p := range parts {
		_, _ = w.WriteString(p)
	}
}

func (w *writer) header(o Options, id string, base int64) {
	info := `"distributedInfo": {"backend": "gloo", "rank": 0, "world_size": 1, "pg_count": 1, ` +
		`"pg_config": [{"pg_name": "0", "pg_desc": "default_pg", "backend_config": "cpu:gloo,cuda:gloo", "pg_size": 1, "ranks": [0]}]}`
	if w.meta.Layout == Compact {
		w.print("\n  {\n    \"schemaVersion\": 1,\n    \"deviceProperties\": [\n    ],\n")
	} else {
		w.print(" {\n    \"schemaVersion\": 1,\n    \"deviceProperties\": [],\n    \n")
	}
	key := func(s string) { w.print("      ", s, ",\n") }
	key(info)
	if o.Stack {
		key(`"with_stack": 1`)
	}
	if o.Shapes {
		key(`"record_shapes": 1`)
	}
	if o.Memory {
		key(`"profile_memory": 1`)
	}
	if o.FLOPs {
		key(`"with_flops": 1`)
	}
	key(`"trace_id": "` + id + `"`)
	for _, k := range w.meta.Keys {
		value, err := json.Marshal(k.Value)
		if err != nil {
			value = []byte("null")
		}
		key(quote(k.Name) + ": " + string(value))
	}
	if v := w.meta.Version; v != "" {
		key(`"vllm_version": ` + quote(v))
		tuple, _ := json.Marshal(strings.Split(v, "."))
		key(`"vllm_version_tuple": ` + string(tuple))
	}
	if w.meta.Host != "" {
		key(`"host_name": ` + quote(w.meta.Host))
	}
	w.print("  \"displayTimeUnit\": \"ms\",\n  \"baseTimeNanoseconds\": ",
		strconv.FormatInt(base*1e9, 10), ",\n  \"traceEvents\": [\n")
}

func (w *writer) footer() {
	w.print("\n  ],\n  \"traceName\": ", quote(w.meta.Name), "\n}\n")
}

// field is one key of an event with its value as JSON.
type field struct{ key, value string }

// event writes one event; args is the inside of its "args", or empty.
func (w *writer) event(args string, fields ...field) {
	if w.events > 0 {
		w.print(",\n")
	}
	w.events++
	w.print("  {\n    ")
	separator := ", "
	if w.meta.Layout == Spread {
		separator = ",\n    "
	}
	for i, f := range fields {
		if i > 0 {
			w.print(separator)
		}
		w.print(`"`, f.key, `": `, f.value)
	}
	if args != "" {
		w.print(",\n    \"args\": {\n      ", args, "\n    }")
	}
	w.print("\n  }")
}

// span writes a complete event of the recorded thread, its index added to args.
func (w *writer) span(category, name string, start, end int64, args string) {
	pid := strconv.Itoa(w.meta.PID)
	w.event(args+`, "Ev Idx": `+strconv.Itoa(w.index),
		field{"ph", `"X"`}, field{"cat", quote(category)}, field{"name", quote(name)},
		field{"pid", pid}, field{"tid", pid},
		field{"ts", w.time(start)}, field{"dur", micros(end - start)})
	w.index++
}

func (w *writer) operator(t *Trace, i int) {
	o := &t.ops[i]
	category := "cpu_op"
	if o.annotation {
		category = "user_annotation"
	}
	b := append(w.buf[:0], `"External id": `...)
	b = strconv.AppendInt(b, int64(i+1), 10)
	b = append(b, `,"Record function id": 0`...)
	if t.opts.Shapes && !o.annotation {
		in := t.args[o.args : o.args+o.nargs]
		b = appendList(b, "Concrete Inputs", in, (*Arg).appendConcrete)
		b = appendList(b, "Input type", in, (*Arg).appendType)
		b = appendList(b, "Input Strides", in, (*Arg).appendStrides)
		b = appendList(b, "Input Dims", in, (*Arg).appendDims)
	}
	w.buf = b
	w.span(category, o.name, o.start, o.end, string(b))
}

func appendList(b []byte, key string, in []Arg, one func(*Arg, []byte) []byte) []byte {
	b = append(b, `, "`...)
	b = append(b, key...)
	b = append(b, `": [`...)
	for i := range in {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = one(&in[i], b)
	}
	return append(b, ']')
}

func (w *writer) allocation(a *allocation) {
	pid := strconv.Itoa(w.meta.PID)
	args := fmt.Sprintf(`"Total Reserved": 0, "Total Allocated": %d, "Bytes": %d, "Device Id": -1, `+
		`"Device Type": 0, "Addr": %d, "finished": false, "Ev Idx": %d`, a.total, a.bytes, a.addr, w.index)
	w.event(args,
		field{"ph", `"i"`}, field{"cat", `"cpu_instant_event"`}, field{"s", `"t"`}, field{"name", `"[memory]"`},
		field{"pid", pid}, field{"tid", pid}, field{"ts", w.time(a.at)})
	w.index++
}

func (w *writer) frame(t *Trace, i int) {
	f := &t.frames[i]
	parent := "null"
	if f.parent >= 0 {
		parent = strconv.Itoa(int(f.parent) + 1)
	}
	args := `"Python parent id": ` + parent + `, "Python id": ` + strconv.Itoa(i+1)
	if f.module >= 0 {
		args += `, "Python module id": ` + strconv.Itoa(int(f.module))
	}
	w.span("python_function", f.name, f.start, f.end, args)
}

// process writes the events that name the process and its thread.
func (w *writer) process() {
	pid := strconv.Itoa(w.meta.PID)
	meta := func(name, tid, key, value string) {
		fields := []field{{"name", quote(name)}, {"ph", `"M"`}, {"ts", w.time(0)}, {"pid", pid}, {"tid", tid}}
		if w.meta.Layout == Spread {
			fields[0], fields[1] = fields[1], fields[0]
		}
		w.event(quote(key)+": "+value, fields...)
	}
	meta("process_name", "0", "name", quote(w.meta.Process))
	meta("process_labels", "0", "labels", `"CPU"`)
	meta("process_sort_index", "0", "sort_index", pid)
	// Linux keeps fifteen bytes of a thread's name.
	thread := quote("thread " + pid + " (" + w.meta.Process[:min(15, len(w.meta.Process))] + ")")
	// Written twice: torch names the thread both as the process's main thread
	// and as one that recorded.
	for range 2 {
		meta("thread_name", pid, "name", thread)
		meta("thread_sort_index", pid, "sort_index", pid)
	}
}

// recording writes the events that say from when to when was recorded.
func (w *writer) recording(length int64) {
	start := w.time(0)
	w.event(`"Op count": 0`,
		field{"ph", `"X"`}, field{"cat", `"Trace"`}, field{"name", `"PyTorch Profiler (0)"`},
		field{"pid", `"Spans"`}, field{"tid", `"PyTorch Profiler"`},
		field{"ts", start}, field{"dur", micros(length)})
	w.event(`"sort_index": 536870912`,
		field{"ph", `"M"`}, field{"name", `"process_sort_index"`}, field{"ts", start},
		field{"pid", `"Spans"`}, field{"tid", "0"})
	w.event("",
		field{"ph", `"i"`}, field{"s", `"g"`}, field{"name", `"Iteration Start: PyTorch Profiler"`},
		field{"pid", `"Traces"`}, field{"tid", `"Trace PyTorch Profiler"`}, field{"ts", start})
	w.event("",
		field{"ph", `"i"`}, field{"s", `"g"`}, field{"name", `"Record Window End"`},
		field{"pid", `""`}, field{"tid", `""`}, field{"ts", w.time(length)})
}

// time gives a time of the recording, in ns since its start, in the trace's form.
func (w *writer) time(ns int64) string { return micros(w.origin + ns) }

// micros writes nanoseconds as microseconds with three decimals, exactly.
func micros(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	frac := strconv.FormatInt(ns%1000+1000, 10)
	return sign + strconv.FormatInt(ns/1000, 10) + "." + frac[1:]
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}
