package omni

import (
	"errors"
	"fmt"

	"profjob/internal/engine"
)

// Refusal says why the fork's own logic cannot give a window. Its text says what,
// why, and what to do instead.
type Refusal struct {
	What    string // of the job: "phase = \"mixed\""
	Why     string // what would happen
	Instead string // what to do
}

// Error tells all three.
func (r *Refusal) Error() string { return r.What + ": " + r.Why + "; " + r.Instead }

const useTheGate = "give the target a gate block: the fork is a vLLM, and profjob's gate loads into it"

// Ask is a window, and the server that shall give it without the gate.
type Ask struct {
	Generation Generation
	Ray        bool // the executor is Ray
	// Launched: profjob launches the server and sets its variables, and can do so
	// again.
	Launched bool
	// TokenMode: a server that runs already was launched with the variable of its
	// threshold set. HTTP does not tell, so that the target has to.
	TokenMode bool
	// Tokens is nil for a window by steps or by time, which is got over HTTP.
	Tokens   *engine.TokenWindow
	Repeat   int  // rounds; 0 is 1
	Attempts int  // tries of a round; 0 is 1
	Warmup   bool // requests are sent before the window
	Limits   Limits
}

// Verdict is what the fork does of what was asked.
type Verdict struct {
	Grade Grade
	// Rule is what the server must have been launched with; nil: with its token logic
	// off.
	Rule *Rule
	// Relaunch: a server process gives one window only, so that each round and each
	// attempt after the first needs a launch of its own.
	Relaunch bool
	Notes    []string // for people
}

// Judge says whether the fork can give a window without the gate, and how. It is
// pure. The error joins a *Refusal for each reason why it cannot.
func Judge(a Ask) (Verdict, error) {
	if a.Tokens == nil {
		return judgeByHand(a)
	}
	rule, grade, notes, err := Fit(a.Generation, *a.Tokens, a.Limits)
	refusals := []error{err}
	for _, refuse := range []func(Ask) *Refusal{refuseRay, refuseForeign, refuseSecond, refuseWarmup} {
		if r := refuse(a); r != nil {
			refusals = append(refusals, r)
		}
	}
	if err := errors.Join(refusals...); err != nil {
		return Verdict{Grade: Cannot}, err
	}
	if a.Warmup {
		notes = append(notes, "skip_requests counts the requests of the warmup, too: the window begins after the first that is not skipped")
	}
	return Verdict{Grade: grade, Rule: &rule, Relaunch: a.Launched && a.windows() > 1, Notes: notes}, nil
}

func (a Ask) windows() int { return max(1, a.Repeat) * max(1, a.Attempts) }

// judgeByHand: over HTTP the fork starts and stops as vLLM does, in Ray mode, too,
// unless its token logic holds the profiler.
func judgeByHand(a Ask) (Verdict, error) {
	v := Verdict{Grade: Exact}
	always := a.Generation.trait().always
	switch {
	case a.TokenMode && !a.Launched && !always:
		return Verdict{Grade: Cannot}, &Refusal{
			What:    "a window by steps or by time on a server in token mode",
			Why:     fmt.Sprintf("with %s set %s", a.Generation.trait().variables.threshold, a.Generation.holdsProfiler()),
			Instead: "launch it without that variable, or " + useTheGate,
		}
	case always && a.Launched:
		v.Notes = append(v.Notes, "the token logic of g1 cannot be turned off: its threshold is set to a number that no step reaches")
	case always:
		v.Notes = append(v.Notes, fmt.Sprintf("the token logic of g1 is always on and shares the profiler: it records %d passes from the first step with %d token on unless its variables say otherwise, and a window that is open meanwhile ends with it",
			defaultStop+1, defaultThreshold))
	}
	return v, nil
}

// holdsProfiler says why a window that is started over HTTP does not come to what
// was asked for while the token logic is on.
func (g Generation) holdsProfiler() string {
	if g.trait().ignores {
		return "it answers 200 to a start and does nothing, so that nothing would be recorded"
	}
	return "its token logic has the same profiler as a start over HTTP: it ends whatever is recording once its own passes are over"
}

// What the fork takes where its variables are not set.
const (
	defaultThreshold = 1
	defaultStop      = 5
)

func refuseRay(a Ask) *Refusal {
	if !a.Ray {
		return nil
	}
	return &Refusal{
		What:    "a window by tokens in Ray mode",
		Why:     "Ray's executor calls the model runner and passes by the worker that counts, so that the fork's token logic never begins",
		Instead: useTheGate + ", in Ray mode, too; or ask for a window by steps or by time",
	}
}

// refuseForeign: a server that runs already has what its owner gave it.
func refuseForeign(a Ask) *Refusal {
	if a.Launched || a.TokenMode {
		return nil
	}
	return &Refusal{
		What:    "a window by tokens on a server that runs already",
		Why:     "the fork reads its variables once, as it is launched",
		Instead: "launch it with what `profjob env` prints and set token_mode = true in the target, or have profjob launch it (launch block), or " + useTheGate,
	}
}

func refuseSecond(a Ask) *Refusal {
	if a.Launched || a.windows() == 1 {
		return nil
	}
	what := fmt.Sprintf("repeat = %d", a.Repeat)
	if a.Repeat <= 1 {
		what = fmt.Sprintf("attempts = %d", a.Attempts)
	}
	return &Refusal{
		What:    what + " on a server that profjob did not launch",
		Why:     "the fork's token logic records once in the life of a process: every window after the first would be empty",
		Instead: "set repeat = 1 and attempts = 1, or have profjob launch the server (launch block), so that it is launched anew between windows, or " + useTheGate,
	}
}

// refuseWarmup: the logic is armed from the launch on, not from the end of the warmup.
func refuseWarmup(a Ask) *Refusal {
	if !a.Warmup || a.Tokens.SkipRequests > 0 && a.Generation.trait().variables.skip != "" {
		return nil
	}
	r := &Refusal{
		What:    "a warmup before a window by tokens",
		Why:     "the fork's token logic waits from the launch on, so that it would record the warmup",
		Instead: "leave the warmup block out, or " + useTheGate,
	}
	if a.Generation.trait().variables.skip != "" {
		r.Instead = "have the fork skip the warmup's requests (skip_requests), or leave the warmup block out, or " + useTheGate
	}
	return r
}
