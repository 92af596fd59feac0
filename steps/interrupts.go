package steps

import "sync"

// Interrupts counts the user's wishes to end a run. The first ends the window
// and keeps what there is; the second only stops the profilers; the third
// leaves even that. A window that lasts until it is told to stop claims the
// next one for itself: it then ends that window, and is no interrupt of the run.
//
// The zero value is ready. All methods may be called from several goroutines.
type Interrupts struct {
	mu     sync.Mutex
	count  int
	levels [3]chan struct{}
	claim  *func()
}

// Signal passes on one wish to end: to the window that claimed it, or else to
// the run. It gives the number of those that the run has had, 0 for a window's.
func (i *Interrupts) Signal() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.endClaimed() {
		return 0
	}
	i.count++
	if i.count <= len(i.levels) {
		close(i.level(i.count))
	}
	return i.count
}

// Level gives a channel that is closed at the n-th interrupt, n from 1 to 3.
func (i *Interrupts) Level(n int) <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.level(n)
}

func (i *Interrupts) level(n int) chan struct{} {
	if i.levels[n-1] == nil {
		i.levels[n-1] = make(chan struct{})
	}
	return i.levels[n-1]
}

// Count is how many interrupts the run has had.
func (i *Interrupts) Count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.count
}

// EndWindow ends a window that waits to be told so; false where none does.
func (i *Interrupts) EndWindow() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.endClaimed()
}

func (i *Interrupts) endClaimed() bool {
	if i.claim == nil {
		return false
	}
	claim := *i.claim
	i.claim = nil
	claim()
	return true
}

// Claim makes the next Signal or EndWindow call f instead, which must not call
// back; the function returned takes the claim back.
func (i *Interrupts) Claim(f func()) (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claim = &f
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.claim == &f { // a later claim is not ours to take back
			i.claim = nil
		}
	}
}
