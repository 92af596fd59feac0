package load

import (
	"context"
	"errors"
	"sync"
	"time"
)

// openLoop sends requests when they arrive, without waiting for answers, and
// returns when all have ended. An arrival that is late, because this process had
// no time, is sent at once: the times of the others don't move. It doesn't slow
// down when requests fail: that is what an open loop is.
func (r *Run) openLoop(ctx context.Context, arrivals pacer) {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	started := r.Stats().StartedAt
	for sleep(ctx, arrivals.next()-time.Since(started)) {
		seq, err := r.admit()
		if errors.Is(err, errLastSent) {
			return
		}
		if err != nil {
			continue
		}
		endpoint := r.config.Endpoints[seq%uint64(len(r.config.Endpoints))]
		inFlight.Go(func() { r.request(ctx, seq, endpoint) })
	}
}
