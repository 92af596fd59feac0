package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/gate"
)

// GateSession is what a gate told of the session of a window, worker by worker.
type GateSession struct {
	Session string        `json:"session"`
	Workers []gate.Worker `json:"workers,omitempty"`
}

const (
	// gateLease is how long a gate goes on without a word from the run.
	gateLease     = 30 * time.Second
	gatePollLeast = 100 * time.Millisecond
	gatePollMost  = time.Second
	armTimeout    = 7 * time.Minute // the gate gives its workers 5 minutes, for the first start of a profiler
)

// session names the session of an attempt: unique, since the id of a run is.
func (r *Run) session() string {
	return fmt.Sprintf("%s-%d-%d", r.Dir.RunID, r.Place.Round, r.Place.Attempt)
}

// armRequest asks a gate for the window.
func (w *Window) armRequest(session string) gate.ArmRequest {
	timeout := time.Duration(w.Timeout)
	q := gate.ArmRequest{Session: session, Lease: gateLease, Activities: w.Record.Activities,
		Record: gate.Record{Shapes: w.Record.Shapes, Memory: w.Record.Memory, Stack: w.Record.Stack, FLOPs: w.Record.FLOPs},
		Limits: gate.Limits{Steps: maxGateSteps, Duration: min(timeout, time.Hour), Bytes: min(w.MaxTraceSize, 64<<30)}}
	switch {
	case w.Form != "manual":
		q.Window = gate.Window{Steps: w.Count, Delay: w.Delay}
		q.Limits.Steps = w.Count
	case w.Until != "":
		q.Window.Duration = min(timeout, time.Hour)
	default:
		q.Window.Duration = time.Duration(w.Duration)
		q.Limits.Duration = min(2*q.Window.Duration+time.Minute, time.Hour)
	}
	if t := w.Tokens; t != nil {
		q.Window.Threshold, q.Window.AtMost, q.Window.Phase = t.Threshold, t.AtMost, gate.Phase(t.Phase)
		q.Window.All, q.Window.SkipRequests = t.All, t.SkipRequests
	}
	return q
}

// arm asks a gate for a window; from before the request until it is disarmed the
// endpoint counts as armed, unless the answer proves that it is not.
func (r *Run) arm(ctx context.Context, s server, q gate.ArmRequest) error {
	call := func(ctx context.Context) error { _, err := s.gate.Arm(ctx, q); return err }
	err, journal := r.begin(ctx, s, "arm", armTimeout, call, gate.NothingArmed)
	return errors.Join(armFailure(s, err), journal)
}

// armFailure tells how a run ends whose gate could not be armed.
func armFailure(s server, err error) error {
	if err == nil {
		return nil
	}
	for _, final := range []error{gate.ErrAbsent, gate.ErrProtocol, gate.ErrSecret, gate.ErrRequest, engine.ErrUnreachable} {
		if errors.Is(err, final) {
			return finalServerFailure("%s: %w", s.Target.Name, err)
		}
	}
	return serverFailure("%s: %w", s.Target.Name, err)
}

// disarm ends a gate's session and waits until what it recorded is written. The
// endpoint stays armed unless the gate has said that the session is over, or
// nobody listens there any more.
func (r *Run) disarm(ctx context.Context, s server) (*gate.Status, error) {
	_ = r.Emit(event.Intent{Place: r.Place, Action: "disarm", Target: s.Target.Name, Endpoint: s.Endpoint, Session: s.session})
	began := r.Clock.Now()
	status, err := s.gate.Finish(ctx, s.session)
	if engine.Gone(err) && r.comesBack(ctx, s) {
		status, err = s.gate.Finish(ctx, s.session)
	}
	_ = r.outcome("disarm", s, began, err) // the journal's next line reports its error
	if err == nil || errors.Is(err, gate.ErrSession) || engine.Gone(err) {
		r.disown(ctx, s)
	}
	return status, err
}

// gated waits until every engine core of an endpoint has recorded its window. Each
// question renews the session's lease.
func (w *endpointWatch) gated(ctx context.Context) ending {
	began := w.run.Clock.Now()
	for {
		status, err := w.server.gate.Status(ctx, w.server.session)
		switch {
		case ctx.Err() != nil:
			return ending{}
		case errors.Is(err, gate.ErrSession), errors.Is(err, gate.ErrSecret), errors.Is(err, gate.ErrAbsent):
			return ending{err: serverFailure("%s: the gate lost the window (was the server started again?): %w", w.server.Target.Name, err)}
		case err == nil && (status.State.Ended() || status.State == gate.Writing):
			return gateEnding(w.server.Target, status)
		case err == nil:
			w.tell(status)
		}
		open := w.run.Clock.Now().Sub(began)
		if w.run.Clock.Sleep(ctx, min(max(gatePollLeast, open/10), gatePollMost)) != nil {
			return ending{}
		}
	}
}

// tell shows how far the slowest worker is.
func (w *endpointWatch) tell(status *gate.Status) {
	if len(status.Workers) == 0 {
		return
	}
	slowest := slices.MinFunc(status.Workers, func(a, b gate.Worker) int { return a.Recorded - b.Recorded })
	w.seen = int64(slowest.Recorded)
	switch {
	case slowest.State == gate.Armed:
		w.run.progress(fmt.Sprintf("armed, %d engine steps passed", slowest.Counted), 0, int64(w.window.Count), "steps")
	case w.window.Form == "manual":
		w.run.progress("recording", int64(slowest.Recorded), 0, "steps")
	default:
		w.run.progress("recording engine steps", int64(slowest.Recorded), int64(w.window.Count), "steps")
	}
}

// gateEnding tells how a session ended that nobody has disarmed.
func gateEnding(t Target, status *gate.Status) ending {
	if failed := failedWorkers(status); failed != "" {
		return ending{err: serverFailure("%s: the gate could not record: %s", t.Name, failed)}
	}
	how := map[string]string{"steps": EndedRecorded, "duration": EndedDuration, "disarm": EndedStopped,
		"max_steps": EndedLimit, "max_seconds": EndedLimit, "max_bytes": EndedLimit}
	worst := 0
	for _, w := range status.Workers {
		end, known := how[w.EndedBy]
		if !known {
			return ending{err: serverFailure("%s: the gate of core %d rank %d ended the window by itself: %s", t.Name, w.Core, w.Rank, w.EndedBy)}
		}
		worst = max(worst, slices.Index(endings, end))
	}
	return ending{how: endings[worst]}
}

// failedWorkers names the workers that failed of themselves, and why; those that
// ended because of another come only where no such one is known.
func failedWorkers(status *gate.Status) string {
	var all []string
	for _, w := range status.Workers {
		if w.Error != "" {
			all = append(all, fmt.Sprintf("core %d rank %d (%s, process %d): %s", w.Core, w.Rank, w.Host, w.PID, w.Error))
		}
	}
	if len(all) == 0 && status.State == gate.Failed {
		return "it does not say why"
	}
	return strings.Join(all, "; ")
}
