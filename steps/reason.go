package steps

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"profjob/internal/archive"
	"profjob/internal/trace"
)

// refusal says why a trace cannot show the window that was asked for; empty if it can.
func (v *Verify) refusal(scan *trace.Summary, asked time.Time) string {
	if scan.Evidence == trace.NoEvidence {
		return "no engine step can be found in the trace (no annotation, no scope, no operator that occurs once a pass): was there traffic?"
	}
	if v.Evidence != "" && slices.Index(evidenceOrder, string(scan.Evidence)) > slices.Index(evidenceOrder, v.Evidence) {
		return fmt.Sprintf("the trace holds only %s as evidence, window.evidence asks for %s", scan.Evidence, v.Evidence)
	}
	if scan.Lanes > 1 {
		return fmt.Sprintf("the engine steps are spread over %d threads of the trace", scan.Lanes)
	}
	return foreign(scan.Passes, asked)
}

const (
	// clockSkew is by how much a server's clock may be behind this machine's.
	clockSkew = 2 * time.Second
	// epochRange is how far from the window a trace's times may be and still be
	// Unix time: those of some profilers count from the host's boot.
	epochRange = 24 * time.Hour
)

// foreign says whether a recording began before it was asked for. A vLLM that
// records already answers another start with 200 and goes on as it was (up to
// 0.31.0): then the trace is that of somebody else's session, which our stop ended.
func foreign(passes []trace.Pass, asked time.Time) string {
	if len(passes) == 0 || !isEpoch(passes[len(passes)-1].Start, asked) {
		return ""
	}
	first := time.Unix(0, passes[0].Start)
	if !first.Before(asked.Add(-clockSkew)) {
		return ""
	}
	const layout = "2006-01-02 15:04:05.000 MST"
	return fmt.Sprintf("the recording began at %s or before, %s before it was asked for: somebody else's session was on (or the server's clock is behind)",
		first.UTC().Format(layout), asked.Sub(first).Round(time.Millisecond))
}

// isEpoch tells whether a trace's time can be Unix time, near a moment of this machine's clock.
func isEpoch(ns int64, near time.Time) bool {
	return !near.IsZero() && time.Unix(0, ns).Sub(near).Abs() < epochRange
}

// manualReason says why a window by hand is not what was asked; empty if it is.
// It is exact within 5 % or 50 ms of the duration, whichever is more.
func (v *Verify) manualReason(e EndpointWindow, got archive.Got) string {
	asked := time.Duration(v.Duration)
	switch {
	case got.Steps == 0:
		return "no engine step was recorded: was there traffic?"
	case v.Until != "" && e.Ended == EndedTimeout:
		return "nobody ended the window before its timeout"
	case e.Ended == EndedInterrupted, e.Ended == EndedAborted:
		return "the window was " + e.Ended
	case e.Ended == EndedLimit:
		return "the window was ended early, by its limits"
	case v.Until != "":
		return ""
	}
	open := time.Duration(got.DurationNS)
	if (open - asked).Abs() > max(asked/20, 50*time.Millisecond) {
		return fmt.Sprintf("it was open for %s, %s were asked for", open.Round(time.Millisecond), asked)
	}
	return ""
}

// recordedReason says whether the profiler was on for a shorter time than the
// window was open, by its own account: somebody else has stopped it. Empty if not,
// and where the trace does not tell.
func recordedReason(scan *trace.Summary, open time.Duration) string {
	recorded := time.Duration(scan.Recorded)
	if recorded == 0 || open-recorded <= max(open/20, 50*time.Millisecond) {
		return ""
	}
	return fmt.Sprintf("the profiler was on for %s of the %s that the window was open: did somebody else stop it?",
		recorded.Round(time.Millisecond), open.Round(time.Millisecond))
}

// boundReason says whether a server that ends recordings after a number of passes
// has ended one before the stop; empty if not.
func (v *Verify) boundReason(e EndpointWindow, scan *trace.Summary, open time.Duration) string {
	bound := v.serverBound(e)
	if bound == 0 || len(scan.Passes) == 0 {
		return ""
	}
	last := scan.Passes[len(scan.Passes)-1].End
	early := e.StopSent.Sub(time.Unix(0, last))
	if !isEpoch(last, e.StopSent) || early <= max(open/10, time.Second) {
		return ""
	}
	return fmt.Sprintf("the server's own bound ended the recording early: its last pass ended %s before the stop (max_iterations is %d)",
		early.Round(time.Millisecond), bound)
}

// serverBound is after how many passes an endpoint ends a recording by itself; 0: it does not, or is not known to.
func (v *Verify) serverBound(e EndpointWindow) int64 {
	if e.Bound > 0 {
		return int64(e.Bound)
	}
	for _, t := range v.Targets {
		if n, ok := t.Options["max_iterations"].(json.Number); ok && t.Name == e.Target {
			bound, _ := n.Int64() // the engine refuses what is no number of passes
			return max(0, bound)
		}
	}
	return 0
}
