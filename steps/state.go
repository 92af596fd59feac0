package steps

import (
	"sync"

	"profjob/internal/event"
)

// State has the results of the plan steps so far, in order. Plan steps find
// what they need by its type, so that none has to know another's ID.
type State struct {
	mu      sync.Mutex
	results []Placed[any]
}

// Placed is a result with the place it came from.
type Placed[T any] struct {
	Place event.Place
	Value T
}

// Put adds a result.
func (s *State) Put(place event.Place, result any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, Placed[any]{place, result})
}

// All gives the results of one type, in order.
func All[T any](s *State) []Placed[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Placed[T]
	for _, r := range s.results {
		if v, ok := r.Value.(T); ok {
			found = append(found, Placed[T]{r.Place, v})
		}
	}
	return found
}

// Latest gives the newest result of one type; false where there is none.
func Latest[T any](s *State) (T, bool) {
	all := All[T](s)
	if len(all) == 0 {
		var none T
		return none, false
	}
	return all[len(all)-1].Value, true
}

// InAttempt gives the result of one type of the attempt that a place is in.
func InAttempt[T any](s *State, place event.Place) (T, bool) {
	var found T
	ok := false
	for _, r := range All[T](s) {
		if r.Place.Round == place.Round && r.Place.Attempt == place.Attempt {
			found, ok = r.Value, true
		}
	}
	return found, ok
}
