package steps

import (
	"context"
	"errors"
	"fmt"

	"profjob/internal/gate"
	"profjob/internal/guard"
)

// Recover closes a window whose run was killed while it was open: what nobody has
// stopped is stopped now, and what the gates still know is asked for. noted is the
// window as it was journaled last, closed what became of the stops, by endpoint.
func (w *Window) Recover(ctx context.Context, run *Run, noted WindowResult, closed map[string]guard.Stopped) (WindowResult, error) {
	servers, err := run.servers(w.Targets)
	if err != nil {
		return noted, fmt.Errorf("recover the window: %w", err)
	}
	var errs []error
	for i := range noted.Endpoints {
		e := &noted.Endpoints[i]
		e.Ended = EndedInterrupted
		if e.StartAnswered.IsZero() {
			e.StartAnswered = e.StartSent // whether it was answered nobody knows
		}
		for _, s := range servers {
			if s.Target.Name == e.Target && s.Endpoint == e.Endpoint {
				errs = append(errs, w.recoverOne(ctx, run, s, e, closed[e.Endpoint]))
			}
		}
	}
	noted.Ended = EndedInterrupted
	return noted, errors.Join(errs...)
}

func (w *Window) recoverOne(ctx context.Context, run *Run, s server, e *EndpointWindow, closed guard.Stopped) error {
	if e.Gate != nil {
		s.session = e.Gate.Session
	}
	if !closed.Done {
		run.armed.add(s)
		if err := w.stopOne(ctx, run, s, e); err != nil {
			e.Error = err.Error()
			return run.warn("%v", err)
		}
		return nil
	}
	e.StopSent, e.StopAnswered, e.Stopped, e.StopError = closed.Sent, closed.Answered, true, closed.Error
	if e.Gate == nil {
		return nil
	}
	status, err := s.gate.Status(ctx, s.session)
	switch {
	case errors.Is(err, gate.ErrSession):
		return run.warn("%s: the gate does not know the window any more; what it recorded is lost", e.Target)
	case err != nil:
		return run.warn("%s: the gate cannot be asked for what it recorded: %v", e.Target, err)
	}
	e.Gate.Workers = status.Workers
	return nil
}

// Recover cleans up after launched servers whose run was killed: its guard has
// ended them, and their logs are whole.
func (l *Launch) Recover(run *Run) error { return run.cleanLogs() }
