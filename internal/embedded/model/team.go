package model

import "sync"

// team is a few goroutines that share one piece of work at a time. It belongs
// to the goroutine that calls share. Its helpers start with the first work.
type team struct {
	size    int
	helpers []chan func(part int)
	done    chan struct{}
	ended   sync.WaitGroup
}

func newTeam(size int) *team { return &team{size: size, done: make(chan struct{}, size)} }

// share calls f once for each part, 0 being the caller's, and waits for all.
func (t *team) share(f func(part int)) {
	if t.helpers == nil {
		t.start()
	}
	for _, h := range t.helpers {
		h <- f
	}
	f(0)
	for range t.helpers {
		<-t.done
	}
}

func (t *team) start() {
	for part := 1; part < t.size; part++ {
		work := make(chan func(int))
		t.helpers = append(t.helpers, work)
		t.ended.Go(func() {
			for f := range work {
				f(part)
				t.done <- struct{}{}
			}
		})
	}
}

// close ends the helpers and waits for them.
func (t *team) close() {
	for _, h := range t.helpers {
		close(h)
	}
	t.helpers = nil
	t.ended.Wait()
}
