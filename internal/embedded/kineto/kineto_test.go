package kineto

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fixed is a trace whose times are known: an annotation around a product with
// an allocation, in two functions.
func fixed(o Options) *Trace {
	in := []Arg{Tensor(Float32, 4, 128), Tensor(Float32, 128, 768), Int(-1), Float(1e-5), Bool(true), Ints(4, 768), None(), Tensor(Int64)}
	return &Trace{
		opts: o, start: time.Unix(1795568509, 242279056), length: 9_000_500,
		ops: []operator{
			{name: "execute_context_0(0)_generation_4(4)", annotation: true, parent: -1, start: 1_000, end: 5_001_000},
			{name: "aten::linear", parent: 0, start: 2_000, end: 4_002_000, args: 0, nargs: 2},
			{name: "aten::mm", parent: 1, start: 3_007, end: 4_000_000, args: 0, nargs: 8, flops: 786432, mem: 12288},
			{name: "aten::argmax", parent: -1, start: 6_000_000, end: 6_000_999},
			{name: "aten::mm", parent: -1, start: 7_000_000, end: 7_500_000, args: 0, nargs: 2, flops: 786432, mem: -12288},
		},
		args: in,
		memory: []allocation{
			{at: 3_500, addr: 824634400768, bytes: 12288, total: 12288},
			{at: 7_100_000, addr: 824634400768, bytes: -12288, total: 0},
		},
		frames: []frame{
			{name: "profjob/internal/embedded/engine.go(10): (*engine).run", module: -1, parent: -1, start: 0, end: 9_000_500},
			{name: "nn.Module: LlamaMLP_2", module: 2, parent: 0, start: 2_500, end: 4_500_000},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

var traceID = regexp.MustCompile(`"trace_id": "[0-9A-F]{32}"`)

func TestWriteJSON(t *testing.T) {
	for _, tc := range []struct {
		file string
		opts Options
		meta Meta
	}{
		{"compact.json", Options{Shapes: true}, Meta{Layout: Compact, PID: 5430, Process: "VLLM::EngineCore", Name: "/tmp/a.json"}},
		{"spread.json", Options{Shapes: true, Memory: true, Stack: true, FLOPs: true}, Meta{
			Layout: Spread, Version: "0.32.0", Host: "vm", PID: 8706, Process: "VLLM::Worker", Name: "/tmp/b.json", Keys: []Key{{"profjob_session", `a "b"`}, {"profjob_rank", 0}}}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			trace := fixed(tc.opts)
			if !tc.opts.Memory {
				trace.memory = nil
			}
			if !tc.opts.Stack {
				trace.frames = nil
			}
			var b bytes.Buffer
			if err := trace.WriteJSON(&b, tc.meta); err != nil {
				t.Fatal(err)
			}
			r := Recorder{ops: trace.ops, args: trace.args, frames: trace.frames, memory: trace.memory}
			if n := r.Size(); n < int64(b.Len())/2 || n > 4*int64(b.Len()) {
				t.Errorf("%d bytes, counted as %d", b.Len(), n)
			}
			if !json.Valid(b.Bytes()) {
				t.Errorf("not JSON: %s", b.Bytes())
			}
			if !traceID.Match(b.Bytes()) {
				t.Error("no trace id")
			}
			golden(t, tc.file, traceID.ReplaceAll(b.Bytes(), []byte(`"trace_id": "TRACE"`)))
		})
	}
}

func TestWriteTable(t *testing.T) {
	for _, tc := range []struct {
		file string
		opts Options
		form TableOptions
	}{
		{"first-call.txt", Options{}, TableOptions{}},
		{"by-shape.txt", Options{Shapes: true, Memory: true, FLOPs: true}, TableOptions{ByShape: true, BySelfTime: true, Limit: 4}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			trace := fixed(tc.opts)
			if !tc.opts.FLOPs {
				for i := range trace.ops {
					trace.ops[i].flops = 0
				}
			}
			var b bytes.Buffer
			if err := trace.WriteTable(&b, tc.form); err != nil {
				t.Fatal(err)
			}
			golden(t, tc.file, b.Bytes())
		})
	}
	var b bytes.Buffer
	if err := NewRecorder(Options{}).Finish().WriteTable(&b, TableOptions{}); err != nil || b.String() != "\n" {
		t.Errorf("an empty recording gives %q, %v", b.String(), err)
	}
}

func TestNilRecorderDoesNothing(t *testing.T) {
	var r *Recorder
	n := testing.AllocsPerRun(10, func() {
		f := r.Enter()
		m := r.EnterModule("RMSNorm", 3)
		op := r.Begin("aten::mm", Tensor(Float32, 4, 4), Tensor(Float32, 4, 4), Ints(1, 2), Float(1))
		r.Allocated(1, 2)
		r.Released(1, 2)
		r.End(op)
		r.End(r.Annotate("x"))
		r.Leave(m)
		r.Leave(f)
	})
	if n != 0 || r.Finish() != nil {
		t.Errorf("%v allocations", n)
	}
}

func TestRecorderNestsAndCounts(t *testing.T) {
	r := NewRecorder(Options{Shapes: true, Memory: true, FLOPs: true})
	span := r.Annotate("span")
	outer := r.Begin("outer")
	inner := r.Begin("aten::mm", Tensor(Float32, 2, 3), Tensor(Float32, 3, 5))
	r.Allocated(16, 40)
	r.End(inner)
	r.Begin("left open")
	r.End(outer)
	r.End(outer) // already ended: nothing
	r.End(span)
	size := r.Size()
	last := r.Begin("open at the end")
	if r.Size() <= size {
		t.Errorf("with one operator more it holds %d bytes, %d before", r.Size(), size)
	}
	_ = last
	trace := r.Finish()
	var names []string
	var parents []int32
	for _, o := range trace.ops {
		names, parents = append(names, o.name), append(parents, o.parent)
		if o.end < o.start || o.start < 0 || o.end > trace.length {
			t.Errorf("%s from %d to %d of %d", o.name, o.start, o.end, trace.length)
		}
	}
	if !slices.Equal(names, []string{"span", "outer", "aten::mm", "left open", "open at the end"}) || !slices.Equal(parents, []int32{-1, 0, 1, 1, -1}) {
		t.Errorf("operators %q with parents %v", names, parents)
	}
	if trace.ops[2].flops != 60 || trace.ops[2].mem != 40 || trace.memory[0].total != 40 {
		t.Errorf("the product is %+v, memory %+v", trace.ops[2], trace.memory)
	}
}

func TestFrames(t *testing.T) {
	r := NewRecorder(Options{Stack: true})
	before := len(r.frames)
	if before < 2 { // this test and what runs it
		t.Errorf("%d frames of the caller", before)
	}
	if got := r.frames[before-1].name; !strings.HasPrefix(got, "profjob/internal/embedded/kineto/kineto_test.go(") || !strings.HasSuffix(got, "): TestFrames") {
		t.Errorf("the innermost frame is %q", got)
	}
	outer := r.EnterModule("LlamaMLP", 2)
	inner := r.Enter()
	_ = inner // left with its caller
	r.Leave(outer)
	after := r.Enter()
	r.Leave(after)
	trace := r.Finish()
	f := trace.frames[before:]
	if len(f) != 3 || f[0].parent != int32(before-1) || f[1].parent != int32(before) || f[2].parent != int32(before-1) || f[0].module != 2 || f[1].module != -1 {
		t.Errorf("frames %+v", f)
	}
	for _, f := range trace.frames {
		if f.end < f.start {
			t.Errorf("%s ends before it starts", f.name)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteErrorsComeOut(t *testing.T) {
	if err := fixed(Options{}).WriteJSON(broken{}, Meta{}); err == nil {
		t.Error("no error of the trace")
	}
	if err := fixed(Options{}).WriteTable(broken{}, TableOptions{}); err == nil {
		t.Error("no error of the table")
	}
}

func TestMicros(t *testing.T) {
	for ns, want := range map[int64]string{0: "0.000", 5: "0.005", 999: "0.999", 1000: "1.000", 4710676423538615: "4710676423538.615", -1500: "-1.500"} {
		if got := micros(ns); got != want {
			t.Errorf("%d ns is %s, want %s", ns, got, want)
		}
	}
}
