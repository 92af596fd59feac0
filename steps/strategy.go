package steps

import (
	"errors"
	"fmt"
	"slices"

	"profjob/internal/engine"
)

// The strategies, as the plan names them.
const (
	StrategyBounded  = "bounded"  // the server counts to a bound; cut to what was asked
	StrategyObserved = "observed" // watched through metrics; cut to what was asked
	StrategyTimed    = "timed"    // start, wait, stop
)

// Evidence, best first.
var evidenceOrder = []string{"annotation", "scope", "structure"}

// ErrNoStrategy: nothing that the plan allows serves on this server.
var ErrNoStrategy = errors.New("no strategy serves")

// Choice is the strategy that serves on an endpoint, and why.
type Choice struct {
	Strategy string `json:"strategy"`
	Why      string `json:"why"`
	// ByItself: the server begins and ends the recording; nothing is sent to it.
	ByItself bool     `json:"by_itself,omitempty"`
	Notes    []string `json:"notes,omitempty"` // for people
}

// Choose gives the first of the plan's strategies that a server can serve. It is
// pure: the plan's view shows what a run would choose.
func Choose(allowed []string, weakest string, info engine.Info) (Choice, error) {
	if err := evidenceServes(weakest, info); err != nil {
		return Choice{}, err
	}
	var refused []string
	for _, s := range allowed {
		why, serves := serves(s, info)
		if serves {
			return Choice{Strategy: s, Why: why}, nil
		}
		refused = append(refused, s+": "+why)
	}
	return Choice{}, fmt.Errorf("%w: %v", ErrNoStrategy, refused)
}

func serves(strategy string, info engine.Info) (why string, ok bool) {
	switch strategy {
	case StrategyGate:
		return "the server has none", false
	case StrategyBounded:
		if !info.PerRequestBounds {
			return "the server's /start_profile takes no bound", false
		}
		return "the server's /start_profile takes a bound; the trace is cut to the engine steps asked for", true
	case StrategyObserved:
		return "started, watched through the metrics and stopped; the trace is cut to the engine steps asked for", true
	case StrategyTimed:
		return "started, waited, stopped", true
	}
	return "unknown strategy", false
}

// evidenceServes refuses a server whose traces hold weaker evidence than asked.
func evidenceServes(weakest string, info engine.Info) error {
	if weakest == "" || info.Evidence == "" {
		return nil
	}
	if slices.Index(evidenceOrder, info.Evidence) <= slices.Index(evidenceOrder, weakest) {
		return nil
	}
	return fmt.Errorf("%w: window.evidence asks for %s, and traces of %s %s hold only %s",
		ErrNoStrategy, weakest, info.Engine, info.Version, info.Evidence)
}

// Serving names every strategy that a server can serve, best first. told is what
// its gate says; nil: there is none.
func Serving(info engine.Info, told *GateInfo) []string {
	var all []string
	if told != nil {
		all = append(all, StrategyGate)
	}
	if info.Profiling == engine.ProfilingNotConfigured {
		return all
	}
	for _, s := range []string{StrategyBounded, StrategyObserved, StrategyTimed} {
		if _, ok := serves(s, info); ok {
			all = append(all, s)
		}
	}
	return all
}
