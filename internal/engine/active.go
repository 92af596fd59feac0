package engine

import "context"

// Stateful is a Client whose server tells whether a profiling session is active.
type Stateful interface {
	// SessionActive asks, and changes nothing on the server. It is false, too, of a
	// server that does not tell.
	SessionActive(ctx context.Context) (bool, error)
}

// Active tells whether a server says that a profiling session is active on it. One
// that does not tell, or cannot be asked, does not say so.
func Active(ctx context.Context, c Client) bool {
	s, ok := c.(Stateful)
	if !ok {
		return false
	}
	active, err := s.SessionActive(ctx)
	return err == nil && active
}
