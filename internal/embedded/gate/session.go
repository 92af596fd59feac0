package gate

import (
	"fmt"
	"time"

	"profjob/internal/embedded/kineto"
)

// The states of a session.
const (
	armed     = "armed"
	recording = "recording"
	writing   = "writing"
	done      = "done"
	failed    = "failed"
	disarmed  = "disarmed"
)

// abort is the reason of an arming that is taken back: no file, and nothing is
// remembered of the session.
const abort = "abort"

// session is one window, from its arming to its end. All of it is guarded by
// the gate's lock.
type session struct {
	request   *request
	gate      *Gate
	condition condition

	begin      int64 // the pass from which on steps count
	leaseUntil time.Time
	state      string
	endedBy    string
	error      string
	counted    int64 // steps seen while armed
	discarded  int
	steps      []step
	files      []file
	stopAsked  string // a reason, left to the next pass
	recorder   *kineto.Recorder
	name       string // of its file
	began      time.Time
	pending    bool // the last step has still to sample
	cost       cost
}

// step is one recorded engine step.
type step struct {
	Pass               int64  `json:"pass"`
	Class              string `json:"class"`
	Requests           int    `json:"requests"`
	Tokens             int    `json:"tokens"`
	ContextRequests    int    `json:"context_requests"`
	ContextTokens      int    `json:"context_tokens"`
	GenerationRequests int    `json:"generation_requests"`
	GenerationTokens   int    `json:"generation_tokens"`
	Start              int64  `json:"start_ns"`
	End                int64  `json:"end_ns"`
	Sampled            bool   `json:"sampled"`
}

// cost is the time that the gate took, in seconds.
type cost struct {
	Start float64 `json:"start_s,omitempty"`
	Stop  float64 `json:"stop_s,omitempty"`
	Write float64 `json:"write_s,omitempty"`
}

func newSession(g *Gate, r *request, begin int64, now time.Time) *session {
	return &session{
		request: r, gate: g, condition: condition{window: r.window}, begin: begin,
		leaseUntil: now.Add(duration(r.lease)), state: armed,
	}
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func (s *session) on() bool { return s.state == armed || s.state == recording }

func (s *session) ended() bool { return s.state == done || s.state == failed || s.state == disarmed }

// before is told of a pass as it begins.
func (s *session) before(index int64, p Pass) {
	now := s.gate.config.Now()
	if s.state == recording {
		s.beforeNext(now, p)
	}
	if s.state == armed && !s.opens(index, p, now) {
		return
	}
	if s.state != recording || p.Tokens() == 0 {
		return
	}
	s.steps = append(s.steps, step{
		Pass: index, Class: p.class(), Requests: p.Requests(), Tokens: p.Tokens(),
		ContextRequests: p.ContextRequests, ContextTokens: p.ContextTokens,
		GenerationRequests: p.GenerationRequests, GenerationTokens: p.GenerationTokens,
		Start: s.gate.config.Now().UnixNano(),
	})
	s.pending = true
}

// opens starts the recording if the window opens with this pass, and says so.
func (s *session) opens(index int64, p Pass, now time.Time) bool {
	if s.stopAsked != "" || !now.Before(s.leaseUntil) {
		reason := s.stopAsked
		if reason == "" {
			reason = "lease"
		}
		s.state, s.endedBy = disarmed, reason
		return false
	}
	if index < s.begin || p.Tokens() == 0 {
		return false
	}
	s.counted++
	if !s.condition.opens(p) {
		return false
	}
	s.start(now)
	return true
}

// beforeNext ends the recording before this pass if it is over, and throws it
// away if the pass does not fit.
func (s *session) beforeNext(now time.Time, p Pass) {
	if s.pending { // its sampling never came
		s.finishStep(now, false)
	}
	reason := s.stopAsked
	if reason == "" {
		reason = s.due(now)
	}
	if reason == "" && s.recorder.Size() > s.request.limits.bytes {
		reason = "max_bytes"
	}
	steps := s.request.window.steps
	switch {
	case reason == abort:
		s.forget()
	case reason != "":
		s.stop(reason, now)
	case steps != nil && int64(len(s.steps)) >= *steps:
		s.stop("steps", now)
	case int64(len(s.steps)) >= s.request.limits.steps:
		s.stop("max_steps", now)
	case s.condition.all && p.Tokens() > 0 && !s.condition.fits(p):
		s.discard()
	}
}

// sampled is told that the sampling of a pass has ended.
func (s *session) sampled() {
	if s.state != recording || !s.pending {
		return
	}
	now := s.gate.config.Now()
	s.finishStep(now, true)
	if steps := s.request.window.steps; steps != nil && int64(len(s.steps)) >= *steps {
		s.stop("steps", now)
	}
}

func (s *session) finishStep(now time.Time, sampled bool) {
	s.pending = false
	last := &s.steps[len(s.steps)-1]
	last.End, last.Sampled = now.UnixNano(), sampled
}

func (s *session) start(now time.Time) {
	if s.gate.config.OthersRecord() {
		s.fail("RuntimeError: another profiler is recording in this worker")
		return
	}
	s.name = s.fileName(now)
	s.recorder = kineto.NewRecorder(s.request.record)
	s.began, s.state = now, recording
	s.cost.Start = s.gate.config.Now().Sub(now).Seconds()
}

// fileName holds the time of the start.
func (s *session) fileName(now time.Time) string {
	prefix := s.request.prefix
	if prefix != "" {
		prefix += "_"
	}
	return fmt.Sprintf("%s%s_dp0_pp0_tp0_rank0.%d.pt.trace.json.gz", prefix, s.request.session, now.UnixNano())
}

func (s *session) discard() {
	s.recorder = nil
	s.steps, s.pending = nil, false
	s.discarded++
	s.state = armed
}

// forget throws the recording away, and the session with it.
func (s *session) forget() {
	s.discard()
	s.state, s.endedBy = disarmed, abort
}

// stop ends the recording and leaves the writing to a goroutine.
func (s *session) stop(reason string, now time.Time) {
	if s.pending {
		s.finishStep(now, false)
	}
	trace := s.recorder.Finish()
	s.recorder = nil
	s.state, s.endedBy = writing, reason
	s.cost.Stop = s.gate.config.Now().Sub(now).Seconds()
	s.gate.write(s, trace)
}

// fail ends the session; what was recorded is lost.
func (s *session) fail(why string) {
	s.recorder = nil
	s.state, s.endedBy, s.error = failed, "error", why
	s.gate.config.Logger.Warn("session of the gate failed", "session", s.request.session, "error", why)
}

// due says why a recording has to end now, or nothing.
func (s *session) due(now time.Time) string {
	elapsed := now.Sub(s.began)
	switch d := s.request.window.duration; {
	case !now.Before(s.leaseUntil):
		return "lease"
	case d != nil && elapsed >= duration(*d):
		return "duration"
	case elapsed >= duration(s.request.limits.seconds):
		return "max_seconds"
	}
	return ""
}

// deadline is when something may have to end.
func (s *session) deadline() time.Time {
	at := s.leaseUntil
	if s.state != recording {
		return at
	}
	for _, seconds := range []*float64{s.request.window.duration, &s.request.limits.seconds} {
		if seconds == nil {
			continue
		}
		if limit := s.began.Add(duration(*seconds)); limit.Before(at) {
			at = limit
		}
	}
	return at
}

// check ends between two passes what is due.
func (s *session) check(now time.Time) {
	switch {
	case s.state == armed && !now.Before(s.leaseUntil):
		s.end("lease", now)
	case s.state == recording:
		if reason := s.due(now); reason != "" {
			s.end(reason, now)
		}
	}
}

// end ends the session between two passes: at once, or, where passes have a
// thread of their own, at the next one.
func (s *session) end(reason string, now time.Time) {
	switch {
	case s.state == armed:
		s.state, s.endedBy = disarmed, reason
	case s.state == recording && s.gate.config.Ray:
		s.stopAsked = reason
	case s.state == recording && reason == abort:
		s.forget()
	case s.state == recording:
		s.stop(reason, now)
	}
}

// renew gives a session that is on a lease from now on, of its own length unless
// told another.
func (s *session) renew(now time.Time, lease *float64) {
	if !s.on() {
		return
	}
	if lease != nil {
		s.request.lease = *lease
	}
	s.leaseUntil = now.Add(duration(s.request.lease))
}
