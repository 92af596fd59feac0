package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	return &engine{
		config: c,
		model:  transformer,
		scheduler: scheduler{
			maxSeqs: c.MaxNumSeqs, maxTokens: c.MaxNumBatchedTokens, freeBlocks: size.Blocks,
		},
		profiler: newProfiler(c, p),
		metrics:  m,
		wake:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}, nil
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
		if !e.scheduler.ready() {
			select {
			case <-e.wake:
			case <-ctx.Done():
			}
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

// receive does what was sent since the last pass.
func (e *engine) receive() {
	e.mu.Lock()
	inbox := e.inbox
	e.inbox = nil
	e.mu.Unlock()
	for _, f := range inbox {
		f()
	}
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
	rec := e.profiler.tick()
	defer rec.Leave(rec.Enter())

	logits, err := e.execute(ctx, batch, began)
	if err != nil || len(batch) == 0 {
		e.measure()
		return err
	}
	e.deliver(batch, e.model.Argmax(logits, rec))
	e.measure()
	return nil
}

// execute runs the model inside the pass's annotation. An idle pass has the
// annotation and nothing in it.
func (e *engine) execute(ctx context.Context, batch []work, began time.Time) (model.Logits, error) {
	rec := e.profiler.recorder
	defer rec.Leave(rec.Enter())
	if rec != nil && e.config.Dialect.annotated() {
		defer rec.End(rec.Annotate(annotation(batch)))
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
