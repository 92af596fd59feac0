package event

import (
	"errors"
	"sync"
	"time"
)

// Reader takes the events of a run. It is called by one goroutine at a time, in
// the order of Seq; an error of it reaches whoever emitted the event. It must not
// emit an event itself.
type Reader interface {
	Read(Entry) error
}

// Bus numbers events and hands each to every reader before Emit returns, so
// that what was emitted is on disk when the next thing begins.
type Bus struct {
	mu      sync.Mutex
	now     func() time.Time
	seq     int64
	readers []Reader
}

// NewBus makes a bus whose readers are called in the order given.
func NewBus(now func() time.Time, readers ...Reader) *Bus {
	return &Bus{now: now, readers: readers}
}

// ContinueBus makes a bus that goes on after an event of that number.
func ContinueBus(now func() time.Time, last int64, readers ...Reader) *Bus {
	b := NewBus(now, readers...)
	b.seq = last
	return b
}

// Emit hands an event to all readers and joins their errors. It may be called
// from several goroutines.
func (b *Bus) Emit(ev Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	entry := Entry{Seq: b.seq, Time: b.now().UTC(), Event: ev}
	var errs []error
	for _, r := range b.readers {
		if err := r.Read(entry); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
