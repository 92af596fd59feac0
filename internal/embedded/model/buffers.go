package model

import (
	"math/bits"
	"reflect"

	"profjob/internal/embedded/kineto"
)

// buffer is a matrix of activations.
type buffer struct {
	rows, cols int
	data       []float32 // [rows, cols]
	whole      []float32 // what the pool keeps
}

func (b buffer) row(i int) []float32 { return b.data[i*b.cols : (i+1)*b.cols] }

// buffers keeps released activations by size, so that passes allocate little.
type buffers struct {
	free [48][][]float32 // by the power of two of their length
}

// take gives a buffer whose content is undefined.
func (p *buffers) take(rec *kineto.Recorder, rows, cols int) buffer {
	op := rec.Begin("aten::empty", kineto.Ints(rows, cols), kineto.Int(6))
	n := rows * cols
	class := bits.Len(uint(max(n, 1) - 1))
	var whole []float32
	if free := p.free[class]; len(free) > 0 {
		whole = free[len(free)-1]
		p.free[class] = free[:len(free)-1]
	} else {
		whole = make([]float32, 1<<class)
	}
	if rec != nil {
		rec.Allocated(reflect.ValueOf(whole).Pointer(), 4*n)
	}
	rec.End(op)
	return buffer{rows: rows, cols: cols, data: whole[:n], whole: whole}
}

func (p *buffers) give(rec *kineto.Recorder, b buffer) {
	if rec != nil {
		rec.Released(reflect.ValueOf(b.whole).Pointer(), 4*len(b.data))
	}
	class := bits.Len(uint(len(b.whole) - 1))
	p.free[class] = append(p.free[class], b.whole)
}
