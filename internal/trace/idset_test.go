package trace

import (
	"math/rand/v2"
	"testing"
)

func TestIDSet(t *testing.T) {
	var s idSet
	if s.has(0) || s.has(-1) || s.has(1<<40) {
		t.Fatal("the empty set has members")
	}
	random := rand.New(rand.NewPCG(1, 2))
	want := map[int64]bool{}
	for range 20000 {
		id := random.Int64N(1 << 20)
		switch random.IntN(10) {
		case 0:
			id = -id
		case 1:
			id <<= 40
		}
		if want[id] = true; !s.add(id) {
			t.Fatal("too big")
		}
	}
	for range 20000 {
		if id := random.Int64N(1<<21) - 1<<20; s.has(id) != want[id] {
			t.Fatalf("%d: %v", id, !want[id])
		}
	}
	for id := range want {
		if !s.has(id) {
			t.Fatalf("%d is missing", id)
		}
	}
}
