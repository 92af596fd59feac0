package model

import "errors"

// ErrCacheFull says that the KV cache has no block left.
var ErrCacheFull = errors.New("KV cache is full")

// block holds the keys and values of BlockTokens tokens for all layers.
type block struct {
	keys, values []float32 // [layers, BlockTokens, KV width]
}

// cache hands out blocks. It belongs to the goroutine that runs the model.
type cache struct {
	layers, width int
	limit         int
	made          int
	free          []*block
}

func (c *cache) take() (*block, error) {
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b, nil
	}
	if c.made == c.limit {
		return nil, ErrCacheFull
	}
	c.made++
	size := c.layers * BlockTokens * c.width
	return &block{keys: make([]float32, size), values: make([]float32, size)}, nil
}

// Sequence is the part of the KV cache that belongs to one request.
type Sequence struct {
	blocks []*block
	length int // tokens computed
}

// Len is the number of tokens whose keys and values are in the cache.
func (s *Sequence) Len() int { return s.length }

// BlocksFor is the number of blocks that so many tokens take.
func BlocksFor(tokens int) int { return (tokens + BlockTokens - 1) / BlockTokens }

// UsedBlocks is the number of cache blocks that sequences hold.
func (m *Model) UsedBlocks() int { return m.cache.made - len(m.cache.free) }

// Release gives a sequence's blocks back. The sequence is empty afterwards.
func (m *Model) Release(s *Sequence) {
	m.cache.free = append(m.cache.free, s.blocks...)
	s.blocks, s.length = nil, 0
}

func (m *Model) reserve(s *Sequence, tokens int) error {
	for len(s.blocks)*BlockTokens < tokens {
		b, err := m.cache.take()
		if err != nil {
			return err
		}
		s.blocks = append(s.blocks, b)
	}
	return nil
}
