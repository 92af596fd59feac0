package trace

// fate is what Trim does with an event.
type fate uint8

const (
	drop fate = iota
	keep
	clip
)

// rules decide which events belong to a window, once learn has seen all events
// of the file.
//
//   - Host events (operators, runtime calls, instants, counters, frames) belong
//     to the window that they start in, on whatever thread.
//   - A device event belongs to the window that its launch is in: the runtime
//     call with the same correlation id. So do the kernels that a replayed graph
//     runs, for they carry the id of the graph's launch. Where the file has no
//     such call, the operator or annotation with the same External id decides,
//     and else the event's own time.
//   - A frame (python_function, user_annotation) that reaches into the window or
//     out of it, and any other host span that reaches over all of it, is
//     clipped to the window.
//   - The ends of a flow arrow carry the correlation id of the launch that they
//     are anchored to, and stay with it; the others are anchored to host events
//     by their time.
//   - Metadata stay, and so does an event without a time.
type rules struct {
	path       string
	start, end int64 // in the file's own time, end not included

	calls, callsKept   idSet // correlation ids of runtime calls
	origins, originsIn idSet // External ids of operators and annotations
}

func (r *rules) within(t int64) bool { return t >= r.start && t < r.end }

// learn notes which ids the host events of the window have.
func (r *rules) learn(e *Event) error {
	if e.Phase != 'X' || onDevice(e.Category) {
		return nil
	}
	var ok bool
	switch {
	case isLaunch(e.Category):
		id, has := e.ArgInt("correlation")
		ok = !has || learn(&r.calls, &r.callsKept, id, r.within(e.TS))
	case string(e.Category) == "cpu_op", string(e.Category) == "user_annotation":
		id, has := e.ArgInt("External id")
		ok = !has || learn(&r.origins, &r.originsIn, id, r.within(e.TS))
	default:
		return nil
	}
	if !ok {
		return &Error{Path: r.path, Kind: ErrLimit, Detail: "correlation ids are too far apart"}
	}
	return nil
}

func learn(all, in *idSet, id int64, within bool) bool {
	return all.add(id) && (!within || in.add(id))
}

func (r *rules) decide(e *Event) fate {
	switch {
	case e.Phase == 'M' || !e.Timed:
		return keep
	case e.Phase == 's' || e.Phase == 't' || e.Phase == 'f':
		return r.decideFlow(e)
	case onDevice(e.Category):
		return r.decideDevice(e)
	case e.Phase == 'X':
		return r.decideSpan(e)
	default:
		return when(r.within(e.TS))
	}
}

func (r *rules) decideDevice(e *Event) fate {
	if id, ok := e.ArgInt("correlation"); ok && r.calls.has(id) {
		return when(r.callsKept.has(id))
	}
	if id, ok := e.ArgInt("External id"); ok && r.origins.has(id) {
		return when(r.originsIn.has(id))
	}
	return when(r.within(e.TS))
}

// decideFlow: the ids of forward-to-backward arrows are of a kind of their own.
func (r *rules) decideFlow(e *Event) fate {
	if string(e.Category) != "fwdbwd" {
		if id, ok := parseInt(e.ID); ok && r.calls.has(id) {
			return when(r.callsKept.has(id))
		}
	}
	return when(r.within(e.TS))
}

func (r *rules) decideSpan(e *Event) fate {
	starts, frame := r.within(e.TS), isFrame(e.Category)
	switch {
	case starts && frame && e.End() > r.end:
		return clip
	case starts:
		return keep
	case e.TS < r.start && (frame && e.End() > r.start || e.End() >= r.end):
		return clip
	default:
		return drop
	}
}

func when(stays bool) fate {
	if stays {
		return keep
	}
	return drop
}
