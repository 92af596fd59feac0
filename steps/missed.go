package steps

import (
	"fmt"
	"strings"
	"time"

	"profjob/internal/trace"
)

// missed says why a window by tokens is not in a trace: what was recorded instead,
// and what to do about it.
func (t *TokensParams) missed(passes []trace.Pass, count int) string {
	s := t.survey(passes)
	switch {
	case s.steps == 0:
		return "no whole engine step was recorded: was there traffic?"
	case s.first == 0:
		return fmt.Sprintf("none of the %d engine steps recorded is %s; they were %s: %s", s.steps, t.kind(), s, t.advice(s))
	case t.All && s.steps-s.first+1 >= count:
		return fmt.Sprintf("no %d engine steps on end are each %s among the %d recorded, which were %s: ask for fewer, or without all = true",
			count, t.kind(), s.steps, s)
	}
	return fmt.Sprintf("the first engine step that is %s was number %d of the %d recorded, which leaves %d of %d: each further attempt records for longer (window.attempts)",
		t.kind(), s.first, s.steps, s.steps-s.first+1, count)
}

// survey is what a trace holds.
type survey struct {
	steps   int // whole engine steps
	first   int // which of them is the first that qualifies, from 1; 0: none
	classes map[trace.Class]*seenClass
}

// seenClass is what was recorded of a class of engine steps.
type seenClass struct {
	steps       int
	least, most int64 // tokens; NotKnown
}

func (t *TokensParams) survey(passes []trace.Pass) *survey {
	s := &survey{classes: map[trace.Class]*seenClass{}}
	for i := range passes {
		p := &passes[i]
		if !p.IsStep() || !p.Whole {
			continue
		}
		s.steps++
		if s.first == 0 && t.qualifies(p) {
			s.first = s.steps
		}
		c := s.classes[p.Class]
		if c == nil {
			c = &seenClass{least: p.Tokens, most: p.Tokens}
			s.classes[p.Class] = c
		}
		c.steps++
		c.least, c.most = min(c.least, p.Tokens), max(c.most, p.Tokens)
	}
	return s
}

// String tells the classes: "180 decode (1 to 12 tokens), 32 prefill (40 tokens)".
func (s *survey) String() string {
	var parts []string
	for _, class := range []trace.Class{trace.Decode, trace.Mixed, trace.Prefill, trace.Unknown} {
		c := s.classes[class]
		if c == nil {
			continue
		}
		text := fmt.Sprintf("%d %s", c.steps, class)
		if class == trace.Unknown {
			text = fmt.Sprintf("%d of no known class", c.steps)
		}
		switch {
		case c.most == trace.NotKnown:
		case c.least == c.most:
			text += fmt.Sprintf(" (%d tokens)", c.most)
		default:
			text += fmt.Sprintf(" (%d to %d tokens)", max(c.least, 0), c.most)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// most is the most tokens of a step.
func (s *survey) most() int64 {
	n := int64(trace.NotKnown)
	for _, c := range s.classes {
		n = max(n, c.most)
	}
	return n
}

// kind names the steps that qualify: "a decode step with at least 8 tokens".
func (t *TokensParams) kind() string {
	class := "a step"
	if t.Phase != PhaseAny {
		class = "a " + t.Phase + " step"
	}
	if t.AtMost > 0 {
		return fmt.Sprintf("%s with %d to %d tokens", class, t.Threshold, t.AtMost)
	}
	return fmt.Sprintf("%s with at least %d tokens", class, t.Threshold)
}

// advice says what to change where no step qualified.
func (t *TokensParams) advice(s *survey) string {
	c := s.classes[trace.Class(t.Phase)]
	switch {
	case t.Phase == PhaseAny:
		return t.tokensAdvice(s.most(), "concurrency or input_tokens")
	case c == nil && s.classes[trace.Unknown] != nil:
		return `these traces do not tell the class of a step: ask for phase = "any"`
	case c != nil && t.Phase == "decode":
		return t.tokensAdvice(c.most, "concurrency")
	case c != nil:
		return t.tokensAdvice(c.most, "input_tokens")
	case t.Phase == "prefill":
		return `prompts came only while other requests were decoding: ask for phase = "mixed" or "any", or leave pauses in the load`
	case t.Phase == "mixed":
		return "no prompt came while another request was decoding: more concurrency in the load, or longer output_tokens"
	}
	return "each step read a prompt: longer output_tokens in the load, or fewer requests"
}

// tokensAdvice is for steps of the right class with too few or too many tokens.
func (t *TokensParams) tokensAdvice(most int64, load string) string {
	if most >= int64(t.Threshold) {
		return "at_most is below what this load gives"
	}
	if most == trace.NotKnown {
		return "these traces do not tell the tokens of a step: record shapes, or ask for a threshold of 1"
	}
	return fmt.Sprintf("a threshold of at most %d, or more %s in the load; a longer window.timeout where such steps are rare", most, load)
}

// howLong tells how the wait for a window by tokens ended, to follow why it was missed.
func (e *EndpointWindow) howLong() string {
	hinted := "the server's metrics never hinted at such a step"
	if e.Hints > 0 {
		hinted = fmt.Sprintf("the server's metrics hinted at such a step %d times", e.Hints)
	}
	return fmt.Sprintf(" (open for %s, ended by %s; %s)", e.StopSent.Sub(e.StartAnswered).Round(time.Millisecond), howEnded[e.Ended], hinted)
}

// howEnded are the endings of a window by tokens for people.
var howEnded = map[string]string{EndedRecorded: "what the metrics told", EndedTimeout: "its timeout", EndedLimit: "its limits",
	EndedInterrupted: "the interrupt", EndedAborted: "a failure"}
