package runner

import (
	"sync"

	"profjob/internal/event"
)

// views are the readers that only show what happens. One that fails is not asked
// again: whoever looks on must not end a run, whose profiler may be on.
type views struct {
	mu      sync.Mutex
	readers []event.Reader
	failed  []error
}

// Read shows one event.
func (v *views) Read(e event.Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	left := v.readers[:0:0]
	for _, r := range v.readers {
		if err := r.Read(e); err != nil {
			v.failed = append(v.failed, err)
			continue
		}
		left = append(left, r)
	}
	v.readers = left
	return nil
}

// failures are the errors of those that failed.
func (v *views) failures() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed
}
