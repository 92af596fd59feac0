package analysis

import "profjob/internal/trace"

// inOrder visits the work of all devices' streams in the order of start.
func inOrder(lanes []*trace.Lane, visit func(*trace.Span)) {
	var q streams
	for _, l := range lanes {
		if l.Device {
			q = append(q, stream{lane: l})
			if !q[len(q)-1].advance() {
				q = q[:len(q)-1]
			}
		}
	}
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.sink(i)
	}
	for len(q) > 0 {
		visit(&q[0].span)
		if !q[0].advance() {
			q[0] = q[len(q)-1]
			q = q[:len(q)-1]
		}
		q.sink(0)
	}
}

// stream is how far a stream was read.
type stream struct {
	lane *trace.Lane
	next int
	span trace.Span
}

// advance goes to the next piece of work.
func (s *stream) advance() bool {
	for s.next < s.lane.Len() {
		s.span = s.lane.At(s.next)
		s.next++
		if s.span.Kind.OnDevice() {
			return true
		}
	}
	return false
}

// streams are a heap: none starts before the one at half its index.
type streams []stream

func (q streams) sink(i int) {
	for {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < len(q); k++ {
			if q[k].span.Start < q[least].span.Start {
				least = k
			}
		}
		if least == i {
			return
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}
