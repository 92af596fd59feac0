package steps

import (
	"context"
	"time"

	"profjob/internal/access"
)

// Guard begins what must not be left behind, so that there is one place that
// knows of all of it. A server is launched by the guard and is the guard's
// child, never the plan step's.
type Guard interface {
	// Intend is told of each launch, start and arming before it is carried out;
	// an error means that it must not be.
	Intend(ctx context.Context, what Intent) error
	// Begun is told of each start and arming that has begun for certain.
	Begun(ctx context.Context, what Intent) error
	// Over is told of each that has ended, or never began.
	Over(ctx context.Context, what Intent) error
	// Launch starts a server as a process group of its own.
	Launch(ctx context.Context, spec LaunchSpec) (Process, error)
}

// Intent is one thing that is about to begin on a server.
type Intent struct {
	Action   string // "launch", "start", "arm"
	Target   string
	Endpoint string
	Session  string // of the gate that is armed

	// What is needed to end it, whoever does. None of it is written down.
	Engine     string        // the kind of the server
	Access     access.Access // that the server wants
	GateSecret string
}

// LaunchSpec is a server to start.
type LaunchSpec struct {
	Target  string
	Command []string
	Env     []string // whole environment, KEY=value
	Dir     string
	Log     string   // path of the file that gets its output
	Hide    []string // values that are cut out of it while it is written
}

// Process is a launched server.
type Process interface {
	PID() int
	// Exited is closed once the process has ended.
	Exited() <-chan struct{}
	// ExitError says how it ended; nil before that and after exit status 0.
	ExitError() error
	// End asks the whole process group to end and kills what is left of it after
	// the grace. It is idempotent and returns once the group is gone.
	End(ctx context.Context, grace time.Duration) error
}
