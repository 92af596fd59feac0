package model

import (
	"fmt"

	"profjob/internal/embedded/kineto"
)

// Model is a transformer with its KV cache. All its methods belong to one
// goroutine.
type Model struct {
	config  Config
	weights weights
	cache   cache
	pool    buffers
	team    *team
}

// New makes a model. Close ends the goroutines that its passes start.
func New(c Config) (*Model, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("make model: %w", err)
	}
	return &Model{
		config:  c,
		weights: makeWeights(c),
		cache:   cache{layers: c.Layers, width: c.kvWidth(), limit: c.Blocks},
		team:    newTeam(c.Threads),
	}, nil
}

// Close ends the model's goroutines and waits for them.
func (m *Model) Close() { m.team.close() }

// Item is a sequence's part of a batch.
type Item struct {
	// Sequence is where the tokens' keys and values go.
	Sequence *Sequence
	// Tokens follow those that the sequence has already.
	Tokens []int32
	// Sample asks for the logits after the last token.
	Sample bool
}

// Logits holds a row of Vocabulary values for each item that asked for one, in
// the order of the batch. Argmax gives it back.
type Logits struct{ buffer }

// Forward runs one pass over a batch and records it to rec, which may be nil.
// It fails, without a change, when a token is not of the vocabulary, a sequence
// would become too long, or the KV cache is full.
func (m *Model) Forward(batch []Item, rec *kineto.Recorder) (Logits, error) {
	p, err := m.layout(batch)
	if err != nil {
		return Logits{}, fmt.Errorf("run model: %w", err)
	}
	defer rec.Leave(rec.EnterModule("LlamaForCausalLM", 0))
	p.rec = rec
	hidden := m.backbone(p)
	logits := m.head(p, hidden)
	for i := range batch {
		batch[i].Sequence.length += len(batch[i].Tokens)
	}
	return Logits{logits}, nil
}

// pass is a batch laid out for the operators: its tokens one after the other.
type pass struct {
	rec       *kineto.Recorder
	tokens    []int32
	positions []int
	sequences []*Sequence // of each token
	items     int
	samples   []int // rows whose logits are asked for
}

func (m *Model) layout(batch []Item) (*pass, error) {
	p := &pass{items: len(batch)}
	for i := range batch {
		s, tokens := batch[i].Sequence, batch[i].Tokens
		if len(tokens) == 0 {
			return nil, fmt.Errorf("item %d has no tokens", i)
		}
		if n := s.length + len(tokens); n > m.config.MaxLen {
			return nil, fmt.Errorf("item %d would have %d tokens, the model's limit is %d", i, n, m.config.MaxLen)
		}
		for j, token := range tokens {
			if token < 0 || token >= Vocabulary {
				return nil, fmt.Errorf("token %d of item %d is %d, the vocabulary has %d", j, i, token, Vocabulary)
			}
			p.tokens = append(p.tokens, token)
			p.positions = append(p.positions, s.length+j)
			p.sequences = append(p.sequences, s)
		}
		if batch[i].Sample {
			p.samples = append(p.samples, len(p.tokens)-1)
		}
	}
	for i := range batch {
		s := batch[i].Sequence
		if err := m.reserve(s, s.length+len(batch[i].Tokens)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// backbone runs the embedding, the layers and the last norm.
func (m *Model) backbone(p *pass) buffer {
	rec := p.rec
	defer rec.Leave(rec.EnterModule("LlamaModel", 0))
	defer rec.Leave(rec.Enter())
	hidden := m.embed(p)
	for i := range m.weights.layers {
		m.layer(p, i, hidden)
	}
	normed := m.rmsNorm(rec, hidden, m.weights.norm, 2*m.config.Layers)
	m.pool.give(rec, hidden)
	return normed
}

// head takes the rows that are asked for and gives their logits.
func (m *Model) head(p *pass, hidden buffer) buffer {
	rec := p.rec
	defer rec.Leave(rec.EnterModule("LogitsProcessor", 0))
	defer rec.Leave(rec.Enter())
	picked := m.pool.take(rec, len(p.samples), m.config.Hidden)
	op := rec.Begin("aten::index", kineto.Tensor(kineto.Float32, hidden.rows, hidden.cols), kineto.None())
	for i, row := range p.samples {
		copy(picked.row(i), hidden.row(row))
	}
	rec.End(op)
	m.pool.give(rec, hidden)
	logits := m.linear(rec, picked, m.weights.head, Vocabulary)
	m.pool.give(rec, picked)
	return logits
}

// Argmax picks the most likely token of each row: greedy sampling, the first of
// equals. It takes the logits back; they must not be used again.
func (m *Model) Argmax(l Logits, rec *kineto.Recorder) []int32 {
	defer rec.Leave(rec.EnterModule("Sampler", 0))
	defer rec.Leave(rec.Enter())
	tokens := make([]int32, l.rows)
	op := rec.Begin("aten::argmax", kineto.Tensor(kineto.Float32, l.rows, l.cols), kineto.Int(-1), kineto.Bool(false))
	for i := range tokens {
		row := l.row(i)
		best := 0
		for j, v := range row {
			if v > row[best] {
				best = j
			}
		}
		tokens[i] = int32(best)
	}
	rec.End(op)
	m.pool.give(rec, l.buffer)
	return tokens
}
