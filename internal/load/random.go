package load

import (
	"encoding/binary"
	"math/rand/v2"
)

// The purposes that random numbers are drawn for. Each has a stream of its own,
// so that drawing more for one doesn't move another.
const (
	streamArrivals uint64 = iota + 1
	streamPrompts
	streamOutputs
)

// newRand gives the random numbers of one purpose and one request. Neighbouring
// seeds and sequence numbers are unrelated: ChaCha8 takes them as a key.
func newRand(seed, stream, seq uint64) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[0:], seed)
	binary.LittleEndian.PutUint64(key[8:], stream)
	binary.LittleEndian.PutUint64(key[16:], seq)
	return rand.New(rand.NewChaCha8(key))
}

// draw gives a number of the range, each equally likely.
func (r TokenRange) draw(rng *rand.Rand) int {
	return r.Min + rng.IntN(r.Max-r.Min+1)
}
