package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// pacer says when requests arrive in an open loop. It has no clock.
type pacer interface {
	// next gives the time from the start of the load to the next arrival. It never
	// goes down from one call to the next. One goroutine calls it.
	next() time.Duration
}

// gammaPacer draws the times between arrivals from a gamma distribution of shape
// burstiness and mean 1/rate, as get_request in vLLM's benchmark does
// (vllm/benchmarks/serve.py, 0.11 to 0.32); the first arrival is one such time
// after the start. vLLM then stretches its times so that the last of its N
// requests arrives at exactly N/rate; a load that doesn't know its end can't.
type gammaPacer struct {
	rate, burstiness float64
	rng              *rand.Rand
	elapsed          float64 // seconds
}

func newGammaPacer(rate, burstiness float64, seed uint64) *gammaPacer {
	return &gammaPacer{rate: rate, burstiness: burstiness, rng: newRand(seed, streamArrivals, 0)}
}

func (p *gammaPacer) next() time.Duration {
	p.elapsed += p.interval()
	ns := p.elapsed * float64(time.Second)
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}

// interval draws the seconds between two arrivals.
func (p *gammaPacer) interval() float64 {
	switch {
	case math.IsInf(p.burstiness, 1):
		return 1 / p.rate
	case p.burstiness == 1:
		return p.rng.ExpFloat64() / p.rate
	}
	return gamma(p.rng, p.burstiness) / (p.burstiness * p.rate)
}

// gamma draws from a gamma distribution with scale 1 by the method of Marsaglia
// and Tsang ("A simple method for generating gamma variables", 2000).
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d*(1-v+math.Log(v)) {
			return d * v
		}
	}
}
