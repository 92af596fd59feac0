// Package model is the transformer that the embedded engine serves: a small
// Llama (RMSNorm, rotary positions, grouped-query attention over a paged KV
// cache, a gated MLP) in float32 with weights made from a seed. It computes for
// real, and it can say what it computes to a kineto.Recorder.
//
// Each row of every result is computed in one fixed order whatever else is in
// the batch, so a sequence's tokens depend on nothing but the sequence: not on
// its neighbours, nor on the chunks in which its prompt was read.
//
// The package knows nothing of HTTP, scheduling or profiling protocols.
package model

import (
	"errors"
	"fmt"
)

// BlockTokens is how many tokens one block of the KV cache holds.
const BlockTokens = 16

// Config is the size of a model.
type Config struct {
	// Hidden is the width of the residual stream: a multiple of four.
	Hidden int
	// Layers is the number of decoder layers.
	Layers int
	// Heads and KVHeads are the numbers of query heads and of key and value
	// heads; the first is a multiple of the second.
	Heads, KVHeads int
	// HeadDim is the width of a head: a multiple of four.
	HeadDim int
	// Intermediate is the width of the MLP: a multiple of four.
	Intermediate int
	// MaxLen is the most tokens a sequence may have, prompt and answer together.
	MaxLen int
	// Seed makes the weights.
	Seed uint64
	// Threads is how many goroutines compute a matrix product, the caller's
	// included. Results do not depend on it.
	Threads int
	// Blocks is how many blocks of BlockTokens the KV cache has at most. They
	// are allocated when first needed.
	Blocks int
}

// Tiny is the model of the quickstart: 0.9 million weights, and some 2 ms for a
// pass that decodes four sequences on two cores.
func Tiny(seed uint64) Config {
	return Config{
		Hidden: 128, Layers: 4, Heads: 4, KVHeads: 2, HeadDim: 32, Intermediate: 384,
		MaxLen: 2048, Seed: seed, Threads: 2, Blocks: 4096,
	}
}

func (c Config) validate() error {
	var errs []error
	positive := func(name string, n int) {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("%s is %d, must be positive", name, n))
		}
	}
	positive("hidden", c.Hidden)
	positive("layers", c.Layers)
	positive("heads", c.Heads)
	positive("KV heads", c.KVHeads)
	positive("head dim", c.HeadDim)
	positive("intermediate", c.Intermediate)
	positive("max length", c.MaxLen)
	positive("threads", c.Threads)
	positive("blocks", c.Blocks)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if c.Heads%c.KVHeads != 0 {
		errs = append(errs, fmt.Errorf("heads is %d, must be a multiple of the %d KV heads", c.Heads, c.KVHeads))
	}
	for _, d := range []struct {
		name string
		n    int
	}{{"hidden", c.Hidden}, {"head dim", c.HeadDim}, {"intermediate", c.Intermediate}} {
		if d.n%4 != 0 {
			errs = append(errs, fmt.Errorf("%s is %d, must be a multiple of 4", d.name, d.n))
		}
	}
	return errors.Join(errs...)
}

func (c Config) queryWidth() int { return c.Heads * c.HeadDim }
func (c Config) kvWidth() int    { return c.KVHeads * c.HeadDim }
