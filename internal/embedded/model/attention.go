package model

import (
	"math"

	"profjob/internal/embedded/kineto"
)

// attention takes x back and gives the attention's output for each of its rows.
func (m *Model) attention(p *pass, i int, x buffer) buffer {
	rec, w, c := p.rec, &m.weights.layers[i], m.config
	defer rec.Leave(rec.EnterModule("LlamaAttention", i))
	defer rec.Leave(rec.Enter())
	qkv := m.linear(rec, x, w.qkv, c.queryWidth()+2*c.kvWidth())
	m.pool.give(rec, x)
	m.rotate(p, qkv)
	mixed := m.attend(p, i, qkv)
	m.pool.give(rec, qkv)
	out := m.linear(rec, mixed, w.output, c.Hidden)
	m.pool.give(rec, mixed)
	return out
}

// rotate turns the queries and keys of each token by its position.
func (m *Model) rotate(p *pass, qkv buffer) {
	rec, c := p.rec, m.config
	op := rec.Begin("_C::rotary_embedding",
		kineto.Tensor(kineto.Int64, qkv.rows),
		kineto.Tensor(kineto.Float32, qkv.rows, c.queryWidth()), kineto.Tensor(kineto.Float32, qkv.rows, c.kvWidth()),
		kineto.Int(c.HeadDim), kineto.Tensor(kineto.Float32, c.MaxLen, c.HeadDim), kineto.Bool(true))
	half := c.HeadDim / 2
	for r, pos := range p.positions {
		cos, sin := m.weights.cos[pos*half:(pos+1)*half], m.weights.sin[pos*half:(pos+1)*half]
		row := qkv.row(r)
		for h := range c.Heads + c.KVHeads {
			a, b := row[h*c.HeadDim:h*c.HeadDim+half], row[h*c.HeadDim+half:(h+1)*c.HeadDim]
			for j, v := range a {
				u := b[j]
				a[j] = float32(v*cos[j]) - float32(u*sin[j])
				b[j] = float32(u*cos[j]) + float32(v*sin[j])
			}
		}
	}
	rec.End(op)
}

// attend puts the keys and values into the cache and gives, for each token and
// head, the values of the sequence so far, weighted.
func (m *Model) attend(p *pass, layer int, qkv buffer) buffer {
	rec, c := p.rec, m.config
	defer rec.Leave(rec.EnterModule("Attention", layer))
	defer rec.Leave(rec.Enter())
	out := m.pool.take(rec, qkv.rows, c.queryWidth())
	query := kineto.Tensor(kineto.Float32, qkv.rows, c.Heads, c.HeadDim)
	key := kineto.Tensor(kineto.Float32, qkv.rows, c.KVHeads, c.HeadDim)
	cached := kineto.Tensor(kineto.Float32, c.Blocks, c.KVHeads, BlockTokens, c.HeadDim)
	whole := rec.Begin("vllm::unified_attention_with_output", query, key, key, query)

	op := rec.Begin("_C::cpu_attn_reshape_and_cache", key, key, cached, cached, kineto.Tensor(kineto.Int64, qkv.rows))
	for r, pos := range p.positions {
		keys, values := p.sequences[r].at(layer, pos, c.kvWidth())
		row := qkv.row(r)[c.queryWidth():]
		copy(keys, row[:c.kvWidth()])
		copy(values, row[c.kvWidth():])
	}
	rec.End(op)

	op = rec.Begin("_C::cpu_attention_with_kv_cache", query, cached, cached, query,
		kineto.Tensor(kineto.Int32, p.items+1), kineto.Tensor(kineto.Int32, p.items))
	m.weigh(p, layer, qkv, out)
	rec.End(op)

	rec.End(whole)
	return out
}

// at is a token's place in the cache.
func (s *Sequence) at(layer, pos, width int) (keys, values []float32) {
	b := s.blocks[pos/BlockTokens]
	from := (layer*BlockTokens + pos%BlockTokens) * width
	return b.keys[from : from+width], b.values[from : from+width]
}

// weigh shares the tokens' heads among the team.
func (m *Model) weigh(p *pass, layer int, qkv, out buffer) {
	work := 0
	for _, pos := range p.positions {
		work += 2 * (pos + 1) * m.config.queryWidth()
	}
	pairs := qkv.rows * m.config.Heads
	if m.team.size == 1 || work < sharedWork {
		m.weighHeads(p, layer, qkv, out, 0, 1, pairs)
		return
	}
	// Every n-th pair, not a run of them: later tokens have more to look at.
	m.team.share(func(part int) { m.weighHeads(p, layer, qkv, out, part, m.team.size, pairs) })
}

// weighHeads does the pairs of token and head from, from+step, … below pairs.
func (m *Model) weighHeads(p *pass, layer int, qkv, out buffer, from, step, pairs int) {
	c := m.config
	scores := make([]float32, 0, c.MaxLen)
	scale := float32(1 / math.Sqrt(float64(c.HeadDim)))
	for pair := from; pair < pairs; pair += step {
		r, head := pair/c.Heads, pair%c.Heads
		query := qkv.row(r)[head*c.HeadDim : (head+1)*c.HeadDim]
		mixed := out.row(r)[head*c.HeadDim : (head+1)*c.HeadDim]
		offset := head / (c.Heads / c.KVHeads) * c.HeadDim
		s, tokens := p.sequences[r], p.positions[r]+1

		scores = scores[:0]
		for b := 0; b*BlockTokens < tokens; b++ {
			keys := s.blocks[b].keys[layer*BlockTokens*c.kvWidth():]
			for t := range min(BlockTokens, tokens-b*BlockTokens) {
				k := keys[t*c.kvWidth()+offset:]
				scores = append(scores, dotByFours(query, k)*scale)
			}
		}
		softmax(scores)
		clear(mixed)
		for b := 0; b*BlockTokens < tokens; b++ {
			values := s.blocks[b].values[layer*BlockTokens*c.kvWidth():]
			for t := range min(BlockTokens, tokens-b*BlockTokens) {
				accumulate(mixed, values[t*c.kvWidth()+offset:], scores[b*BlockTokens+t])
			}
		}
	}
}

// dotByFours sums in four accumulators, always the same way.
func dotByFours(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += float32(a[0] * b[0])
		s1 += float32(a[1] * b[1])
		s2 += float32(a[2] * b[2])
		s3 += float32(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	return (s0 + s1) + (s2 + s3)
}

func accumulate(dst, x []float32, weight float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] += float32(v * weight)
	}
}

func softmax(x []float32) {
	top := x[0]
	for _, v := range x[1:] {
		top = max(top, v)
	}
	var sum float32
	for i, v := range x {
		x[i] = float32(math.Exp(float64(v - top)))
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
