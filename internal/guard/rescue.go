package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/gate"
)

const (
	// stopTries is how often a stop is sent that is not answered.
	stopTries = 5
	// stopAgain is the pause between two of them.
	stopAgain = time.Second
	// lateStart is how long a start that was on its way when the run died may take
	// to arrive: a second stop is sent after that.
	lateStart = 3 * time.Second
	endGrace  = 20 * time.Second
)

// rescue ends what the run has left behind: first every stop is sent, then, once
// they were answered, the servers are ended.
func (s *server) rescue(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	holds, _ := s.owed()
	s.say("the run is gone; profilers that may be on: %d", len(holds))
	var stopping sync.WaitGroup
	for _, h := range holds {
		stopping.Go(func() { s.stop(ctx, h) })
	}
	stopping.Wait()
	_, targets := s.owed()
	var ending sync.WaitGroup
	for _, t := range targets {
		ending.Go(func() {
			if err := s.end(ctx, t, endGrace); err != nil {
				s.say("end %s: %v", t, err)
				return
			}
			s.say("ended %s", t)
		})
	}
	ending.Wait()
	s.say("done")
}

// stop ends one recording, or one session of a gate.
func (s *server) stop(ctx context.Context, h hold) {
	what := ofProfiler + h.Endpoint
	if h.Session != "" {
		what = ofGate + h.Endpoint
	}
	for try := 1; ; try++ {
		s.say("%s%s", what, wordSent)
		began := time.Now()
		err := h.stop(ctx)
		took := time.Since(began).Round(time.Millisecond)
		switch {
		case err == nil:
			s.say("%s%s%s", what, wordDone, took)
		case settled(err) && (!engine.Gone(err) || try >= stopTries || s.ended(h.Target)):
			s.say("%s%s%s: %v", what, wordAnswered, took, err)
		case try < stopTries:
			s.say("%s: try %d of %d failed after %s: %v", what, try, stopTries, took, err)
			time.Sleep(stopAgain)
			continue
		default:
			s.say("%s%s after %d tries; it may still be on: %v", what, wordGivenUp, try, err)
			return
		}
		if h.begun || engine.Gone(err) {
			return
		}
		h.begun = true // the start may have been on its way
		time.Sleep(lateStart)
	}
}

// stop sends what ends the recording and waits for its answer.
func (h Hold) stop(ctx context.Context) error {
	if h.Session != "" {
		c, err := gate.NewFor(h.Endpoint, h.Secret, h.Access)
		if err != nil {
			return err
		}
		_, err = c.Finish(ctx, h.Session)
		return err
	}
	kind, ok := kinds.Find(h.Engine)
	if !ok {
		return fmt.Errorf("there is no engine %q", h.Engine)
	}
	c, err := kind.New(engine.Config{Endpoint: h.Endpoint, Access: h.Access, Now: time.Now})
	if err != nil {
		return err
	}
	err = c.Stop(ctx)
	if (err == nil || engine.StopAnswered(err)) && engine.Active(ctx, c) {
		return fmt.Errorf("its profiling session is still active: %v", err) // the answer settles nothing
	}
	return err
}

// ended tells of a launched server whether its process has ended. What refuses
// connections elsewhere need not be the server itself, and is asked again.
func (s *server) ended(target string) bool {
	s.mu.Lock()
	p, launched := s.processes[target]
	s.mu.Unlock()
	if !launched {
		return false
	}
	select {
	case <-p.Exited():
		return true
	default:
		return false
	}
}

// settled tells of a stop's error whether there is nothing more to stop.
func settled(err error) bool {
	return engine.NotRecording(err) || engine.StopAnswered(err) || engine.Gone(err) || errors.Is(err, gate.ErrSession)
}
