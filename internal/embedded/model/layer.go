package model

import (
	"math"

	"profjob/internal/embedded/kineto"
)

// epsilon keeps RMSNorm from dividing by zero; Llama's value.
const epsilon = 1e-5

func (m *Model) embed(p *pass) buffer {
	rec, width := p.rec, m.config.Hidden
	defer rec.Leave(rec.EnterModule("VocabParallelEmbedding", 0))
	defer rec.Leave(rec.Enter())
	hidden := m.pool.take(rec, len(p.tokens), width)
	op := rec.Begin("aten::embedding",
		kineto.Tensor(kineto.Float32, Vocabulary, width), kineto.Tensor(kineto.Int64, len(p.tokens)),
		kineto.Int(-1), kineto.Bool(false), kineto.Bool(false))
	for i, token := range p.tokens {
		copy(hidden.row(i), m.weights.embedding[int(token)*width:])
	}
	rec.End(op)
	return hidden
}

// layer adds one decoder layer's attention and MLP to the residual stream.
func (m *Model) layer(p *pass, i int, residual buffer) {
	rec, w := p.rec, &m.weights.layers[i]
	defer rec.Leave(rec.EnterModule("LlamaDecoderLayer", i))
	defer rec.Leave(rec.Enter())
	normed := m.rmsNorm(rec, residual, w.inputNorm, 2*i)
	m.add(rec, residual, m.attention(p, i, normed))
	normed = m.rmsNorm(rec, residual, w.postNorm, 2*i+1)
	m.add(rec, residual, m.mlp(p, i, normed))
}

// mlp takes x back and gives down(silu(gate(x)) × up(x)).
func (m *Model) mlp(p *pass, i int, x buffer) buffer {
	rec, w, width := p.rec, &m.weights.layers[i], m.config.Intermediate
	defer rec.Leave(rec.EnterModule("LlamaMLP", i))
	defer rec.Leave(rec.Enter())
	both := m.linear(rec, x, w.gateUp, 2*width)
	m.pool.give(rec, x)
	gate := m.pool.take(rec, both.rows, width)
	op := rec.Begin("aten::silu", kineto.Tensor(kineto.Float32, both.rows, width))
	for r := range both.rows {
		silu(gate.row(r), both.row(r)[:width])
	}
	rec.End(op)
	op = rec.Begin("aten::mul",
		kineto.Tensor(kineto.Float32, both.rows, width), kineto.Tensor(kineto.Float32, both.rows, width))
	for r := range both.rows {
		multiply(gate.row(r), both.row(r)[width:])
	}
	rec.End(op)
	m.pool.give(rec, both)
	out := m.linear(rec, gate, w.down, m.config.Hidden)
	m.pool.give(rec, gate)
	return out
}

func silu(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = v / (1 + float32(math.Exp(float64(-v))))
	}
}

func multiply(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] *= v
	}
}

// rmsNorm gives the rows of x divided by their root mean square, times weight.
// The instance is the norm's number in the model.
func (m *Model) rmsNorm(rec *kineto.Recorder, x buffer, weight []float32, instance int) buffer {
	defer rec.Leave(rec.EnterModule("RMSNorm", instance))
	defer rec.Leave(rec.Enter())
	out := m.pool.take(rec, x.rows, x.cols)
	op := rec.Begin("aten::rms_norm",
		kineto.Tensor(kineto.Float32, x.rows, x.cols), kineto.Ints(x.cols),
		kineto.Tensor(kineto.Float32, x.cols), kineto.Float(epsilon))
	for r := range x.rows {
		in, dst := x.row(r), out.row(r)
		var sum float32
		for _, v := range in {
			sum += float32(v * v)
		}
		scale := float32(1 / math.Sqrt(float64(sum)/float64(x.cols)+epsilon))
		for i, v := range in {
			dst[i] = v * scale * weight[i]
		}
	}
	rec.End(op)
	return out
}

// add adds x to the residual stream and takes x back.
func (m *Model) add(rec *kineto.Recorder, residual, x buffer) {
	op := rec.Begin("aten::add",
		kineto.Tensor(kineto.Float32, x.rows, x.cols), kineto.Tensor(kineto.Float32, x.rows, x.cols), kineto.Int(1))
	for i, v := range x.data {
		residual.data[i] += v
	}
	rec.End(op)
	m.pool.give(rec, x)
}

// sharedWork is the least number of multiply-adds that is worth waking a helper for.
const sharedWork = 1 << 15

// linear gives x·wᵀ with w [cols, x.cols].
func (m *Model) linear(rec *kineto.Recorder, x buffer, w []float32, cols int) buffer {
	defer rec.Leave(rec.Enter())
	op := rec.Begin("aten::linear",
		kineto.Tensor(kineto.Float32, x.rows, x.cols), kineto.Tensor(kineto.Float32, cols, x.cols), kineto.None())
	out := m.pool.take(rec, x.rows, cols)
	mm := rec.Begin("aten::mm",
		kineto.Tensor(kineto.Float32, x.rows, x.cols), kineto.Tensor(kineto.Float32, x.cols, cols))
	m.multiply(out, x, w)
	rec.End(mm)
	rec.End(op)
	return out
}

func (m *Model) multiply(out, x buffer, w []float32) {
	if m.team.size == 1 || x.rows*x.cols*out.cols < sharedWork {
		product(out.data, x.data, w, x.rows, x.cols, out.cols, 0, out.cols)
		return
	}
	m.team.share(func(part int) {
		from, to := m.part(part, out.cols)
		product(out.data, x.data, w, x.rows, x.cols, out.cols, from, to)
	})
}

// part gives a helper's share of n.
func (m *Model) part(i, n int) (from, to int) {
	size := m.team.size
	return i * n / size, (i + 1) * n / size
}
