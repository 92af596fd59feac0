package trace

// fate is what Trim does with an event.
type fate uint8

const (
	drop fate = iota
	keep
	clip
)

// rules decide which events belong to a window. What they say is sure once learn
// has seen all events of the file. Before that it is what the events so far let
// expect, and they note when a later one proves them wrong: a launch most often
// stands before what it launched, so that one pass over a file is enough.
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

	calls   known // correlation ids of runtime calls
	origins known // External ids of operators and annotations

	settled bool // all events were learnt
	wrong   bool // one was decided otherwise than it would be now
}

func (r *rules) within(t int64) bool { return t >= r.start && t < r.end }

// learn notes which ids the host events of the window have.
func (r *rules) learn(e *Event) error {
	if e.Phase != 'X' || onDevice(e.Category) {
		return nil
	}
	ok := true
	switch {
	case isLaunch(e.Category):
		if id, has := e.ArgInt("correlation"); has {
			ok = r.add(&r.calls, id, r.within(e.TS))
		}
	case string(e.Category) == "cpu_op", string(e.Category) == "user_annotation":
		if id, has := e.ArgInt("External id"); has {
			ok = r.add(&r.origins, id, r.within(e.TS))
		}
	}
	if !ok {
		return &Error{Path: r.path, Kind: ErrLimit, Detail: "correlation ids are too far apart"}
	}
	return nil
}

func (r *rules) add(k *known, id int64, within bool) bool {
	r.wrong = r.wrong || k.contradicted(id, within)
	return k.all.add(id) && (!within || k.in.add(id))
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
	call, hasCall := e.ArgInt("correlation")
	if hasCall && r.calls.all.has(call) {
		return r.byID(&r.calls, call)
	}
	stays := when(r.within(e.TS))
	if origin, ok := e.ArgInt("External id"); ok {
		if r.origins.all.has(origin) {
			stays = r.byID(&r.origins, origin)
		} else {
			r.expect(&r.origins, origin, stays)
		}
	}
	if hasCall {
		r.expect(&r.calls, call, stays)
	}
	return stays
}

// decideFlow: the ids of forward-to-backward arrows are of a kind of their own.
func (r *rules) decideFlow(e *Event) fate {
	id, ok := parseInt(e.ID)
	if !ok || string(e.Category) == "fwdbwd" {
		return when(r.within(e.TS))
	}
	if r.calls.all.has(id) {
		return r.byID(&r.calls, id)
	}
	stays := when(r.within(e.TS))
	r.expect(&r.calls, id, stays)
	return stays
}

// byID decides by an id that is known. That it belongs to the window is sure.
func (r *rules) byID(k *known, id int64) fate {
	if k.in.has(id) {
		return keep
	}
	r.expect(k, id, drop)
	return drop
}

// expect notes that an event was decided while its id was not, or could become
// one of the window yet.
func (r *rules) expect(k *known, id int64, f fate) {
	if !r.settled && !r.wrong {
		r.wrong = !k.expect(id, f)
	}
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
