package load

import (
	"context"
	"sync"
	"time"
)

// A worker whose request failed waits before its next one, longer each time, so
// that a dead server isn't hammered.
const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
)

// closedLoop keeps Config.Concurrency requests in flight, one a worker, and returns
// when all have ended. A worker that backs off has none in flight.
func (r *Run) closedLoop(ctx context.Context) {
	var workers sync.WaitGroup
	for i := range r.config.Concurrency {
		workers.Go(func() { r.work(ctx, i) })
	}
	workers.Wait()
}

// work sends one request after the other to the worker's endpoint.
func (r *Run) work(ctx context.Context, worker int) {
	var backoff time.Duration
	for turn := 0; sleep(ctx, backoff); turn++ {
		seq, err := r.admit()
		if err != nil {
			return
		}
		if r.request(ctx, seq, r.endpointOf(worker, turn)) {
			backoff = min(max(2*backoff, firstBackoff), maxBackoff)
		} else {
			backoff = 0
		}
	}
}

// endpointOf shares the endpoints out among the workers: each keeps to one, or all
// go round them where there are fewer workers.
func (r *Run) endpointOf(worker, turn int) string {
	endpoints := r.config.Endpoints
	if r.config.Concurrency < len(endpoints) {
		worker += turn * r.config.Concurrency
	}
	return endpoints[worker%len(endpoints)]
}
