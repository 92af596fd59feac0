package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxStartBody is the most bytes that a start's body may have.
const maxStartBody = 1 << 20

// startProfile is POST /start_profile.
func (s *Server) startProfile(w http.ResponseWriter, r *http.Request) {
	var own session
	if s.config.release() == V032 {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxStartBody))
		if err != nil {
			writeBodyError(w, err)
			return
		}
		parsed, wrong := parseStart(r.Header.Get("Content-Type"), body)
		if wrong != nil {
			writeJSON(w, wrong.status, wrong.answer)
			return
		}
		own = parsed
	}
	switch f := s.config.Faults; {
	case f.StartStatus != 0:
		writeError(w, &apiError{Message: "injected fault", Type: http.StatusText(f.StartStatus), Code: f.StartStatus})
		return
	case f.StartIgnored, s.config.automatic.mutes():
		w.WriteHeader(http.StatusOK)
		return
	}

	s.config.Logger.Info("starting profiler")
	if refused, err := s.start(own); refused != nil {
		writeError(w, refused)
		return
	} else if err != nil {
		s.internalError(w, err)
		return
	}
	if s.config.Faults.StartBlocks {
		s.awaitEnd(r.Context())
	}
	s.config.Logger.Info("profiler started")
	w.WriteHeader(http.StatusOK)
}

// awaitEnd waits for the end of the worker's recording.
func (s *Server) awaitEnd(ctx context.Context) {
	recording := true
	for recording && ctx.Err() == nil {
		err := s.engine.call(func() error {
			recording = s.engine.profiler.recorder != nil
			return nil
		})
		if err != nil {
			return // it has died
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// start starts the worker's profiler, then the frontend's.
func (s *Server) start(own session) (*apiError, error) {
	s.profiling.Lock()
	defer s.profiling.Unlock()
	if s.config.release() == V032 {
		if s.session {
			return &apiError{
				Message: "A profiling session is already active. Call /stop_profile before starting another session.",
				Type:    http.StatusText(http.StatusConflict), Code: http.StatusConflict,
			}, nil
		}
		if refused := checkStart(own); refused != nil {
			return refused, nil
		}
	}
	if err := s.engine.call(func() error { return s.engine.profiler.start(own) }); err != nil {
		return nil, err
	}
	if s.config.Faults.StartHalf {
		return nil, errors.New("failed to start the profiler of the frontend")
	}
	s.session = true
	s.frontend.start(own)
	return nil, nil
}

// stopProfile is POST /stop_profile. It answers once all files are complete.
func (s *Server) stopProfile(w http.ResponseWriter, _ *http.Request) {
	if s.config.Faults.StopDrop {
		cut(w)
		_ = s.stop() // nobody is there to be told
		return
	}
	if s.config.automatic.mutes() {
		w.WriteHeader(http.StatusOK)
		return
	}
	s.config.Logger.Info("stopping profiler")
	if err := s.stop(); err != nil {
		s.internalError(w, err)
		return
	}
	s.config.Logger.Info("profiler stopped")
	w.WriteHeader(http.StatusOK)
}

// stop stops both profilers at once, and waits for both whatever either says.
func (s *Server) stop() error {
	s.profiling.Lock()
	defer s.profiling.Unlock()
	var fromFrontend error
	var running sync.WaitGroup
	running.Go(func() { fromFrontend = s.frontend.stop() })
	fromWorker := s.engine.call(s.engine.profiler.stop)
	running.Wait()
	if err := errors.Join(fromWorker, fromFrontend); err != nil {
		return err
	}
	s.session = false
	return nil
}

// cut ends a request's connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection cannot be cut alone; the answer will be empty
	}
	_ = conn.Close()
}

func writeBodyError(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		writeError(w, &apiError{
			Message: "request body: " + large.Error(),
			Type:    http.StatusText(http.StatusRequestEntityTooLarge), Code: http.StatusRequestEntityTooLarge,
		})
		return
	}
	writeError(w, badRequest("", "request body: "+err.Error()))
}
