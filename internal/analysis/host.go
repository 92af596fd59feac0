package analysis

import (
	"slices"

	"profjob/internal/trace"
)

// host goes through the threads of the host.
func (w *work) host() {
	h := hostPass{work: w, open: make([]uint32, len(w.names))}
	for _, l := range w.columns.Lanes {
		if !l.Device {
			h.thread(l)
		}
	}
	if w.launches.orphans = w.launches.orphans || slices.ContainsFunc(w.launches.list, func(l launch) bool { return !l.isCalled() }); w.launches.orphans {
		w.origins = originsOf(w.columns, w.launches, w.windows)
	}
	if w.onHostOnly() {
		w.collectives = hostCollectives(w.columns, w.steps)
	}
}

// hostPass is what is remembered while a thread is gone through.
type hostPass struct {
	*work
	open     []uint32 // by name, how many are at work
	ofSteps  bool     // it is the steps' thread
	splitter splitter
}

func (h *hostPass) thread(l *trace.Lane) {
	n := nest{windows: h.windows, enter: h.enter, leave: h.leave}
	h.ofSteps = h.isOfSteps(l)
	if h.ofSteps {
		h.splitter = splitter{windows: h.windows}
		n.during = h.during
	}
	n.walk(l)
}

func (w *work) isOfSteps(l *trace.Lane) bool {
	passes := w.columns.Summary.Passes
	return len(passes) > 0 && passes[0].TID == l.TID && passes[0].PID == l.PID
}

func (h *hostPass) enter(f, parent *frame, s *trace.Span) {
	leaf := h.leafFor(f.step)
	r := h.operators.row(leaf, f.name)
	r.count++
	if h.open[f.name] == 0 {
		r.total += f.end - s.Start
	}
	h.open[f.name]++
	if s.FLOPs > 0 {
		r.flop += s.FLOPs
		h.flops(f, leaf, s.FLOPs)
	}
	if s.Kind == trace.Launch {
		h.call(f, leaf, s)
	}
}

// flops counts those of an operator that is in no other with FLOPs of its own: they
// would be the same ones.
func (h *hostPass) flops(f *frame, leaf int32, n int64) {
	if f.counted {
		return
	}
	f.counted = true
	h.sums[leaf].flops += n
	if f.step != nowhere {
		h.steps[f.step].FLOPs += n
	}
}

// call notes a call of the runtime. It launches if device work correlates with it; the
// replay of a graph does in any case.
func (h *hostPass) call(f *frame, leaf int32, s *trace.Span) {
	facts := &h.names[f.name]
	facts.call = true
	at := h.launches.find(s.Correlation)
	mine := at != nil && !at.isCalled() // the driver's call within the runtime's may have the same
	if mine {
		at.called(f, s, facts.graph)
	}
	if !mine && !facts.graph || f.launches {
		return
	}
	f.launches, facts.launches = true, true
	h.sums[leaf].launches++
	h.sums[leaf].launchTime += f.end - s.Start
	h.allDevice.launched(s.Start)
	if f.step == nowhere {
		return
	}
	step := &h.steps[f.step]
	step.Launches++
	h.onDevice[f.step].launched(s.Start)
	if h.ofSteps {
		step.LaunchTime += max(min(f.end, h.windows[f.step].end)-s.Start, 0)
	}
}

func (h *hostPass) leave(f *frame) {
	h.open[f.name]--
	h.operators.row(h.leafFor(f.step), f.name).self += f.self
}

// during shares out the time of the steps' thread.
func (h *hostPass) during(f *frame, start, end int64) {
	h.splitter.split(start, end, func(step int, length int64) {
		h.steps[step].OperatorTime += length
		sums := &h.sums[h.leafOf[step]]
		sums.inOperators += length
		if h.onHostOnly() {
			sums.add(h.categoryOf(f.name), length)
		}
	})
}

func (s *leafSums) add(category uint16, length int64) {
	if n := int(category) + 1 - len(s.byCategory); n > 0 {
		s.byCategory = append(s.byCategory, make([]int64, n)...)
	}
	s.byCategory[category] += length
}

// onHostOnly says whether the trace has no work of devices.
func (w *work) onHostOnly() bool { return len(w.launches.list) == 0 && !w.launches.orphans }
