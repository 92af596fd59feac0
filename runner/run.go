package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/guard"
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
	JobFile    string        // absolute, for those who wait for this run
	Locks      string        // folder of the endpoints' locks, absolute
	Wait       time.Duration // how long an endpoint that another run holds is waited for
	Interrupts *steps.Interrupts
	Readers    []event.Reader // views; they come after the journal
	Clock      steps.Clock
	Files      func(dir string) hostfs.FS // the files below a directory of the targets' host
	// Guard starts the guard of the run in a directory; nil: Executable is the guard.
	Guard func(*archive.Dir) (*guard.Client, error)
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
	return r.do(ctx), nil
}

// do carries out all of the plan.
func (r *runner) do(ctx context.Context) Result {
	defer r.journal.Close() //nolint:errcheck // sealing has closed it and reported
	levels := r.contexts(ctx)
	defer levels.cancel()
	if err := r.emit(event.RunStarted{RunID: r.run.Dir.RunID, Job: r.plan.Job, Dir: r.run.Dir.Final(),
		PlanDigest: r.plan.Digest, Version: r.opts.Version, Rounds: r.plan.Rounds,
		JobFile: r.opts.JobFile, JobDir: r.opts.JobDir, Host: r.opts.Host}); err != nil {
		r.fail(err)
	}
	if err := r.lock(levels.work); err != nil {
		r.fail(err)
	}
	r.carryOut(levels)
	r.finish(levels)
	return r.result()
}

// runner is the state of one run.
type runner struct {
	plan    *Plan
	opts    Options
	run     *steps.Run
	bus     *event.Bus
	journal *journal
	guard   *guard.Client
	views   *views
	undo    []owed // of the run's scope, oldest first

	failure     *steps.Failure // the worst so far
	errors      []string
	interrupted bool // fixed by settle
	killed      bool // it is finished after it was cut off
	// cutOff counts, by their ids, how often plan steps outside the rounds were cut off.
	cutOff map[string]int
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
	var j *journal
	if err = plan.share(dir); err == nil {
		err = keepInputs(dir, plan, opts.Inputs)
	}
	if err == nil {
		j, err = openJournal(dir.Join(journalName))
	}
	var g *guard.Client
	if err == nil {
		g, err = newGuard(dir, opts)
	}
	if err != nil { // nothing has begun, so there is nothing to keep
		if j != nil {
			err = errors.Join(err, j.Close())
		}
		return nil, errors.Join(err, os.RemoveAll(dir.Path()))
	}
	r := &runner{plan: plan, opts: opts, journal: j, guard: g, views: &views{readers: opts.Readers}}
	r.bus = event.NewBus(opts.Clock.Now, j, r.views)
	r.run = r.newRun(dir, now)
	return r, nil
}

// newRun is what the plan steps get to see.
func (r *runner) newRun(dir *archive.Dir, began time.Time) *steps.Run {
	o := r.opts
	return &steps.Run{Job: r.plan.Job, JobDir: o.JobDir, PlanDigest: r.plan.Digest, Version: o.Version,
		Executable: o.Executable, Host: o.Host, StartedAt: began, Dir: dir, State: &steps.State{},
		Secrets: o.Secrets, Guard: runGuard{r.guard}, Interrupts: o.Interrupts, Clock: o.Clock, Files: o.Files,
		Emit: r.bus.Emit, CloseJournal: r.journal.Close,
		Estimate: func() (*steps.Estimate, error) { return r.plan.Estimate(dir.Root) }}
}

func newGuard(dir *archive.Dir, opts Options) (*guard.Client, error) {
	if opts.Guard != nil {
		return opts.Guard(dir)
	}
	return startGuard(dir, opts)
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
func (r *runner) carryOut(levels contexts) {
	for i := 0; i < len(r.plan.Steps) && r.failure == nil; {
		p := r.plan.Steps[i]
		if isLast(p.Step) {
			return
		}
		if p.Round == 0 {
			r.step(levels.work, p.Step, &r.undo)
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
	case *steps.Shutdown, *steps.Analyze, *steps.Seal, *steps.Store:
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
		final := attempt >= r.plan.Attempts || isFinal(err) || levels.interrupted()
		emitErr := r.emit(event.AttemptFailed{Round: number, Attempt: attempt, Of: r.plan.Attempts, Final: final, Error: err.Error()})
		if final || emitErr != nil {
			r.fail(joined(err, emitErr))
			return
		}
	}
}

// attempt carries out the plan steps of a round once, and then undoes them.
// After a failure only those go on that keep what was recorded before it.
func (r *runner) attempt(levels contexts, round, attempt int, planned []Planned) error {
	var owing []owed
	var failed error
	for _, p := range planned {
		ctx := levels.work
		keeper, keeps := p.Step.(steps.Keeper)
		if keeps {
			ctx = levels.keep
		}
		if failed != nil && (!keeps || levels.keep.Err() != nil || !keeper.Keeps(r.run)) {
			continue
		}
		place := event.Place{Step: p.Step.ID(), Round: round, Attempt: attempt}
		failed = joined(failed, r.one(ctx, p.Step, place, &owing))
	}
	failed = joined(failed, r.undoAll(levels.seal, owing))
	if levels.interrupted() && !errors.Is(failed, steps.ErrInterrupted) {
		failed = joined(steps.ErrInterrupted, failed)
	}
	return failed
}

// joined is errors.Join that leaves a single error as it is.
func joined(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return errors.Join(a, b)
}

// step carries out a plan step outside the rounds; an error of it fails the run.
func (r *runner) step(ctx context.Context, s steps.Step, owing *[]owed) {
	if err := r.one(ctx, s, event.Place{Step: s.ID()}, owing); err != nil {
		r.fail(err)
	}
}

// one carries out one plan step: its cleanup is registered and journaled before
// it begins, its result is journaled before anything else does.
func (r *runner) one(ctx context.Context, s steps.Step, place event.Place, owing *[]owed) error {
	r.run.Place = place
	if err := r.emit(event.UndoRegistered{Place: place}); err != nil {
		return err
	}
	*owing = append(*owing, owed{s, place})
	if err := r.emit(event.StepStarted{Place: place, StepKind: s.Kind()}); err != nil {
		return err
	}
	began := r.opts.Clock.Now()
	result, err := r.guarded(ctx, s)
	took := wire.Duration(r.opts.Clock.Now().Sub(began))
	raw, jsonErr := encodeResult(result)
	if result != nil {
		r.run.State.Put(place, result)
	}
	if err = joined(err, jsonErr); err != nil {
		return joined(err, r.emit(event.StepFailed{Place: place, StepKind: s.Kind(), Took: took, Error: err.Error(), Result: raw}))
	}
	return r.emit(event.StepFinished{Place: place, StepKind: s.Kind(), Took: took, Result: raw, Summary: summary(result)})
}

// guarded turns a panic of a plan step into its error, so that cleanup still comes.
func (r *runner) guarded(ctx context.Context, s steps.Step) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = steps.Defect(s.ID(), p)
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
		err := r.undoOne(ctx, o.step)
		ev := event.Undone{Place: o.place}
		if err != nil {
			ev.Error = err.Error()
			errs = append(errs, fmt.Errorf("clean up after %s: %w", o.step.ID(), err))
		}
		errs = append(errs, r.emit(ev))
	}
	return errors.Join(errs...)
}

func (r *runner) undoOne(ctx context.Context, s steps.Step) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = steps.Defect("clean up after "+s.ID(), p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	return s.Undo(ctx, r.run)
}

// finish ends the launched servers, undoes what is owed, and seals the run,
// whatever happened before.
func (r *runner) finish(levels contexts) {
	r.last(levels.seal, func(s steps.Step) bool { _, ok := s.(*steps.Shutdown); return ok })
	if err := r.undoAll(levels.seal, r.undo); err != nil {
		r.fail(err)
	}
	interrupted := r.killed || levels.interrupted()
	owes := r.run.Owes()
	if owes { // what is left to the guard must not wait for the analysis
		r.leave(levels)
	}
	r.settle(interrupted) // as the report will have it
	r.analyze(levels)
	if !owes {
		r.leave(levels)
	}
	r.settle(interrupted)
	r.last(levels.seal, func(s steps.Step) bool { _, ok := s.(*steps.Seal); return ok })
	sealed, ok := steps.Latest[steps.SealResult](r.run.State)
	if !ok {
		r.interrupted = r.killed || levels.interrupted() // no manifest says otherwise
		return
	}
	r.last(levels.seal, func(s steps.Step) bool { _, ok := s.(*steps.Store); return ok })
	if len(r.errors) > len(r.run.Outcome.Errors) {
		r.amend(sealed.Manifest)
	}
}

// leave ends the guard, and with it the locks of the run.
func (r *runner) leave(levels contexts) {
	if err := r.leaveGuard(levels.seal); err != nil {
		r.fail(err)
	}
}

// amend lets the manifest of a sealed run tell of an error that came after the
// seal. Where it cannot be written again, at least the one in the result does.
func (r *runner) amend(m *archive.Manifest) {
	m.Status, m.Errors = r.status(), slices.Clone(r.errors)
	if err := archive.Amend(r.run.Dir, m); err != nil {
		r.fail(&steps.Failure{Status: archive.StatusIncomplete, Exit: steps.ExitIncomplete, Err: err})
		m.Status, m.Errors = r.status(), slices.Clone(r.errors)
	}
}

// last carries out one kind of the last plan steps. They leave nothing to undo:
// when they have been carried out, the journal is closed.
func (r *runner) last(ctx context.Context, is func(steps.Step) bool) {
	var none []owed
	for _, p := range r.plan.Steps {
		if is(p.Step) {
			r.step(ctx, p.Step, &none)
		}
	}
}

// settle fixes how the run ended, for the manifest: of what comes later only an
// error changes that, by amend.
func (r *runner) settle(interrupted bool) {
	for _, err := range r.views.failures() {
		if warnErr := r.run.Warn("what happened was not shown to the end: %v", err); warnErr != nil {
			r.fail(warnErr)
		}
	}
	if r.interrupted = interrupted; interrupted && len(r.errors) == 0 {
		r.errors = append(r.errors, steps.ErrInterrupted.Error())
	}
	r.run.Outcome.Status, r.run.Outcome.Errors = r.status(), r.errors
}

func (r *runner) status() archive.Status {
	switch {
	case r.interrupted:
		return archive.StatusInterrupted
	case r.failure != nil:
		return r.failure.Status
	}
	return archive.StatusOK
}

func (r *runner) result() Result {
	out := Result{Status: r.status(), Errors: r.errors, Path: r.run.Dir.Path()}
	if sealed, ok := steps.Latest[steps.SealResult](r.run.State); ok {
		out.Manifest = sealed.Manifest
	}
	if stored, ok := steps.Latest[steps.StoreResult](r.run.State); ok {
		out.Path = stored.Path
	}
	switch {
	case r.interrupted:
		out.Exit = steps.ExitInterrupted
	case r.failure != nil:
		out.Exit = r.failure.Exit
	}
	took := wire.Duration(r.opts.Clock.Now().Sub(r.run.StartedAt))
	// The journal is closed, or its error has been told: this is for the views.
	_ = r.emit(event.RunFinished{RunID: r.run.Dir.RunID, Job: r.plan.Job, Status: string(out.Status), Exit: out.Exit,
		Dir: out.Path, Took: took, Errors: out.Errors})
	return out
}

// fail notes an error; the worst one decides how the run ends.
func (r *runner) fail(err error) {
	if f := worst(err); r.failure == nil || rank(f) < rank(r.failure) {
		r.failure = f
	}
	r.errors = append(r.errors, err.Error())
}
