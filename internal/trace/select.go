package trace

import "fmt"

// Window is what is asked for: Count consecutive engine steps, the first of
// them after Delay others. Idle passes between them are not counted.
type Window struct {
	Delay int // engine steps to leave out at the start of the trace, 0 or more
	Count int // 1 or more
	// First, if set, must hold for the first step of the window: the earliest
	// step after the delay for which it holds begins the window.
	First func(*Pass) bool
	// Every, if set, must hold for all steps of the window.
	Every func(*Pass) bool
}

// Cut is a part of a trace: the passes from First to Last and whatever was
// recorded from Start until before End.
type Cut struct {
	First int   `json:"first"` // index into the passes
	Last  int   `json:"last"`  // index into the passes, included
	Steps int   `json:"steps"` // engine steps in it
	Start int64 `json:"start_ns"`
	End   int64 `json:"end_ns"`
	Whole bool  `json:"whole"` // every step has its sampling
}

// NotFoundError says why a trace does not hold the window.
type NotFoundError struct {
	Asked int // steps
	Got   int // steps that the best place in the trace has
	// Steps and Whole are the engine steps of the trace, and how many of them
	// are whole.
	Steps, Whole int
	Reason       string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("select %d engine steps: %s (the trace has %d, %d of them whole)", e.Asked, e.Reason, e.Steps, e.Whole)
}

// Select finds the window in the passes of a trace: the earliest place where
// all of its steps are whole. The error is a [*NotFoundError]. It is a pure
// function.
func Select(passes []Pass, w Window) (Cut, error) {
	steps, whole := stepsOf(passes)
	missed := &NotFoundError{Asked: w.Count, Steps: len(steps), Whole: whole}
	switch {
	case w.Count < 1 || w.Delay < 0:
		missed.Reason = "a window has at least one step and no negative delay"
		return Cut{}, missed
	case len(steps) == 0:
		missed.Reason = "no engine step was recorded"
		return Cut{}, missed
	case len(steps) <= w.Delay:
		missed.Reason = fmt.Sprintf("all are within the delay of %d", w.Delay)
		return Cut{}, missed
	}
	begun := false
	for i := w.Delay; i < len(steps); i++ {
		if w.First != nil && !w.First(&passes[steps[i]]) {
			continue
		}
		begun = true
		got := fitting(passes, steps[i:], w)
		if got == w.Count {
			return cutOf(passes, steps[i], steps[i+got-1]), nil
		}
		missed.Got = max(missed.Got, got)
	}
	missed.Reason = reasonFor(w, begun, missed.Got, len(steps), whole)
	return Cut{}, missed
}

// stepsOf gives the indexes of the engine steps, and how many are whole.
func stepsOf(passes []Pass) (steps []int, whole int) {
	for i := range passes {
		if passes[i].IsStep() {
			steps = append(steps, i)
			if passes[i].Whole {
				whole++
			}
		}
	}
	return steps, whole
}

// fitting counts the steps from the first of steps on that the window can have,
// at most those it wants.
func fitting(passes []Pass, steps []int, w Window) int {
	n := 0
	for n < len(steps) && n < w.Count {
		p := &passes[steps[n]]
		if !p.Whole || w.Every != nil && !w.Every(p) {
			break
		}
		n++
	}
	return n
}

func reasonFor(w Window, begun bool, got, steps, whole int) string {
	switch {
	case !begun:
		return "none after the delay qualifies as the first"
	case w.Every != nil && whole-w.Delay >= w.Count:
		return fmt.Sprintf("no more than %d in a row qualify", got)
	case whole < steps && steps-w.Delay >= w.Count && w.First == nil:
		return "the last was recorded without its sampling"
	default:
		return fmt.Sprintf("no more than %d are left", got)
	}
}

// cutOf is the cut from one pass to another, idle ones between them included.
func cutOf(passes []Pass, first, last int) Cut {
	c := Cut{First: first, Last: last, Start: passes[first].Start, End: passes[last].End, Whole: true}
	for i := first; i <= last; i++ {
		if passes[i].IsStep() {
			c.Steps++
			c.Whole = c.Whole && passes[i].Whole
		}
	}
	return c
}
