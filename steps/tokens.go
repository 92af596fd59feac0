package steps

import (
	"fmt"
	"strconv"

	"profjob/internal/engine"
	"profjob/internal/trace"
)

// TokensParams say which engine step may begin a window by tokens.
type TokensParams struct {
	Threshold    int    `json:"threshold"`         // least tokens that the step schedules
	AtMost       int    `json:"at_most,omitempty"` // most; 0: no bound
	Phase        string `json:"phase"`             // any, decode, prefill or mixed
	SkipRequests int    `json:"skip_requests,omitempty"`
	All          bool   `json:"all,omitempty"` // every step of the window must qualify, not only the first
}

// PhaseAny is the phase of a window that may begin with a step of any class.
const PhaseAny = "any"

// qualifies tells whether an engine step of a trace is one that the window asks
// for. A step whose tokens the evidence does not tell qualifies only where
// nothing is asked of them: one token is scheduled by every engine step.
func (t *TokensParams) qualifies(p *trace.Pass) bool {
	if t.Phase != PhaseAny && string(p.Class) != t.Phase {
		return false
	}
	if p.Tokens == trace.NotKnown {
		return t.Threshold <= 1 && t.AtMost == 0
	}
	return p.Tokens >= int64(t.Threshold) && (t.AtMost == 0 || p.Tokens <= int64(t.AtMost))
}

// selection is what Select looks for in a trace.
func (t *TokensParams) selection(count int) trace.Window {
	w := trace.Window{Count: count, First: t.qualifies}
	if t.All {
		w.Every = t.qualifies
	}
	return w
}

// decidable says why the traces of a server cannot show a window by tokens; nil if they can.
func (t *TokensParams) decidable(info engine.Info, shapes bool) error {
	if t.SkipRequests > 0 {
		return fmt.Errorf("%w: skip_requests needs a server that counts its requests itself: give it the gate", ErrNoStrategy)
	}
	return t.evident(info, shapes)
}

// evident says why a trace cannot prove that it holds such a window; nil if it can.
func (t *TokensParams) evident(info engine.Info, shapes bool) error {
	if info.AnnotatesTokens {
		return nil
	}
	if t.Phase != PhaseAny {
		return fmt.Errorf("%w: the phase %q cannot be told in traces of %s %s, which hold only %s as evidence: ask for phase = \"any\"",
			ErrNoStrategy, t.Phase, info.Engine, info.Version, info.Evidence)
	}
	if !shapes && (t.Threshold > 1 || t.AtMost > 0) {
		return fmt.Errorf("%w: traces of %s %s tell the tokens of an engine step only where shapes are recorded: set shapes = true in the record block, and launch the server with them",
			ErrNoStrategy, info.Engine, info.Version)
	}
	return nil
}

// reachable says why no engine step can have as many tokens as asked; nil if one
// can. most is the most that the server schedules in one; 0: not known.
func (t *TokensParams) reachable(most int) error {
	if t == nil || most == 0 || t.Threshold <= most {
		return nil
	}
	return fmt.Errorf("%w: the window begins with a step of at least %d tokens, and the server schedules at most %d in one (max_num_batched_tokens)",
		ErrNoStrategy, t.Threshold, most)
}

// mostTokens is the most tokens that a server schedules in one engine step, where
// it tells of its configuration; else 0.
func mostTokens(info engine.Info) int {
	n, _ := strconv.Atoi(info.Fingerprint["max_num_batched_tokens"])
	return n
}

// String says which steps qualify, to follow "5 engine steps".
func (t *TokensParams) String() string {
	class := ""
	if t.Phase != PhaseAny {
		class = t.Phase + " "
	}
	text := fmt.Sprintf(" from the first %sstep with at least %d tokens on", class, t.Threshold)
	if t.AtMost > 0 {
		text = fmt.Sprintf(" from the first %sstep with %d to %d tokens on", class, t.Threshold, t.AtMost)
	}
	if t.All {
		text += ", each of them such a step"
	}
	return text
}
