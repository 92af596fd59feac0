package runner

import (
	"context"

	"profjob/internal/proc"
	"profjob/steps"
)

// localGuard begins things within the runner's own process. It is the place
// where a guard process takes over: that one acknowledges each intent, becomes
// the parent of the launched servers, and outlives the runner. Until then a
// runner that is killed outright leaves its servers' profilers to the bounds
// that the servers have, and its launched servers to the end of their standard
// input.
type localGuard struct{}

// Intend has nobody to tell: the journal has the intent already.
func (localGuard) Intend(context.Context, steps.Intent) error { return nil }

// Launch starts the server as a child of this process.
func (localGuard) Launch(_ context.Context, s steps.LaunchSpec) (steps.Process, error) {
	return proc.Start(proc.Spec{Command: s.Command, Env: s.Env, Dir: s.Dir, Log: s.Log})
}
