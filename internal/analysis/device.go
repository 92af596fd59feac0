package analysis

import "profjob/internal/trace"

// device goes through the work of devices, all streams at once in the order of start.
func (w *work) device() {
	inOrder(w.columns.Lanes, w.deviceWork)
}

// deviceWork takes over one kernel, copy or fill.
func (w *work) deviceWork(s *trace.Span) {
	step, owner, l := w.launchedBy(s)
	leaf := w.leafFor(step)
	w.kernels.row(leaf, s.Name).add(&kernelRow{1, s.Dur, s.Dur, s.Dur, s.Kind})
	if owner != 0 {
		w.operators.row(leaf, trace.NameID(owner-1)).device += s.Dur
	}
	if l != nil {
		l.answered(s.Start)
		// A graph's kernels share the call: that one of them is shorter says nothing.
		if !l.isGraph() && s.Dur < l.cost() {
			w.sums[leaf].short++
		}
	}
	collective := s.Kind == trace.Kernel && w.kernelCategoryOf(s.Name, s.Kind) == isCollective
	w.allDevice.add(s, collective, l != nil)
	if step != nowhere {
		w.onDevice[step].add(s, collective, l != nil)
	}
	if collective {
		base := w.columns.Base
		w.collectives = append(w.collectives, Collective{Name: w.columns.Names[s.Name], Step: int(step), Start: base + s.Start, End: base + s.End()})
	}
}

// launchedBy says which step a device's work belongs to, as Trim decides it: by the call
// with the same correlation, else by the operator with the same external id, else by its
// own time. The owner is the NameID+1 of the operator that launched it, 0 for none.
func (w *work) launchedBy(s *trace.Span) (step int32, owner uint32, l *launch) {
	if l = w.launches.find(s.Correlation); l != nil && l.isCalled() {
		return l.step, l.owner, l
	}
	if s.External != 0 {
		if o := w.origins.find(s.External); o != nil && o.owner != 0 {
			return o.step, o.owner, nil
		}
	}
	return w.windows.at(s.Start), 0, nil
}

// deviceSpan is the work of devices for one step. Times are ns after [trace.Columns.Base].
type deviceSpan struct {
	start, end    int64
	launch        int64 // start of the first launch
	hasLaunch     bool
	answer        int64 // start of the first work that a launch of the trace led to
	hasAnswer     bool
	kernels       int
	busy          union
	compute       union
	communication union
	both          union // compute or communication
	copies        union
}

// launched takes over a launch; they may come in any order.
func (d *deviceSpan) launched(at int64) {
	if !d.hasLaunch || at < d.launch {
		d.launch, d.hasLaunch = at, true
	}
}

// add takes over work in the order of its start.
func (d *deviceSpan) add(s *trace.Span, collective, launched bool) {
	if d.kernels == 0 {
		at := union{end: s.Start}
		d.start, d.end = s.Start, s.Start
		d.busy, d.compute, d.communication, d.both, d.copies = at, at, at, at, at
	}
	if launched && !d.hasAnswer {
		d.answer, d.hasAnswer = s.Start, true
	}
	d.kernels++
	end := s.End()
	d.end = max(d.end, end)
	d.busy.add(s.Start, end)
	switch {
	case s.Kind != trace.Kernel:
		d.copies.add(s.Start, end)
		return
	case collective:
		d.communication.add(s.Start, end)
	default:
		d.compute.add(s.Start, end)
	}
	d.both.add(s.Start, end)
}

// time is nil where there was no work.
func (d *deviceSpan) time(base int64) *DeviceTime {
	if d.kernels == 0 {
		return nil
	}
	t := &DeviceTime{Start: base + d.start, Span: d.end - d.start, Busy: d.busy.sum, Idle: d.end - d.start - d.busy.sum,
		Compute: d.compute.sum, Communication: d.communication.sum, Exposed: d.both.sum - d.compute.sum,
		Copies: d.copies.sum, Kernels: d.kernels}
	if d.hasLaunch && d.hasAnswer {
		t.Delay = d.answer - d.launch
	}
	return t
}

// add makes the sum over steps.
func (t *DeviceTime) add(s *DeviceTime) {
	if t.Kernels == 0 || s.Start < t.Start {
		t.Start = s.Start
	}
	t.Span += s.Span
	t.Busy += s.Busy
	t.Idle += s.Idle
	t.Compute += s.Compute
	t.Communication += s.Communication
	t.Exposed += s.Exposed
	t.Copies += s.Copies
	t.Kernels += s.Kernels
	t.Delay += s.Delay
}
