package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/guard"
	"profjob/internal/proc"
	"profjob/internal/regular"
	"profjob/steps"
)

// Unfinished is a run that was cut off, as its directory tells.
type Unfinished struct {
	Plan    *Plan
	Started event.RunStarted

	path    string // of the partial directory, absolute
	history *history
}

// OpenUnfinished reads the plan and the journal of a run that was cut off. path is absolute.
func OpenUnfinished(path string) (*Unfinished, error) {
	data, err := regular.Read(filepath.Join(path, "plan.json"), maxPlan)
	if err != nil {
		return nil, fmt.Errorf("open the run: %w", err)
	}
	plan, err := DecodePlan(data)
	if err != nil {
		return nil, fmt.Errorf("open the run %s: %w", path, err)
	}
	h, err := readHistory(filepath.Join(path, journalName))
	if err != nil {
		return nil, fmt.Errorf("open the run %s: %w", path, err)
	}
	return &Unfinished{Plan: plan, Started: h.started, path: path, history: h}, nil
}

// guardWait is how long the guard of a run that died may take: it waits for the
// answers to its stops, and traces with stacks take their time.
const guardWait = 35 * time.Minute

// Resume finishes a run that was cut off: what its last attempt recorded is
// collected and verified, and the run is sealed. What was not begun stays undone.
// The error is for what kept it from being finished at all.
func (u *Unfinished) Resume(ctx context.Context, opts Options) (Result, error) {
	r, err := u.reopen(ctx, opts)
	if err != nil {
		return Result{}, fmt.Errorf("resume run %s: %w", filepath.Base(u.path), err)
	}
	defer r.journal.Close() //nolint:errcheck // sealing has closed it and reported
	levels := r.contexts(ctx)
	defer levels.cancel()
	if err := u.rest(r, levels); err != nil {
		r.fail(err)
	}
	r.finish(levels)
	return r.result(), nil
}

// reopen makes a runner that stands where the run was cut off. Nothing of a run that
// goes on is touched: what it holds is taken first.
func (u *Unfinished) reopen(ctx context.Context, opts Options) (*runner, error) {
	dir, err := archive.Reopen(u.path, u.Plan.Job)
	if err != nil {
		return nil, err
	}
	if err := u.Plan.share(dir); err != nil {
		return nil, err
	}
	g, err := newGuard(dir, opts)
	if err != nil {
		return nil, err
	}
	opts.JobDir, opts.Host = u.Started.JobDir, u.Started.Host
	r := &runner{plan: u.Plan, opts: opts, guard: g, views: &views{readers: opts.Readers}}
	if err = r.lockAgain(ctx, dir.RunID); err == nil {
		u.history, err = readHistory(dir.Join(journalName)) // as it is now
	}
	if err == nil {
		r.journal, err = reopenJournal(dir.Join(journalName), u.history.size)
	}
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	r.bus = event.ContinueBus(opts.Clock.Now, u.history.last, r.journal, r.views)
	r.run = r.newRun(dir, u.history.began)
	u.history.into(r)
	return r, nil
}

// lockAgain takes the locks of the run. Its own guard may still be at work.
func (r *runner) lockAgain(ctx context.Context, runID string) error {
	who := r.holder(runID)
	err := r.guard.Lock(ctx, r.locked(runID), who, 0)
	var held *guard.HeldError
	if !errors.As(err, &held) || held.By.RunID != runID {
		return err
	}
	if proc.Lives(held.By.PID) {
		return fmt.Errorf("it goes on: process %d", held.By.PID)
	}
	text := fmt.Sprintf("the guard of run %s is still at work: waiting for it, up to %s", runID, guardWait)
	_ = event.NewBus(r.opts.Clock.Now, r.views).Emit(event.Warning{Text: text}) // views report their errors themselves
	return r.guard.Lock(ctx, r.locked(runID), who, guardWait)
}

// rest carries out what can still be had of the last attempt, and says what cannot.
func (u *Unfinished) rest(r *runner, levels contexts) error {
	err := r.emit(event.RunResumed{RunID: r.run.Dir.RunID, Job: r.plan.Job, Version: r.opts.Version})
	if err != nil {
		return err
	}
	for _, p := range r.plan.Steps {
		if launch, ok := p.Step.(*steps.Launch); ok {
			if err := launch.Recover(r.run); err != nil {
				r.fail(err)
			}
		}
	}
	left := u.history.left(r.plan)
	if left.complete {
		return nil
	}
	r.killed = true
	r.fail(left.failure())
	if left.round == 0 {
		return nil
	}
	r.run.Place = event.Place{Round: left.round, Attempt: left.attempt}
	if err := u.closeWindow(r, levels, left); err != nil {
		return err
	}
	var owing []owed
	var failed error
	for _, p := range left.keepers(r.plan) {
		keeper := p.Step.(steps.Keeper) // keepers gives no other
		if levels.keep.Err() != nil || !keeper.Keeps(r.run) {
			continue
		}
		place := event.Place{Step: p.Step.ID(), Round: left.round, Attempt: left.attempt}
		failed = joined(failed, r.one(levels.keep, p.Step, place, &owing))
	}
	tried := steps.Attempt{Round: left.round, Number: left.attempt, Error: "the run was cut off"}
	if failed != nil {
		tried.Error += "; " + failed.Error()
	}
	r.run.Outcome.Attempts = append(r.run.Outcome.Attempts, tried)
	return joined(failed, r.undoAll(levels.seal, owing))
}

// closeWindow gives a window that was cut off its end, by the guard's log.
func (u *Unfinished) closeWindow(r *runner, levels contexts, left left) error {
	window, noted := left.window(r.plan, u.history)
	if window == nil {
		return nil
	}
	var closed map[string]guard.Stopped
	if log, err := regular.Open(r.run.Dir.Join(guardLog)); err == nil {
		defer log.Close()
		closed = guard.ReadLog(log)
	}
	r.run.Place = event.Place{Step: window.ID(), Round: left.round, Attempt: left.attempt}
	result, err := window.Recover(levels.seal, r.run, noted, closed)
	raw, jsonErr := encodeResult(result)
	r.run.State.Put(r.run.Place, result)
	return errors.Join(err, jsonErr, r.emit(event.StepNoted{Place: r.run.Place, StepKind: window.Kind(), Result: raw}))
}
