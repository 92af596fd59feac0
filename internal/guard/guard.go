// Package guard is the process that outlives a run. It is started before the
// first launch or start, in a session of its own, and is told of each thing
// before it is begun: it is the parent of every launched server, it knows of every
// profiler and gate that may be on, and it holds the locks of the run's endpoints.
//
// When the run ends in good order it takes leave, and the guard ends. When the
// pipe ends without that, whatever the run died of, the guard sends every stop at
// once, waits for the answers, ends the servers only then (a server that is ended
// while it records loses its trace), and lets go of the locks last, so that no
// other run meets a late stop. What it does it writes down.
//
// It cannot survive what kills a whole container or cgroup: bounds on the server's
// side hold there, where the server has any.
//
// The package knows engines, gates and processes. It knows no plan.
package guard

import (
	"encoding/json"
	"time"

	"profjob/internal/access"
	"profjob/internal/proc"
	"profjob/internal/wire"
)

// Hold is something that may be on at a server because of the run.
type Hold struct {
	Target   string `json:"target"`
	Endpoint string `json:"endpoint"`
	Engine   string `json:"engine"` // the kind of the server
	// Access is what the server wants to be shown. The guard reads the files that it
	// names when it is told of them, and again when it stops.
	Access access.Access `json:"access,omitzero"`
	// Session and Secret are of the gate that is armed; empty: the server's own
	// profiler is meant.
	Session string `json:"session,omitempty"`
	Secret  string `json:"secret,omitempty"`
}

// Holder says who holds an endpoint.
type Holder struct {
	PID     int       `json:"pid"` // of the run's process
	Job     string    `json:"job"`
	JobFile string    `json:"job_file"`
	RunID   string    `json:"run_id"`
	Since   time.Time `json:"since"`
}

// The requests of a run. Each is answered once, and not before it was carried out.
const (
	opHold   = "hold"   // a hold is about to begin
	opBegun  = "begun"  // it has begun for certain
	opOver   = "over"   // it has ended, or never began
	opLaunch = "launch" // start a server
	opEnd    = "end"    // end it
	opLock   = "lock"   // take the locks of endpoints
	opBye    = "bye"    // the run is over, and owes nothing
)

// request is one line from the run.
type request struct {
	ID     int           `json:"id"`
	Op     string        `json:"op"`
	Hold   *Hold         `json:"hold,omitempty"`
	Target string        `json:"target,omitempty"` // of a launch
	Launch *proc.Spec    `json:"launch,omitempty"`
	Grace  wire.Duration `json:"grace,omitempty"`
	Lock   *lockRequest  `json:"lock,omitempty"`
}

type lockRequest struct {
	Endpoints []string      `json:"endpoints"`
	Holder    Holder        `json:"holder"`
	Wait      wire.Duration `json:"wait"`
}

// answer is one line to the run: of a request, or (ID 0) that a launched server has ended.
type answer struct {
	ID     int     `json:"id"`
	Error  string  `json:"error,omitempty"`
	Held   *held   `json:"held,omitempty"` // why a lock could not be had
	PID    int     `json:"pid,omitempty"`
	Exited string  `json:"exited,omitempty"` // the target whose server has ended
	Status *string `json:"status,omitempty"` // how it ended; nil: with exit status 0
}

type held struct {
	Endpoint string `json:"endpoint"`
	By       Holder `json:"by"`
}

// maxLine bounds a request, in bytes: the environment of a server is in it.
const maxLine = 16 << 20

func encode(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}
