package gatetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
)

// traffic keeps so many requests going until the test ends or stop is called,
// which waits for those under way: one that is cut off may run on for a while.
// With one, a server runs dry between two of them, so that each prompt is read
// by steps of its own.
func (b *bench) traffic(t *testing.T, clients int) (stop func()) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*patience)
	over := make(chan struct{})
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := b.Complete(ctx, 4+r.IntN(80), 4+r.IntN(30)); err != nil {
					t.Errorf("completion: %v", err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(over)
		running.Wait()
		cancel()
	})
	t.Cleanup(stop)
	return stop
}

// complete asks for one completion.
func (b *bench) complete(t *testing.T, prompt, output int) {
	t.Helper()
	if err := b.Complete(t.Context(), prompt, output); err != nil {
		t.Fatalf("completion: %v", err)
	}
}
