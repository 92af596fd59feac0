// Package event has everything that can happen in a run, as one stream of typed
// events. The journal and the views are readers of that stream; nothing else
// tells anybody what happens.
package event

import (
	"encoding/json"
	"time"

	"profjob/internal/wire"
)

// Event is one thing that happened. Its kind names it in JSON.
type Event interface{ Kind() string }

// Place says where in the plan something happened. Round and Attempt start at 1
// and are 0 outside the rounds.
type Place struct {
	Step    string `json:"step"`
	Round   int    `json:"round,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
}

// RunStarted is the first event of a run.
type RunStarted struct {
	RunID      string `json:"run_id"`
	Job        string `json:"job"`
	Dir        string `json:"dir"` // where the run will be once it is sealed
	PlanDigest string `json:"plan_digest"`
	Version    string `json:"profjob_version"`
	Rounds     int    `json:"rounds"`
	JobFile    string `json:"job_file,omitempty"` // absolute
	JobDir     string `json:"job_dir,omitempty"`  // absolute; relative paths of the plan start here
	Host       string `json:"host,omitempty"`
}

// StepStarted comes before a plan step's first try.
type StepStarted struct {
	Place
	StepKind string `json:"kind"` // of the plan step
}

// UndoRegistered comes before the plan step begins: from here on its cleanup is owed.
type UndoRegistered struct{ Place }

// StepRetrying comes when a transient error ended a try.
type StepRetrying struct {
	Place
	Try   int           `json:"try"` // the try that failed, from 1
	Of    int           `json:"of"`
	Wait  wire.Duration `json:"wait"`
	Error string        `json:"error"`
}

// StepFinished carries the plan step's result.
type StepFinished struct {
	Place
	StepKind string          `json:"kind"` // of the plan step: tells how to read the result
	Took     wire.Duration   `json:"took"`
	Result   json.RawMessage `json:"result"`
	Summary  string          `json:"summary,omitempty"` // of the result, for people
}

// StepNoted carries what a plan step has so far, for whoever finishes the run
// should it not come to its end.
type StepNoted struct {
	Place
	StepKind string          `json:"kind"`
	Result   json.RawMessage `json:"result"`
}

// StepFailed comes when no further try will be made.
type StepFailed struct {
	Place
	StepKind string          `json:"kind"`
	Took     wire.Duration   `json:"took"`
	Error    string          `json:"error"`
	Result   json.RawMessage `json:"result,omitempty"` // what could be had all the same
}

// Undone comes when a plan step's cleanup has been carried out.
type Undone struct {
	Place
	Error string `json:"error,omitempty"`
}

// Intent comes before something begins that must not be left behind.
type Intent struct {
	Place
	Action   string `json:"action"` // launch, start, stop, arm, disarm
	Target   string `json:"target"`
	Endpoint string `json:"endpoint,omitempty"`
	Session  string `json:"session,omitempty"` // of the gate that is armed or disarmed
}

// Outcome says how an Intent ended.
type Outcome struct {
	Place
	Action   string        `json:"action"`
	Target   string        `json:"target"`
	Endpoint string        `json:"endpoint,omitempty"`
	Took     wire.Duration `json:"took"`
	Error    string        `json:"error,omitempty"`
}

// AttemptFailed comes when a round's attempt did not get its window.
type AttemptFailed struct {
	Round   int    `json:"round"`
	Attempt int    `json:"attempt"`
	Of      int    `json:"of"`
	Final   bool   `json:"final"` // no other attempt follows
	Error   string `json:"error"`
}

// Warning is something that the user should know and that does not end the run.
type Warning struct {
	Place
	Text string `json:"text"`
}

// Progress is how far a plan step is. It may be lost, and it is not journaled.
type Progress struct {
	Place
	Text  string `json:"text"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"` // 0: unknown
	Unit  string `json:"unit,omitempty"`
}

// Interrupted comes with each interrupt that was not meant for a window.
type Interrupted struct {
	Count int `json:"count"`
}

// RunResumed comes when a run that was cut off is finished.
type RunResumed struct {
	RunID   string `json:"run_id"`
	Job     string `json:"job"`
	Version string `json:"profjob_version"`
}

// RunFinished is the last event of a run.
type RunFinished struct {
	RunID  string        `json:"run_id"`
	Job    string        `json:"job"`
	Status string        `json:"status"`
	Exit   int           `json:"exit"`
	Dir    string        `json:"dir"` // the sealed directory or archive file
	Took   wire.Duration `json:"took"`
	Errors []string      `json:"errors,omitempty"`
}

// The kinds, as they stand in JSON.
func (RunStarted) Kind() string     { return "run_started" }
func (RunResumed) Kind() string     { return "run_resumed" }
func (StepStarted) Kind() string    { return "step_started" }
func (UndoRegistered) Kind() string { return "undo_registered" }
func (StepRetrying) Kind() string   { return "step_retrying" }
func (StepFinished) Kind() string   { return "step_finished" }
func (StepNoted) Kind() string      { return "step_noted" }
func (StepFailed) Kind() string     { return "step_failed" }
func (Undone) Kind() string         { return "undone" }
func (Intent) Kind() string         { return "intent" }
func (Outcome) Kind() string        { return "outcome" }
func (AttemptFailed) Kind() string  { return "attempt_failed" }
func (Warning) Kind() string        { return "warning" }
func (Progress) Kind() string       { return "progress" }
func (Interrupted) Kind() string    { return "interrupted" }
func (RunFinished) Kind() string    { return "run_finished" }

// Entry is an event with its place in the stream.
type Entry struct {
	Seq   int64     // from 1, without gaps
	Time  time.Time // UTC
	Event Event
}

// MarshalJSON writes one flat form for journal and views:
// {"seq":1,"time":"…","event":"run_started","data":{…}}.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Seq   int64     `json:"seq"`
		Time  time.Time `json:"time"`
		Event string    `json:"event"`
		Data  Event     `json:"data"`
	}{e.Seq, e.Time, e.Event.Kind(), e.Event})
}
