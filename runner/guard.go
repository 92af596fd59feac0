package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/guard"
	"profjob/internal/proc"
	"profjob/internal/scrub"
	"profjob/internal/wire"
	"profjob/steps"
)

// runGuard is the guard of a run: what plan steps begin, they begin through it.
type runGuard struct{ client *guard.Client }

// Intend tells the guard of a start or an arming; of a launch it hears by Launch.
func (g runGuard) Intend(ctx context.Context, what steps.Intent) error {
	if what.Action == "launch" {
		return nil
	}
	if err := g.client.Hold(ctx, holdOf(what)); err != nil {
		return fmt.Errorf("%s %s: %w", what.Action, what.Endpoint, err)
	}
	return nil
}

// Begun tells the guard that something is on.
func (g runGuard) Begun(ctx context.Context, what steps.Intent) error {
	return g.client.Begun(ctx, holdOf(what))
}

// Over tells the guard that something is off.
func (g runGuard) Over(ctx context.Context, what steps.Intent) error {
	return g.client.Over(ctx, holdOf(what))
}

// Launch starts a server as a child of the guard.
func (g runGuard) Launch(ctx context.Context, s steps.LaunchSpec) (steps.Process, error) {
	return g.client.Launch(ctx, s.Target, proc.Spec{Command: s.Command, Env: s.Env, Dir: s.Dir, Log: s.Log, Hide: s.Hide})
}

func holdOf(what steps.Intent) guard.Hold {
	return guard.Hold{Target: what.Target, Endpoint: what.Endpoint, Engine: what.Engine, Access: what.Access,
		Session: what.Session, Secret: what.GateSecret}
}

// guardLog is the guard's own account, in the run's directory.
const guardLog = "guard.log"

// startGuard starts profjob itself as the guard of a run.
func startGuard(dir *archive.Dir, opts Options) (client *guard.Client, err error) {
	log, err := os.OpenFile(dir.Join(guardLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	defer log.Close() // the guard has a copy of its own
	return guard.Start(opts.Executable, []string{"guard", "--locks", opts.Locks}, openEnvironment(os.Environ(), opts.Secrets), log)
}

// openEnvironment leaves out what the guard need not have in its environment, where
// every process of this user can read it for as long as it lives: the job file's
// variables, and whatever holds a sensitive value. It is told what it needs by the pipe.
func openEnvironment(env []string, secrets map[string]string) []string {
	hidden := scrub.Of(slices.Collect(maps.Values(secrets)))
	return slices.DeleteFunc(slices.Clone(env), func(assignment string) bool {
		return strings.HasPrefix(assignment, "PROFJOB_VAR_") || !bytes.Equal(hidden.Text([]byte(assignment)), []byte(assignment))
	})
}

// lock takes the locks of the endpoints that the plan names, so that no two runs
// profile one server.
func (r *runner) lock(ctx context.Context) error {
	id := r.run.Dir.RunID
	who := r.holder(id)
	err := r.guard.Lock(ctx, r.locked(id), who, 0)
	if err == nil {
		return nil
	}
	place, began := event.Place{Step: "lock"}, r.opts.Clock.Now()
	r.run.Place = place
	if emitErr := r.emit(event.StepStarted{Place: place, StepKind: "lock"}); emitErr != nil {
		return emitErr
	}
	var held *guard.HeldError
	switch {
	case !errors.As(err, &held):
	case r.opts.Wait == 0:
		err = fmt.Errorf("%w (with --wait 10m it would be waited for)", err)
	default:
		if warnErr := r.run.Warn("%v: waiting for its end, up to %s", err, r.opts.Wait); warnErr != nil {
			return warnErr
		}
		err = r.guard.Lock(ctx, r.locked(id), who, r.opts.Wait)
	}
	took := wire.Duration(r.opts.Clock.Now().Sub(began))
	if err == nil {
		return r.emit(event.StepFinished{Place: place, StepKind: "lock", Took: took})
	}
	err = &steps.Failure{Status: archive.StatusFailed, Exit: steps.ExitServer, Final: true, Err: err}
	return joined(err, r.emit(event.StepFailed{Place: place, StepKind: "lock", Took: took, Error: err.Error()}))
}

// locked is what no other run may have meanwhile: the run itself, and the endpoints
// that its plan names.
func (r *runner) locked(runID string) []string {
	all := []string{"run " + runID}
	if probe := r.plan.Probe(); probe != nil {
		for _, t := range probe.Targets {
			all = append(all, t.Endpoints...)
		}
	}
	return all
}

// holder says who has them.
func (r *runner) holder(runID string) guard.Holder {
	return guard.Holder{PID: os.Getpid(), Job: r.plan.Job, JobFile: r.opts.JobFile, RunID: runID, Since: r.opts.Clock.Now()}
}

// leaveGuard ends the guard. What is still owed it ends first, as if the run had died.
func (r *runner) leaveGuard(ctx context.Context) error {
	if !r.run.Owes() {
		return r.guard.Close()
	}
	began := time.Now()
	if err := r.run.Warn("what is still on was left to the guard, which writes %s", guardLog); err != nil {
		return err
	}
	if err := r.guard.Abandon(ctx); err != nil {
		return fmt.Errorf("wait for the guard (%s): %w", time.Since(began).Round(time.Second), err)
	}
	return nil
}
