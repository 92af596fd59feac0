package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/hostfs"
	"profjob/internal/wire"
	"profjob/steps"
)

// Options are what a run needs beside its plan.
type Options struct {
	JobDir     string            // absolute; relative paths of the plan start here
	Archive    string            // absolute root of the archive
	Inputs     []Input           // the files that the plan was made from
	Secrets    map[string]string // values of the plan's secret references
	Version    string            // of profjob
	Executable string            // path of profjob's own program
	Host       string
	Interrupts *steps.Interrupts
	Readers    []event.Reader // views; they come after the journal
	Clock      steps.Clock
	Files      func(dir string) hostfs.FS // the files below a directory of the targets' host
}

// Input is a file that is kept with the run as it may be kept.
type Input struct {
	Name    string // relative, with slashes
	Content []byte
}

// Result is how a run ended.
type Result struct {
	Manifest *archive.Manifest // nil where the run could not be sealed
	Status   archive.Status
	Exit     int
	Path     string // of the run
	Errors   []string
}

// undoTimeout bounds one plan step's cleanup: a stop may take half an hour to flush.
const undoTimeout = 35 * time.Minute

// Run carries out a plan and returns once everything of it is undone and the run
// is sealed. The error is for what kept a run from existing at all; how a run
// ended is in the Result.
func Run(ctx context.Context, plan *Plan, opts Options) (Result, error) {
	r, err := begin(plan, opts)
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", plan.Job, err)
	}
	defer r.journal.Close() //nolint:errcheck // sealing has closed it and reported
	if err := r.emit(event.RunStarted{RunID: r.run.Dir.RunID, Job: plan.Job, Dir: r.run.Dir.Final(),
		PlanDigest: plan.Digest, Version: opts.Version, Rounds: plan.Rounds}); err != nil {
		r.fail(err)
	}
	r.carryOut(ctx)
	return r.finish(ctx)
}

// runner is the state of one run.
type runner struct {
	plan    *Plan
	opts    Options
	run     *steps.Run
	bus     *event.Bus
	journal *journal
	undo    []owed // of the run's scope, oldest first

	failure *steps.Failure // the first
	errors  []string
}

// owed is a cleanup that must still be carried out.
type owed struct {
	step  steps.Step
	place event.Place
}

// begin makes the run's directory and journal.
func begin(plan *Plan, opts Options) (*runner, error) {
	var random [3]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	now := opts.Clock.Now()
	dir, err := archive.Create(opts.Archive, plan.Job, archive.NewRunID(now, random))
	if err != nil {
		return nil, err
	}
	if err := keepInputs(dir, plan, opts.Inputs); err != nil {
		return nil, err
	}
	j, err := openJournal(dir.Join("journal.jsonl"))
	if err != nil {
		return nil, err
	}
	r := &runner{plan: plan, opts: opts, journal: j}
	r.bus = event.NewBus(opts.Clock.Now, append([]event.Reader{j}, opts.Readers...)...)
	r.run = &steps.Run{Job: plan.Job, JobDir: opts.JobDir, PlanDigest: plan.Digest, Version: opts.Version,
		Executable: opts.Executable, Host: opts.Host, StartedAt: now, Dir: dir, State: &steps.State{},
		Secrets: opts.Secrets, Guard: localGuard{}, Interrupts: opts.Interrupts, Clock: opts.Clock, Files: opts.Files,
		Emit: r.bus.Emit, CloseJournal: j.Close}
	return r, nil
}

func keepInputs(dir *archive.Dir, plan *Plan, inputs []Input) error {
	data, err := plan.Encode()
	if err != nil {
		return err
	}
	if err := dir.WriteFile("plan.json", data); err != nil {
		return err
	}
	for _, in := range inputs {
		if err := dir.WriteFile(path.Join("input", in.Name), in.Content); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) emit(ev event.Event) error { return r.bus.Emit(ev) }

// carryOut goes through the plan up to its last part, which finish owns.
func (r *runner) carryOut(ctx context.Context) {
	levels := r.contexts(ctx)
	defer levels.cancel()
	for i := 0; i < len(r.plan.Steps) && r.failure == nil; {
		p := r.plan.Steps[i]
		if isLast(p.Step) {
			return
		}
		if p.Round == 0 {
			r.step(levels.work, p.Step, event.Place{Step: p.Step.ID()}, &r.undo)
			i++
			continue
		}
		end := i
		for end < len(r.plan.Steps) && r.plan.Steps[end].Round == p.Round {
			end++
		}
		r.round(levels, p.Round, r.plan.Steps[i:end])
		i = end
	}
}

// isLast tells of the plan steps that come whatever happened before.
func isLast(s steps.Step) bool {
	switch s.(type) {
	case *steps.Shutdown, *steps.Seal, *steps.Store:
		return true
	}
	return false
}

// round tries until one attempt got its window, or none is left.
func (r *runner) round(levels contexts, number int, planned []Planned) {
	for attempt := 1; ; attempt++ {
		err := r.attempt(levels, number, attempt, planned)
		tried := steps.Attempt{Round: number, Number: attempt}
		if err != nil {
			tried.Error = err.Error()
		}
		r.run.Outcome.Attempts = append(r.run.Outcome.Attempts, tried)
		if err == nil {
			return
		}
		final := attempt >= r.plan.Attempts || isFinal(err) || r.opts.Interrupts.Count() > 0
		emitErr := r.emit(event.AttemptFailed{Round: number, Attempt: attempt, Of: r.plan.Attempts, Final: final, Error: err.Error()})
		if final || emitErr != nil {
			r.fail(errors.Join(err, emitErr))
			return
		}
	}
}

func isFinal(err error) bool {
	f := failureOf(err)
	return f != nil && f.Final
}

// attempt carries out the plan steps of a round once, and then undoes them.
func (r *runner) attempt(levels contexts, round, attempt int, planned []Planned) error {
	var owing []owed
	var failed error
	for _, p := range planned {
		place := event.Place{Step: p.Step.ID(), Round: round, Attempt: attempt}
		ctx := levels.work
		switch p.Step.(type) {
		case *steps.Collect, *steps.Verify:
			ctx = levels.keep
		}
		if failed = r.one(ctx, p.Step, place, &owing); failed != nil {
			break
		}
	}
	undone := r.undoAll(levels.seal, owing)
	if failed == nil && r.opts.Interrupts.Count() > 0 {
		failed = steps.ErrInterrupted
	}
	return errors.Join(failed, undone)
}

// step carries out a plan step outside the rounds; an error of it fails the run.
func (r *runner) step(ctx context.Context, s steps.Step, place event.Place, owing *[]owed) {
	if err := r.one(ctx, s, place, owing); err != nil {
		r.fail(err)
	}
}

// one carries out one plan step: its cleanup is registered and journaled before
// it begins, its result is journaled before anything else does.
func (r *runner) one(ctx context.Context, s steps.Step, place event.Place, owing *[]owed) error {
	r.run.Place = place
	if err := errors.Join(r.emit(event.UndoRegistered{Place: place}), r.emit(event.StepStarted{Place: place, StepKind: s.Kind()})); err != nil {
		return err
	}
	*owing = append(*owing, owed{s, place})
	began := r.opts.Clock.Now()
	result, err := r.guarded(ctx, s)
	took := wire.Duration(r.opts.Clock.Now().Sub(began))
	raw, jsonErr := encodeResult(result)
	if result != nil {
		r.run.State.Put(place, result)
	}
	if err = errors.Join(err, jsonErr); err != nil {
		return errors.Join(err, r.emit(event.StepFailed{Place: place, StepKind: s.Kind(), Took: took, Error: err.Error(), Result: raw}))
	}
	return r.emit(event.StepFinished{Place: place, StepKind: s.Kind(), Took: took, Result: raw, Summary: summary(result)})
}

// guarded turns a panic of a plan step into its error, so that cleanup still comes.
func (r *runner) guarded(ctx context.Context, s steps.Step) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: this is a defect of profjob: panic: %v\n%s", s.ID(), p, debug.Stack())
		}
	}()
	return r.retrying(ctx, s)
}

func encodeResult(result any) (json.RawMessage, error) {
	if result == nil {
		return nil, nil
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return raw, nil
}

func summary(result any) string {
	if s, ok := result.(steps.Summarizer); ok {
		return s.Summary()
	}
	return ""
}

// undoAll carries out what is owed, newest first. An interrupt does not end it,
// only the third.
func (r *runner) undoAll(ctx context.Context, owing []owed) error {
	var errs []error
	for i := len(owing) - 1; i >= 0; i-- {
		o := owing[i]
		r.run.Place = o.place
		undoCtx, cancel := context.WithTimeout(ctx, undoTimeout)
		err := o.step.Undo(undoCtx, r.run)
		cancel()
		ev := event.Undone{Place: o.place}
		if err != nil {
			ev.Error = err.Error()
			errs = append(errs, fmt.Errorf("clean up after %s: %w", o.step.ID(), err))
		}
		errs = append(errs, r.emit(ev))
	}
	return errors.Join(errs...)
}

// finish ends the launched servers, undoes what is owed, and seals the run,
// whatever happened before.
func (r *runner) finish(ctx context.Context) (Result, error) {
	levels := r.contexts(ctx)
	defer levels.cancel()
	var none []owed
	for _, p := range r.plan.Steps {
		place := event.Place{Step: p.Step.ID()}
		switch p.Step.(type) {
		case *steps.Shutdown:
			r.step(levels.seal, p.Step, place, &none)
		case *steps.Seal:
			if err := r.undoAll(levels.seal, r.undo); err != nil {
				r.fail(err)
			}
			r.settle()
			r.step(levels.seal, p.Step, place, &none)
		case *steps.Store:
			if _, sealed := steps.Latest[steps.SealResult](r.run.State); sealed {
				r.step(levels.seal, p.Step, place, &none)
			}
		}
	}
	return r.result()
}

// settle fixes how the run ended, for the manifest.
func (r *runner) settle() {
	r.run.Outcome.Status, r.run.Outcome.Errors = r.status(), r.errors
}

func (r *runner) status() archive.Status {
	switch {
	case r.opts.Interrupts.Count() > 0:
		return archive.StatusInterrupted
	case r.failure != nil:
		return r.failure.Status
	}
	return archive.StatusOK
}

func (r *runner) result() (Result, error) {
	out := Result{Status: r.status(), Errors: r.errors, Path: r.run.Dir.Path()}
	if sealed, ok := steps.Latest[steps.SealResult](r.run.State); ok {
		out.Manifest = sealed.Manifest
	}
	if stored, ok := steps.Latest[steps.StoreResult](r.run.State); ok {
		out.Path = stored.Path
	}
	switch {
	case out.Status == archive.StatusInterrupted:
		out.Exit = steps.ExitInterrupted
	case r.failure != nil:
		out.Exit = r.failure.Exit
	}
	took := wire.Duration(r.opts.Clock.Now().Sub(r.run.StartedAt))
	return out, r.emit(event.RunFinished{RunID: r.run.Dir.RunID, Job: r.plan.Job, Status: string(out.Status), Exit: out.Exit,
		Dir: out.Path, Took: took, Errors: out.Errors})
}

// fail notes an error; the first one decides how the run ends.
func (r *runner) fail(err error) {
	f := failureOf(err)
	if f == nil {
		f = &steps.Failure{Status: archive.StatusFailed, Exit: steps.ExitFailed, Err: err}
	}
	if r.failure == nil {
		r.failure = f
	}
	r.errors = append(r.errors, err.Error())
}

func failureOf(err error) *steps.Failure {
	var f *steps.Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}
