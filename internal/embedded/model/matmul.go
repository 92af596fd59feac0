package model

// product computes rows [from, to) × columns [colFrom, colTo) of y = x·wᵀ, with
// x [rows, k], w [cols, k] and y [rows, cols] row-major.
//
// Every element is the sum over k in ascending order in one accumulator,
// whichever of the kernels computes it: that is what makes a row independent of
// the rows around it. The conversions forbid fused multiply-adds, which would
// round differently from kernel to kernel.
func product(y, x, w []float32, rows, k, cols, colFrom, colTo int) {
	r := 0
	for ; r+2 <= rows; r += 2 {
		x0, x1 := x[r*k:(r+1)*k], x[(r+1)*k:(r+2)*k]
		y0, y1 := y[r*cols:(r+1)*cols], y[(r+1)*cols:(r+2)*cols]
		for c := colFrom; c+4 <= colTo; c += 4 {
			twoByFour(y0[c:c+4:c+4], y1[c:c+4:c+4], x0, x1, w[c*k:(c+4)*k])
		}
		for c := colTo - (colTo-colFrom)%4; c < colTo; c++ {
			y0[c], y1[c] = dot(x0, w[c*k:(c+1)*k]), dot(x1, w[c*k:(c+1)*k])
		}
	}
	if r == rows {
		return
	}
	x0, y0 := x[r*k:(r+1)*k], y[r*cols:(r+1)*cols]
	c := colFrom
	for ; c+4 <= colTo; c += 4 {
		oneByFour(y0[c:c+4:c+4], x0, w[c*k:(c+4)*k])
	}
	for ; c < colTo; c++ {
		y0[c] = dot(x0, w[c*k:(c+1)*k])
	}
}

func twoByFour(y0, y1, x0, x1, w []float32) {
	k := len(x0)
	x1 = x1[:k]
	w0, w1, w2, w3 := w[:k], w[k : 2*k][:k], w[2*k : 3*k][:k], w[3*k : 4*k][:k]
	var a0, a1, a2, a3, b0, b1, b2, b3 float32
	for i, p := range x0 {
		q := x1[i]
		v := w0[i]
		a0 += float32(p * v)
		b0 += float32(q * v)
		v = w1[i]
		a1 += float32(p * v)
		b1 += float32(q * v)
		v = w2[i]
		a2 += float32(p * v)
		b2 += float32(q * v)
		v = w3[i]
		a3 += float32(p * v)
		b3 += float32(q * v)
	}
	y0[0], y0[1], y0[2], y0[3] = a0, a1, a2, a3
	y1[0], y1[1], y1[2], y1[3] = b0, b1, b2, b3
}

func oneByFour(y0, x0, w []float32) {
	k := len(x0)
	w0, w1, w2, w3 := w[:k], w[k : 2*k][:k], w[2*k : 3*k][:k], w[3*k : 4*k][:k]
	var a0, a1, a2, a3 float32
	for i, p := range x0 {
		a0 += float32(p * w0[i])
		a1 += float32(p * w1[i])
		a2 += float32(p * w2[i])
		a3 += float32(p * w3[i])
	}
	y0[0], y0[1], y0[2], y0[3] = a0, a1, a2, a3
}

func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var sum float32
	for i, v := range a {
		sum += float32(v * b[i])
	}
	return sum
}
