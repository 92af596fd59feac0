// Package kineto records what the embedded engine's model does, and writes it
// the way torch's profiler writes a Kineto trace: the same keys, categories,
// argument names and number formats as in files of vLLM on CPU.
//
// It knows nothing of servers, requests or dialects of their protocols.
package kineto

import (
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Options are what a trace holds beside names and times. They are fixed for a
// recording, as torch's are.
type Options struct {
	// Shapes adds the inputs' sizes, types and values to every operator.
	Shapes bool
	// Memory adds an instant event for each allocation and release.
	Memory bool
	// Stack adds the functions of the model as python_function events.
	Stack bool
	// FLOPs counts floating point operations. As with torch they appear in the
	// table of operators only; the trace merely says with_flops.
	FLOPs bool
}

// Recorder collects the events of one recording. It belongs to one goroutine.
// All its methods may be called on a nil Recorder, where they do nothing: a
// server that does not record has none.
type Recorder struct {
	opts  Options
	start time.Time

	ops    []operator
	args   []Arg
	open   []int32 // the operators that have begun and not ended, outermost first
	frames []frame
	frame  int32 // the innermost open frame, or -1
	memory []allocation
	total  int64
}

type operator struct {
	name       string
	annotation bool
	parent     int32 // the operator around it, or -1
	start, end int64 // ns since the start of the recording; end is -1 while open
	args       int32
	nargs      int32
	flops      int64
	mem        int64 // bytes allocated less bytes released in it alone
}

type frame struct {
	name       string
	module     int32 // number of the module's instance, or -1 for a function
	parent     int32
	start, end int64
}

type allocation struct {
	at    int64
	addr  uint64
	bytes int64 // negative when released
	total int64
}

// Op names an operator that has begun. The zero Op names none.
type Op int32

// Frame names a function that was entered. The zero Frame names none.
type Frame int32

// NewRecorder starts a recording now. With stacks on it also records the
// functions that the caller is in, outermost first, as open for the whole of it.
func NewRecorder(opts Options) *Recorder {
	r := &Recorder{opts: opts, start: time.Now(), frame: -1}
	if opts.Stack {
		r.recordCallers()
	}
	return r
}

func (r *Recorder) now() int64 { return int64(time.Since(r.start)) }

// Begin starts an operator inside those that have begun and not ended.
func (r *Recorder) Begin(name string, in ...Arg) Op {
	if r == nil {
		return 0
	}
	o := operator{name: name, parent: r.innermost(), end: -1}
	if r.opts.FLOPs {
		o.flops = flops(name, in)
	}
	if r.opts.Shapes {
		o.args, o.nargs = int32(len(r.args)), int32(len(in))
		r.args = append(r.args, in...)
	}
	return r.push(o)
}

// Annotate starts a user annotation: a span that a server puts around its own work.
func (r *Recorder) Annotate(name string) Op {
	if r == nil {
		return 0
	}
	return r.push(operator{name: name, annotation: true, parent: r.innermost(), end: -1})
}

// End ends an operator or an annotation, and whatever in it was left open.
func (r *Recorder) End(op Op) {
	if r == nil || op <= 0 {
		return
	}
	now := r.now()
	for len(r.open) > 0 {
		last := r.open[len(r.open)-1]
		if last < int32(op)-1 {
			return
		}
		r.ops[last].end = now
		r.open = r.open[:len(r.open)-1]
	}
}

// Allocated records that memory was taken: its address and its size in bytes.
func (r *Recorder) Allocated(addr uintptr, bytes int) { r.account(addr, int64(bytes)) }

// Released records that memory was given back.
func (r *Recorder) Released(addr uintptr, bytes int) { r.account(addr, -int64(bytes)) }

func (r *Recorder) account(addr uintptr, bytes int64) {
	if r == nil || !r.opts.Memory {
		return
	}
	r.total += bytes
	r.memory = append(r.memory, allocation{at: r.now(), addr: uint64(addr), bytes: bytes, total: r.total})
	if op := r.innermost(); op >= 0 {
		r.ops[op].mem += bytes
	}
}

// Enter records that the function which calls it was entered.
func (r *Recorder) Enter() Frame {
	if r == nil || !r.opts.Stack {
		return 0
	}
	var pc [1]uintptr
	if runtime.Callers(2, pc[:]) == 0 {
		return 0
	}
	f, _ := runtime.CallersFrames(pc[:]).Next()
	return r.pushFrame(frameName(f), -1)
}

// EnterModule records that a module of the model was entered: its class and the
// number of its instance.
func (r *Recorder) EnterModule(class string, instance int) Frame {
	if r == nil || !r.opts.Stack {
		return 0
	}
	return r.pushFrame("nn.Module: "+class+"_"+strconv.Itoa(instance), int32(instance))
}

// Leave records that what Enter or EnterModule named was left, and whatever was
// entered since.
func (r *Recorder) Leave(f Frame) {
	if r == nil || f <= 0 {
		return
	}
	now := r.now()
	for i := int32(f) - 1; r.frame >= i; {
		r.frames[r.frame].end = now
		r.frame = r.frames[r.frame].parent
	}
}

func (r *Recorder) innermost() int32 {
	if len(r.open) == 0 {
		return -1
	}
	return r.open[len(r.open)-1]
}

func (r *Recorder) push(o operator) Op {
	r.ops = append(r.ops, o)
	i := len(r.ops) - 1
	r.open = append(r.open, int32(i))
	// The clock is read last, so that growing the slices counts for nobody.
	r.ops[i].start = r.now()
	return Op(i + 1)
}

func (r *Recorder) pushFrame(name string, module int32) Frame {
	r.frames = append(r.frames, frame{name: name, module: module, parent: r.frame, start: r.now(), end: -1})
	r.frame = int32(len(r.frames) - 1)
	return Frame(len(r.frames))
}

func (r *Recorder) recordCallers() {
	pcs := make([]uintptr, 64)
	pcs = pcs[:runtime.Callers(3, pcs)] // without Callers, recordCallers and NewRecorder
	var names []string
	for frames := runtime.CallersFrames(pcs); ; {
		f, more := frames.Next()
		names = append(names, frameName(f))
		if !more {
			break
		}
	}
	for i := len(names) - 1; i >= 0; i-- {
		r.pushFrame(names[i], -1)
	}
}

// frameName spells a Go function as torch spells a Python one: the file within
// its package's path, the line, the function.
func frameName(f runtime.Frame) string {
	function := f.Function
	slash := strings.LastIndexByte(function, '/')
	dot := strings.IndexByte(function[slash+1:], '.')
	if dot < 0 {
		return path.Base(f.File) + "(" + strconv.Itoa(f.Line) + "): " + function
	}
	pkg, name := function[:slash+1+dot], function[slash+1+dot+1:]
	return pkg + "/" + path.Base(f.File) + "(" + strconv.Itoa(f.Line) + "): " + name
}

// Size is more than the bytes that the trace will have as JSON, by a rough count
// which takes no time: about twice as many.
func (r *Recorder) Size() int64 {
	if r == nil {
		return 0
	}
	return 400*int64(len(r.ops)) + 150*int64(len(r.args)) + 500*int64(len(r.frames)) + 500*int64(len(r.memory))
}

// Finish ends the recording and gives what it holds. The Recorder must not be
// used afterwards. What is still open ends now, as in torch's traces.
func (r *Recorder) Finish() *Trace {
	if r == nil {
		return nil
	}
	end := r.now()
	for _, i := range r.open {
		r.ops[i].end = end
	}
	for i := range r.frames {
		if r.frames[i].end < 0 {
			r.frames[i].end = end
		}
	}
	return &Trace{
		opts: r.opts, start: r.start, length: end,
		ops: r.ops, args: r.args, frames: r.frames, memory: r.memory,
	}
}

// Trace is a finished recording. It is immutable and may be written by any
// number of goroutines.
type Trace struct {
	opts   Options
	start  time.Time
	length int64 // ns

	ops    []operator
	args   []Arg
	frames []frame
	memory []allocation
}
