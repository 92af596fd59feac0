package analysis

import (
	"math"

	"profjob/internal/trace"
)

// frame is an operator or runtime call that is at work. Its end is no later than that
// of the one it is within, whatever the trace says.
type frame struct {
	end      int64
	self     int64 // so far, without those within it
	name     trace.NameID
	operator uint32 // NameID+1 of the innermost operator, itself included; 0 for none
	step     int32  // that it started in
	launches bool   // it or one around it launches device work
	counted  bool   // it or one around it has FLOPs
}

// nest goes through a thread's operators and runtime calls as they enclose each other.
// Their self times add up to the spans of those that are not within another.
type nest struct {
	windows windows
	enter   func(f, parent *frame, s *trace.Span) // parent is nil where there is none
	leave   func(f *frame)
	// during, if set, gets each stretch of time in which one and the same was the
	// innermost, in order.
	during func(f *frame, start, end int64)

	stack []frame
	span  trace.Span
	now   int64
}

func (n *nest) walk(l *trace.Lane) {
	steps := cursor{windows: n.windows}
	n.now = math.MinInt64
	for i := range l.Len() {
		n.span = l.At(i)
		s := &n.span
		if s.Kind != trace.Operator && s.Kind != trace.Launch {
			continue
		}
		n.leaveUntil(s.Start)
		n.pass(s.Start)
		n.push(s, steps.at(s.Start))
	}
	n.leaveUntil(math.MaxInt64)
}

func (n *nest) push(s *trace.Span, step int32) {
	f := frame{end: s.End(), name: s.Name, step: step}
	depth := len(n.stack)
	if depth > 0 {
		around := &n.stack[depth-1]
		f.end = min(f.end, around.end)
		f.operator, f.launches, f.counted = around.operator, around.launches, around.counted
	}
	if s.Kind == trace.Operator {
		f.operator = uint32(s.Name) + 1
	}
	n.stack = append(n.stack, f)
	if n.enter == nil {
		return
	}
	var parent *frame
	if depth > 0 {
		parent = &n.stack[depth-1]
	}
	n.enter(&n.stack[depth], parent, s)
}

// leaveUntil leaves what ended by a time.
func (n *nest) leaveUntil(t int64) {
	for k := len(n.stack) - 1; k >= 0 && n.stack[k].end <= t; k-- {
		n.pass(n.stack[k].end)
		n.leave(&n.stack[k])
		n.stack = n.stack[:k]
	}
}

// pass lets time pass, which counts for the innermost.
func (n *nest) pass(to int64) {
	if k := len(n.stack) - 1; k >= 0 && to > n.now {
		n.stack[k].self += to - n.now
		if n.during != nil {
			n.during(&n.stack[k], n.now, to)
		}
	}
	n.now = max(n.now, to)
}
