package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/regular"
	"profjob/steps"
)

// journalName is the file of a run's events.
const journalName = "journal.jsonl"

// maxEvent bounds a line of a journal, in bytes.
const maxEvent = 256 << 20

// history is what the journal of a run that was cut off tells.
type history struct {
	started  event.RunStarted
	began    time.Time
	last     int64 // number of the last event
	size     int64 // of the lines that are whole
	results  []placedResult
	noted    map[event.Place]steps.WindowResult
	finished map[event.Place]bool // plan steps that came to an end
	begun    []event.Place        // plan steps, in order
	failed   []event.AttemptFailed
	warnings []event.Warning
	errors   []string // of plan steps outside the rounds
}

type placedResult struct {
	place event.Place
	value any
}

// readHistory reads a journal. A last line that is not whole is left out: the run
// was killed while it was written.
func readHistory(path string) (*history, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it is only read
	h := &history{noted: map[event.Place]steps.WindowResult{}, finished: map[event.Place]bool{}}
	lines := bufio.NewReaderSize(f, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(lines, maxEvent)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = h.take(bytes.TrimSpace(line))
		}
		if err != nil {
			return nil, fmt.Errorf("journal, line %d: %w", number, err)
		}
		h.size += int64(len(line))
	}
	if h.last == 0 {
		return nil, errors.New("its journal is empty: nothing was begun, and nothing can be had; the directory may be removed")
	}
	return h, nil
}

// readLine reads a line with its end. Of one that is longer than most no more is read.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, fmt.Errorf("it has more than %d bytes, the limit", most)
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// take reads one event.
func (h *history) take(line []byte) error {
	var e struct {
		Seq   int64           `json:"seq"`
		Time  time.Time       `json:"time"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	h.last = e.Seq
	switch e.Event {
	case event.RunStarted{}.Kind():
		h.began = e.Time
		return json.Unmarshal(e.Data, &h.started)
	case event.StepStarted{}.Kind():
		return with(e.Data, func(ev event.StepStarted) error { h.begun = append(h.begun, ev.Place); return nil })
	case event.StepFinished{}.Kind():
		return with(e.Data, func(ev event.StepFinished) error { return h.result(ev.Place, ev.StepKind, ev.Result) })
	case event.StepFailed{}.Kind():
		return with(e.Data, func(ev event.StepFailed) error {
			if ev.Round == 0 {
				h.errors = append(h.errors, ev.Error)
			}
			return h.result(ev.Place, ev.StepKind, ev.Result)
		})
	case event.StepNoted{}.Kind():
		return with(e.Data, func(ev event.StepNoted) error {
			if ev.StepKind != (&steps.Window{}).Kind() {
				return h.note(ev.Place, ev.StepKind, ev.Result)
			}
			return with(ev.Result, func(noted steps.WindowResult) error { h.noted[ev.Place] = noted; return nil })
		})
	case event.AttemptFailed{}.Kind():
		return with(e.Data, func(ev event.AttemptFailed) error { h.failed = append(h.failed, ev); return nil })
	case event.Warning{}.Kind():
		return with(e.Data, func(ev event.Warning) error { h.warnings = append(h.warnings, ev); return nil })
	}
	return nil
}

// with hands on what JSON holds.
func with[T any](raw json.RawMessage, take func(T) error) error {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	return take(v)
}

// note keeps what a plan step had before it came to its end: whoever carries it out
// again finds it as an earlier result.
func (h *history) note(place event.Place, kind string, raw json.RawMessage) error {
	value, err := steps.DecodeResult(kind, raw)
	if err != nil {
		return err
	}
	h.results = append(h.results, placedResult{place, value})
	return nil
}

func (h *history) result(place event.Place, kind string, raw json.RawMessage) error {
	h.finished[place] = true
	if len(raw) == 0 || string(raw) == "null" || kind == "lock" {
		return nil
	}
	if kind == "seal" || kind == "store" {
		return nil // whatever is said here: the run's directory is that of one that was not sealed
	}
	value, err := steps.DecodeResult(kind, raw)
	if err != nil {
		return err
	}
	h.results = append(h.results, placedResult{place, value})
	return nil
}

// cutOff counts, by their ids, how often plan steps outside the rounds had begun and
// not come to an end.
func (h *history) cutOff() map[string]int {
	counts := map[string]int{}
	for _, p := range h.begun {
		if p.Round == 0 && !h.finished[p] {
			counts[p.Step]++
		}
	}
	return counts
}

// into puts what the run had so far into a runner.
func (h *history) into(r *runner) {
	for _, result := range h.results {
		r.run.State.Put(result.place, result.value)
	}
	r.errors = append(r.errors, h.errors...)
	r.cutOff = h.cutOff()
	for _, w := range h.warnings {
		r.run.Recall(w.Text)
	}
	for _, a := range h.failed {
		r.run.Outcome.Attempts = append(r.run.Outcome.Attempts, steps.Attempt{Round: a.Round, Number: a.Attempt, Error: a.Error})
	}
}

// left is what a run had not done when it was cut off.
type left struct {
	complete       bool // but for the last plan steps
	round, attempt int  // the attempt that was cut off; 0: none had begun
	at             event.Place
	rounds         int // of the plan
}

// left works out where the run was cut off.
func (h *history) left(plan *Plan) left {
	l := left{rounds: plan.Rounds}
	if len(h.begun) > 0 {
		l.at = h.begun[len(h.begun)-1]
	}
	for _, p := range h.begun {
		if p.Round > 0 {
			l.round, l.attempt = p.Round, p.Attempt
		}
	}
	done := 0 // rounds that got their window
	for round := 1; round <= plan.Rounds; round++ {
		if h.roundDone(plan, round) {
			done++
		}
	}
	final := len(h.failed) > 0 && h.failed[len(h.failed)-1].Final
	l.complete = done == plan.Rounds
	if l.complete || final || h.roundDone(plan, l.round) {
		l.round, l.attempt = 0, 0
	}
	for _, f := range h.failed {
		if f.Round == l.round && f.Attempt == l.attempt {
			l.round, l.attempt = 0, 0
		}
	}
	return l
}

// roundDone tells whether every plan step of a round came to an end in an attempt
// that did not fail.
func (h *history) roundDone(plan *Plan, round int) bool {
	attempt := 0
	for _, p := range h.begun {
		if p.Round == round {
			attempt = max(attempt, p.Attempt)
		}
	}
	if round == 0 || attempt == 0 {
		return false
	}
	for _, f := range h.failed {
		if f.Round == round && f.Attempt == attempt {
			return false
		}
	}
	for _, p := range plan.Steps {
		if p.Round == round && !h.finished[event.Place{Step: p.Step.ID(), Round: round, Attempt: attempt}] {
			return false
		}
	}
	return true
}

// failure says where the run was cut off.
func (l left) failure() error {
	where := "before it had begun anything"
	if l.at.Step != "" {
		where = "in " + l.at.Step
		if l.at.Attempt > 1 {
			where += fmt.Sprintf(", attempt %d", l.at.Attempt)
		}
	}
	text := "the run was cut off " + where
	if begun := max(l.at.Round, l.round); begun < l.rounds {
		text += fmt.Sprintf("; of %d rounds, those from %d on were not recorded", l.rounds, begun+1)
	}
	return &steps.Failure{Status: archive.StatusInterrupted, Exit: steps.ExitInterrupted, Final: true, Err: errors.New(text)}
}

// keepers are the plan steps of the attempt that keep what it recorded, and that
// had not come to an end.
func (l left) keepers(plan *Plan) []Planned {
	var all []Planned
	for _, p := range plan.Steps {
		if _, ok := p.Step.(steps.Keeper); ok && p.Round == l.round {
			all = append(all, p)
		}
	}
	return all
}

// window is the attempt's window where it was cut off, as it was noted last; nil
// where it came to an end, or never began.
func (l left) window(plan *Plan, h *history) (*steps.Window, steps.WindowResult) {
	for _, p := range plan.Steps {
		w, ok := p.Step.(*steps.Window)
		if !ok || p.Round != l.round {
			continue
		}
		place := event.Place{Step: w.ID(), Round: l.round, Attempt: l.attempt}
		noted, ok := h.noted[place]
		if _, has := h.resultAt(place); ok && !has {
			return w, noted
		}
	}
	return nil, steps.WindowResult{}
}

func (h *history) resultAt(place event.Place) (any, bool) {
	for _, r := range h.results {
		if r.place == place {
			return r.value, true
		}
	}
	return nil, false
}
