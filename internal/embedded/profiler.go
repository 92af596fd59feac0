package embedded

import (
	"errors"
	"fmt"
	"time"

	"profjob/internal/embedded/kineto"
)

// errNotRecording is torch's RuntimeError on a stop without a start.
//
//lint:ignore ST1005 clients see it as torch writes it
var errNotRecording = errors.New("Can't disable Kineto profiler when it's not running")

// errOthersRecord is torch's RuntimeError on a start beside another profiler's.
//
//lint:ignore ST1005 clients see it as torch writes it
var errOthersRecord = errors.New("Profiler is already enabled on this thread")

// profiler is the worker's side of profiling, with each release's rules of when
// it records. It belongs to the engine's goroutine.
//
// 0.11.0 hands start and stop to torch directly. 0.15.1 and 0.32.0 keep two
// states: active, from a start to a stop, and recording, which the count of
// passes may begin later and end earlier (vllm/profiler/wrapper.py,
// WorkerProfiler). In 0.15.1 a recording that ends by its bound leaves the
// profiler active, and an active one ignores starts.
type profiler struct {
	config Config
	files  *traceFiles
	pause  func(time.Duration) // freezes the engine
	// othersRecord tells whether another profiler records: torch has but one at
	// a time.
	othersRecord func() bool

	active     bool
	delay, max int
	ticks      int // passes since the start
	recorded   int // passes of the recording, the present one included
	prefix     string
	recorder   *kineto.Recorder // nil unless recording
	died       bool             // a fault has ended the server
}

// session are a start's own settings; nil ones are the launch's.
type session struct {
	Prefix *string
	Delay  *int
	Max    *int
}

func newProfiler(c Config, p process) *profiler {
	return &profiler{
		config: c, files: newTraceFiles(c, p),
		pause: func(time.Duration) {}, othersRecord: func() bool { return false },
	}
}

// failsLoudly says that a worker hands on what goes wrong in its profiler: the
// wrapper of newer releases only logs it, and torch_npu's, which the fork has,
// swallows it.
func (c Config) failsLoudly() bool { return c.release() == V011 && c.Dialect.generation() == 0 }

// start is /start_profile. A profiler that is active ignores it. Where another
// one records, 0.11 fails; newer releases log that, and count as active.
func (p *profiler) start(s session) error {
	if p.config.Faults.DieAtStart {
		return p.die()
	}
	if p.active {
		return nil
	}
	if p.config.failsLoudly() && p.othersRecord() {
		return errOthersRecord
	}
	p.active = true
	p.prefix, p.delay, p.max = "", p.config.DelayIterations, p.config.MaxIterations
	if s.Prefix != nil {
		p.prefix = *s.Prefix
	}
	if s.Delay != nil {
		p.delay = *s.Delay
	}
	if s.Max != nil {
		p.max = *s.Max
	}
	if p.delay == 0 {
		p.record()
	}
	return nil
}

func (p *profiler) record() {
	if p.othersRecord() {
		p.config.Logger.Warn("failed to start profiler", "error", errOthersRecord)
		return
	}
	p.recorder = kineto.NewRecorder(p.config.Record)
}

// die ends the server. Where its process does not end with it, the engine does
// once it looks.
func (p *profiler) die() error {
	p.died = true
	if p.config.Faults.Exit != nil {
		p.config.Faults.Exit(1)
	}
	return ErrDied
}

// tick is called at the start of every pass, idle ones too, and gives the
// recorder for it: nil means that nothing records. The bound ends a recording
// here, at the start of the pass after the last, so its passes are whole.
func (p *profiler) tick() *kineto.Recorder {
	if !p.active {
		return nil
	}
	p.ticks++
	if p.recorder == nil && p.delay > 0 && p.ticks == p.delay {
		p.record()
	}
	if p.recorder != nil {
		p.recorded++
	}
	if p.max > 0 && p.recorder != nil && p.recorded > p.max {
		p.end()
	}
	return p.recorder
}

// end is what the bound does.
func (p *profiler) end() {
	if p.config.release() == V032 {
		_ = p.stop() // in this dialect a stop always succeeds
		return
	}
	p.write()
}

// stop is /stop_profile: it returns once the files are complete.
func (p *profiler) stop() error {
	if p.config.failsLoudly() && p.recorder == nil {
		return errNotRecording
	}
	if !p.active {
		return nil
	}
	p.active = false
	p.ticks, p.recorded = 0, 0
	if p.recorder == nil {
		return nil
	}
	p.pause(p.config.Faults.StopDelay)
	err := p.write()
	if !p.config.failsLoudly() {
		return nil
	}
	return err
}

// write ends the recording and writes its files.
func (p *profiler) write() error {
	trace := p.recorder.Finish()
	p.recorder = nil
	if p.config.Faults.NoTraceFile {
		return nil
	}
	err := p.files.writeWorker(trace, p.prefix)
	if errors.Is(err, ErrDied) {
		return p.die()
	}
	if err != nil {
		err = fmt.Errorf("stop profiler: %w", err)
		p.config.Logger.Warn("failed to stop profiler", "error", err)
		return err
	}
	return nil
}
