package steps

import "context"

// Shutdown ends the servers that the run launched, now that nothing more is
// asked of them, so that their logs are whole when they are hashed, and cuts
// sensitive values out of those. It comes also where the run failed.
type Shutdown struct {
	Header
	noUndo
}

// ShutdownResult says how many servers were ended.
type ShutdownResult struct {
	Ended int `json:"ended"`
}

// Kind is the row in the table of kinds.
func (s *Shutdown) Kind() string { return "shutdown" }

// Do ends them.
func (s *Shutdown) Do(ctx context.Context, run *Run) (any, error) {
	n := len(run.processes)
	if err := run.endServers(ctx); err != nil {
		return nil, err
	}
	return ShutdownResult{Ended: n}, nil
}
