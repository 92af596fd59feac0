package embedded

import (
	"sync"

	"profjob/internal/embedded/kineto"
)

// frontend is the profiler of the API server's own process: it records from a
// start to a stop, whatever the passes do. With torch 2.8 to 2.13 on CPU such a
// trace holds hardly an operator, and this one holds none.
type frontend struct {
	config Config
	files  *traceFiles

	mu       sync.Mutex
	prefix   string
	recorder *kineto.Recorder
}

func newFrontend(c Config, p process) *frontend {
	return &frontend{config: c, files: newTraceFiles(c, p)}
}

func (f *frontend) start(s session) {
	if f.config.IgnoreFrontend {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recorder != nil {
		return
	}
	f.prefix = ""
	if s.Prefix != nil {
		f.prefix = *s.Prefix
	}
	f.recorder = kineto.NewRecorder(f.config.Record)
}

// stop writes the frontend's file. Without a start it is an error before 0.32:
// it is this that makes /stop_profile answer 500 there.
func (f *frontend) stop() error {
	if f.config.IgnoreFrontend {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recorder == nil {
		if f.config.release() == V032 {
			return nil
		}
		return errNotRecording
	}
	trace := f.recorder.Finish()
	f.recorder = nil
	err := f.files.writeFrontend(trace, f.prefix)
	if err != nil && f.config.release() == V032 {
		f.config.Logger.Warn("failed to stop frontend profiler", "error", err)
		return nil
	}
	return err
}
