package analysis

import "profjob/internal/trace"

// sparks says of the rows that lead the lists of the whole trace what they were in each
// step. The spans are gone through once more: sums of every name in every step would be
// more than the trace.
func (w *work) sparks(g *Group, of *level) {
	if len(w.steps) == 0 {
		return
	}
	rows := make([][]int64, len(w.names)) // by name
	for i, name := range of.top[0] {
		rows[name] = make([]int64, len(w.steps))
		g.Operators[i].PerStep = rows[name]
	}
	n := nest{windows: w.windows, leave: func(f *frame) {
		if r := rows[f.name]; r != nil && f.step != nowhere {
			r[f.step] += f.self
		}
	}}
	for _, l := range w.columns.Lanes {
		if !l.Device {
			n.walk(l)
		}
	}
	clear(rows)
	for i, name := range of.top[1] {
		rows[name] = make([]int64, len(w.steps))
		g.Kernels[i].PerStep = rows[name]
	}
	for _, l := range w.columns.Lanes {
		if l.Device {
			w.sparkKernels(l, rows)
		}
	}
}

func (w *work) sparkKernels(l *trace.Lane, rows [][]int64) {
	for i := range l.Len() {
		s := l.At(i)
		if r := rows[s.Name]; r != nil && s.Kind.OnDevice() {
			if step, _, _ := w.launchedBy(&s); step != nowhere {
				r[step] += s.Dur
			}
		}
	}
}
