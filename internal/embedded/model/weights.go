package model

import (
	"math"
	"math/rand/v2"
)

// weights are row-major, one row an output, as torch keeps them.
type weights struct {
	embedding []float32 // [Vocabulary, hidden]
	layers    []layerWeights
	norm      []float32 // [hidden]
	head      []float32 // [Vocabulary, hidden]
	cos, sin  []float32 // [max length, head dim / 2]
}

type layerWeights struct {
	inputNorm []float32 // [hidden]
	qkv       []float32 // [query width + 2 × KV width, hidden]
	output    []float32 // [hidden, query width]
	postNorm  []float32 // [hidden]
	gateUp    []float32 // [2 × intermediate, hidden]
	down      []float32 // [hidden, intermediate]
}

func makeWeights(c Config) weights {
	rng := rand.New(rand.NewPCG(c.Seed, 0x70726f666a6f62))
	w := weights{
		embedding: matrix(rng, Vocabulary, c.Hidden, 1),
		norm:      ones(c.Hidden),
	}
	for range c.Layers {
		w.layers = append(w.layers, layerWeights{
			inputNorm: ones(c.Hidden),
			qkv:       matrix(rng, c.queryWidth()+2*c.kvWidth(), c.Hidden, fan(c.Hidden)),
			output:    matrix(rng, c.Hidden, c.queryWidth(), fan(c.queryWidth())),
			postNorm:  ones(c.Hidden),
			gateUp:    matrix(rng, 2*c.Intermediate, c.Hidden, fan(c.Hidden)),
			down:      matrix(rng, c.Hidden, c.Intermediate, fan(c.Intermediate)),
		})
	}
	w.head = matrix(rng, Vocabulary, c.Hidden, fan(c.Hidden))
	for token := range Vocabulary {
		if !generated(token) {
			clear(w.head[token*c.Hidden : (token+1)*c.Hidden])
		}
	}
	w.cos, w.sin = rotations(c)
	return w
}

// fan is the deviation that keeps a product's size that of its input.
func fan(inputs int) float64 { return 1 / math.Sqrt(float64(inputs)) }

func matrix(rng *rand.Rand, rows, cols int, deviation float64) []float32 {
	m := make([]float32, rows*cols)
	for i := range m {
		m[i] = float32(rng.NormFloat64() * deviation)
	}
	return m
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// rotations gives the cosines and sines of rotary position embeddings with
// Llama's base of 10000.
func rotations(c Config) (cos, sin []float32) {
	half := c.HeadDim / 2
	cos, sin = make([]float32, c.MaxLen*half), make([]float32, c.MaxLen*half)
	for pos := range c.MaxLen {
		for i := range half {
			angle := float64(pos) * math.Pow(10000, -2*float64(i)/float64(c.HeadDim))
			cos[pos*half+i] = float32(math.Cos(angle))
			sin[pos*half+i] = float32(math.Sin(angle))
		}
	}
	return cos, sin
}
