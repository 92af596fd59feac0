package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"profjob/internal/embedded/gate"
	"profjob/internal/embedded/kineto"
	"profjob/internal/embedded/model"
)

// errEngineDead is what requests get from an engine that has ended. The words
// are vLLM's EngineDeadError.
//
//lint:ignore ST1005 clients see it as vLLM writes it
var errEngineDead = errors.New("EngineCore encountered an issue. See stack trace (above) for the root cause.")

// engine is the loop that runs passes. One goroutine owns its scheduler, model
// and profiler; everything else talks to it through the inbox.
type engine struct {
	config    Config
	model     *model.Model
	scheduler scheduler
	profiler  *profiler
	automatic *automatic // nil unless on
	gate      *gate.Gate // nil unless configured
	metrics   *metrics

	mu    sync.Mutex
	inbox []func()
	dead  bool
	wake  chan struct{}
	ended chan struct{}
}

func newEngine(c Config, p process, m *metrics) (*engine, error) {
	size := model.Tiny(c.Seed)
	size.Threads = c.Threads
	transformer, err := model.New(size)
	if err != nil {
		return nil, err
	}
	e := &engine{
		config: c,
		model:  transformer,
		scheduler: scheduler{
			maxSeqs: c.MaxNumSeqs, maxTokens: c.MaxNumBatchedTokens, freeBlocks: size.Blocks,
		},
		profiler: newProfiler(c, p),
		metrics:  m,
		wake:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	if c.automatic != nil && !c.Ray { // under Ray, whoever counts is passed by
		e.automatic = &automatic{rule: *c.automatic}
	}
	if c.GateSecret != "" {
		e.gate = newGate(c, p, e.profiler)
		e.profiler.othersRecord = func() bool { return e.gate.Recorder() != nil }
	}
	return e, nil
}

// submit queues requests. Their events tell the rest.
func (e *engine) submit(requests []*request) error {
	return e.send(func() {
		for _, r := range requests {
			e.scheduler.add(r)
		}
	})
}

// abort drops requests whose client has gone.
func (e *engine) abort(requests []*request) {
	_ = e.send(func() { // a dead engine has dropped them already
		for _, r := range requests {
			if e.scheduler.remove(r) {
				e.model.Release(&r.sequence)
				e.metrics.finished(r, "abort", time.Now())
			}
		}
	})
}

// call runs f in the engine's goroutine, between two passes, and waits for it.
// It waits whatever becomes of the caller: a start whose client has gone still
// takes place.
func (e *engine) call(f func() error) error {
	done := make(chan error, 1)
	if err := e.send(func() { done <- f() }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-e.ended:
	}
	select { // it may have been the last thing done
	case err := <-done:
		return err
	default:
		return errEngineDead
	}
}

func (e *engine) send(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead {
		return errEngineDead
	}
	e.inbox = append(e.inbox, f)
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return nil
}

func (e *engine) alive() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.dead
}

// run runs passes until the context ends, which is no error, or the engine
// dies. A recording that is then active is lost, as with vLLM, which is why a
// profiler is to be stopped before its server.
func (e *engine) run(ctx context.Context) error {
	defer e.close()
	e.profiler.pause = func(d time.Duration) { pause(ctx, d) }
	for ctx.Err() == nil {
		e.receive()
		if e.profiler.died {
			return ErrDied
		}
		if !e.scheduler.ready() {
			e.idle(ctx)
			continue
		}
		if err := e.pass(ctx); err != nil {
			e.config.Logger.Error("engine died", "error", err)
			if e.config.Faults.Exit != nil {
				e.config.Faults.Exit(1)
			}
			return err
		}
	}
	return nil
}

// idle waits until there may be something to do.
func (e *engine) idle(ctx context.Context) {
	var due <-chan time.Time
	if d, ok := e.gate.Due(); ok {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-e.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// receive does what was sent since the last pass, and ends what is due.
func (e *engine) receive() {
	e.mu.Lock()
	inbox := e.inbox
	e.inbox = nil
	e.mu.Unlock()
	for _, f := range inbox {
		f()
	}
	e.gate.Check()
	e.measure()
}

func (e *engine) measure() {
	e.metrics.load(len(e.scheduler.running), len(e.scheduler.waiting), e.model.UsedBlocks())
}

// close fails what is left.
func (e *engine) close() {
	e.mu.Lock()
	e.dead = true
	e.inbox = nil
	e.mu.Unlock()
	for _, queue := range [][]*request{e.scheduler.running, e.scheduler.waiting} {
		for _, r := range queue {
			r.events <- event{index: r.index, err: errEngineDead}
		}
	}
	e.model.Close()
	e.gate.Close()
	close(e.ended)
}

// pass runs one pass: what vLLM's workers do in execute_model and, from 0.15
// on, sample_tokens.
func (e *engine) pass(ctx context.Context) error {
	began := time.Now()
	batch := e.scheduler.next()
	if err := e.die(); err != nil {
		return err
	}
	tokens, err := e.compute(ctx, batch, began)
	if err != nil {
		return err
	}
	e.gate.Sampled()
	if !e.automatic.countsBeforeSampling() {
		e.count()
	}
	e.deliver(batch, tokens)
	e.measure()
	return nil
}

// count tells the automatic logic that the call which counts has ended.
func (e *engine) count() {
	if !e.automatic.after() {
		return
	}
	if err := e.profiler.stop(); err != nil { // the fork swallows it
		e.config.Logger.Warn("failed to stop profiler", "error", err)
	}
}

// compute runs the model and samples.
func (e *engine) compute(ctx context.Context, batch []work, began time.Time) ([]int32, error) {
	rec, annotation := e.recorded(passOf(batch))
	frame := rec.Enter()
	logits, err := e.execute(ctx, batch, began, rec, annotation)
	if err != nil {
		return nil, err
	}
	if e.automatic.countsBeforeSampling() {
		e.count()
		if e.profiler.recorder != rec && e.gate.Recorder() != rec {
			rec, frame = nil, 0 // it has ended, and what was open with it
		}
	}
	defer rec.Leave(frame)
	if len(batch) == 0 {
		return nil, nil
	}
	return e.model.Argmax(logits, rec), nil
}

// recorded tells both profilers of a pass as it begins, and gives the one that
// records it, if any, with the annotation that the pass gets. The gate hears of
// it first: it wraps what the server's own is part of.
func (e *engine) recorded(p gate.Pass) (rec *kineto.Recorder, annotation string) {
	e.gate.Before(p)
	if e.automatic.before(p) {
		e.startAutomatically()
	}
	switch {
	case !e.config.Ray:
		rec = e.profiler.tick()
	case e.config.Dialect.generation() > 0:
		rec = e.profiler.recorder
	}
	if rec != nil && e.config.release() != V011 {
		annotation = p.Annotation()
	}
	if r := e.gate.Recorder(); r != nil {
		return r, p.Annotation()
	}
	return rec, annotation
}

// startAutomatically starts the profiler as the fork does: up to G4 by itself,
// past the wrapper that counts passes, from G5 on through it.
func (e *engine) startAutomatically() {
	var own session
	if e.config.Dialect.generation() < 5 {
		own.Delay, own.Max = new(int), new(int)
	}
	if err := e.profiler.start(own); err != nil { // the fork swallows it
		e.config.Logger.Warn("failed to start profiler", "error", err)
	}
}

// execute runs the model inside the pass's annotation. An idle pass has the
// annotation and nothing in it.
func (e *engine) execute(ctx context.Context, batch []work, began time.Time, rec *kineto.Recorder, annotation string) (model.Logits, error) {
	defer rec.Leave(rec.Enter())
	if annotation != "" {
		defer rec.End(rec.Annotate(annotation))
	}
	if len(batch) == 0 {
		return model.Logits{}, nil
	}
	items := make([]model.Item, len(batch))
	for i, w := range batch {
		items[i] = model.Item{Sequence: &w.sequence, Tokens: w.tokens, Sample: w.sample}
	}
	logits, err := e.model.Forward(items, rec)
	if err != nil {
		return model.Logits{}, fmt.Errorf("pass of %d requests: %w", len(batch), err)
	}
	pause(ctx, e.config.StepFloor-time.Since(began))
	return logits, nil
}

// die is the fault of dying at a pass.
func (e *engine) die() error {
	f := e.config.Faults
	if f.DieAtFirstStep || f.DieAfterStart && e.profiler.active {
		return ErrDied
	}
	return nil
}

// deliver sends the sampled tokens and ends the requests that are complete.
func (e *engine) deliver(batch []work, tokens []int32) {
	if len(batch) == 0 {
		return
	}
	now := time.Now()
	e.metrics.pass(batch, now)
	for _, w := range batch {
		if !w.sample {
			continue
		}
		r := w.request
		r.last, tokens = tokens[0], tokens[1:]
		r.generated++
		r.spoke = now
		finish := e.finish(r)
		r.events <- event{index: r.index, token: r.last, finish: finish}
		if finish != "" {
			e.scheduler.remove(r)
			e.model.Release(&r.sequence)
			e.metrics.finished(r, finish, now)
		}
	}
}

// finish says why a request is complete, or nothing.
func (e *engine) finish(r *request) string {
	switch {
	case r.last == model.EOS && !r.ignoreEOS && r.generated >= r.minTokens:
		return "stop"
	case r.generated >= r.maxTokens:
		return "length"
	}
	return ""
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
