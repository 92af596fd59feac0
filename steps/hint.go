package steps

import (
	"math"

	"profjob/internal/engine"
)

// hint is what two readings of an engine core's metrics tell of the engine steps
// between them: whether one of those qualifies for a window by tokens. It says when
// to stop recording and proves nothing: the trace does.
type hint int

const (
	hintNone  hint = iota // none does, or it was not one that gave a token
	hintMaybe             // one may
	hintSure              // one does, by all that the metrics tell
)

// stretch is the engine steps of a core between two readings, as the server counts
// them: only those that gave a token, and each prompt whole with its first token,
// even where earlier steps have read parts of it. So a step that qualifies may be
// hinted at some steps after it.
type stretch struct {
	steps   int64
	tokens  int64 // of all of them
	prompts int64 // tokens of the prompts read to their end
	firsts  int64 // such prompts: at most so many steps held one
	decoded int64 // tokens given, but for each request's first
	cached  int64 // tokens of the prompts that may never have been scheduled
	widest  int64 // most requests that can have decoded in one step
	still   int64 // requests that run on; those that did not decode read a part of their prompt
	idle    bool  // nothing ran before: the first step read prompts only
	drafts  bool  // steps scheduled tokens that they did not give
	sizes   []engine.StepSize
}

// between takes the difference of two readings. cached are tokens that the reading
// before found in the prefix cache: their prompts may come to their end only now.
func between(before, now engine.Core, cached int64) stretch {
	s := stretch{
		steps:   now.EngineSteps - before.EngineSteps,
		tokens:  grown(before.StepTokens, now.StepTokens),
		prompts: grown(before.PromptTokens, now.PromptTokens),
		firsts:  grown(before.FirstTokens, now.FirstTokens),
		cached:  cached + max(0, grown(before.CachedTokens, now.CachedTokens)),
		still:   now.Running,
		idle:    before.Running == 0,
		drafts:  now.DraftTokens > before.DraftTokens,
	}
	s.decoded = grown(before.GenerationTokens, now.GenerationTokens)
	if s.decoded >= 0 && s.firsts >= 0 {
		s.decoded -= s.firsts
	}
	if s.widest = before.Running + max(0, s.firsts); before.Running < 0 {
		s.widest = math.MaxInt64 >> 20
	}
	// A server whose steps have fewer tokens than its prompts and answers leaves out what was cached.
	if now.StepTokens >= 0 && now.StepTokens < now.PromptTokens+now.GenerationTokens {
		s.prompts, s.cached = s.tokens-s.decoded-s.firsts, 0
	}
	if len(before.StepSizes) == len(now.StepSizes) {
		for i, b := range now.StepSizes {
			s.sizes = append(s.sizes, engine.StepSize{AtMost: b.AtMost, Steps: b.Steps - before.StepSizes[i].Steps})
		}
	}
	return s
}

// grown is the growth of a counter; −1 where it is not known.
func grown(before, now int64) int64 {
	if before < 0 || now < before {
		return -1
	}
	return now - before
}

// told tells whether the metrics have what hints are read from, and agree with each other.
func (s *stretch) told() bool {
	return s.steps > 0 && s.tokens >= s.steps && s.prompts >= 0 && s.firsts >= 0 && s.decoded >= 0
}

// most is the most tokens that a step can have been counted with.
func (s *stretch) most() int64 {
	most := s.tokens - (s.steps - 1)
	for _, b := range s.sizes {
		if b.Steps == s.steps {
			return min(most, b.AtMost)
		}
	}
	return most
}

// least is the fewest tokens that a step can have been counted with.
func (s *stretch) least() int64 {
	least := max(1, s.tokens-(s.steps-1)*s.most())
	for _, b := range s.sizes {
		if b.Steps == 0 {
			least = max(least, b.AtMost+1)
		}
	}
	return least
}

// within is how many steps, at least, were counted with from to to tokens; to 0: no bound.
func (s *stretch) within(from, to int64) int64 {
	if to == 0 {
		to = math.MaxInt64
	}
	if s.least() >= from && s.most() <= to {
		return s.steps
	}
	var n, below int64
	if s.most() <= to && ceil(s.tokens, s.steps) >= from {
		n = 1 // one has the mean, at least
	}
	lower := false
	for _, b := range s.sizes {
		switch {
		case b.AtMost < from-1:
		case !lower:
			lower, below = true, b.Steps
		case b.AtMost <= to:
			n = max(n, b.Steps-below)
		}
	}
	return n
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// hint tells whether one of the steps qualifies.
func (t *TokensParams) hint(s *stretch) hint {
	switch {
	case s.steps <= 0:
		return hintNone
	case !s.told():
		return t.guess(s)
	case !t.possible(s):
		return hintNone
	case !s.drafts && t.certain(s):
		return hintSure
	}
	return hintMaybe
}

// guess is the hint of a server whose metrics tell no more than what runs.
func (t *TokensParams) guess(s *stretch) hint {
	enough := s.widest >= int64(t.Threshold)
	switch {
	case t.Phase == "prefill" || t.Phase == "mixed":
		enough = s.prompts != 0
	case t.Phase == PhaseAny:
		enough = enough || s.prompts != 0
	}
	if enough {
		return hintMaybe
	}
	return hintNone
}

// possible tells whether one of the steps can qualify. Where several API servers
// share an engine core each counts its own part of a step: what only all of them
// together have may go without a hint, and the window lasts until its timeout then.
func (t *TokensParams) possible(s *stretch) bool {
	enough := func(tokens int64) bool { return s.drafts || tokens >= int64(t.Threshold) }
	if t.AtMost > 0 && s.least()-s.firsts-s.cached > int64(t.AtMost) {
		return false
	}
	decoding := min(s.decoded, s.widest) // most tokens that a step can have decoded
	switch t.Phase {
	case "decode":
		return enough(decoding) && (s.firsts == 0 || s.steps > 1)
	case "prefill":
		return s.firsts > 0 && enough(min(s.prompts, s.most())) && (s.idle || s.drafts || s.decoded <= (s.steps-1)*s.widest)
	case "mixed":
		return s.firsts > 0 && s.decoded > 0 && enough(min(s.prompts+decoding, s.most()))
	}
	return enough(max(s.most(), s.widest))
}

// certain tells whether one of the steps must qualify. A step schedules the tokens
// that it is counted with, but for the first tokens that it gives and for what was
// cached of its prompts.
func (t *TokensParams) certain(s *stretch) bool {
	from, to := int64(t.Threshold), int64(t.AtMost)
	read := from + s.firsts + s.cached
	switch t.Phase {
	case "decode":
		return t.certainDecode(s) && s.still*s.steps <= s.decoded+s.firsts*s.steps
	case "prefill":
		lone := s.idle && s.firsts == 1 && s.prompts-s.cached >= from && (to == 0 || s.prompts <= to)
		return lone || s.decoded == 0 && s.within(read, to) > 0
	case "mixed":
		if s.decoded <= (s.steps-1)*s.widest {
			return false // a step may not have decoded at all
		}
		if s.steps > 1 {
			read = max(read, s.widest+1) // more than decoding alone can give
		}
		return s.within(read, to) > 0
	}
	return s.within(read, to) > 0 || t.certainDecode(s)
}

func (t *TokensParams) certainDecode(s *stretch) bool {
	from, to := int64(t.Threshold), int64(t.AtMost)
	if s.within(from, to) > s.firsts {
		return true
	}
	alone := s.steps - s.firsts // steps without a prompt, at least
	given := s.decoded + s.firsts - s.firsts*s.widest
	return alone > 0 && given > 0 && ceil(given, alone) >= from && (to == 0 || s.widest <= to)
}

// every tells whether all of the steps qualify.
func (t *TokensParams) every(s *stretch) hint {
	h := t.hint(s)
	if h != hintSure || s.steps == 1 {
		return h
	}
	from, to := int64(t.Threshold), int64(t.AtMost)
	all := false
	switch t.Phase {
	case "decode":
		all = s.firsts == 0 && s.within(from, to) == s.steps
	case "prefill":
		all = s.decoded == 0 && s.within(from+s.firsts+s.cached, to) == s.steps
	case PhaseAny:
		all = s.within(from+s.firsts+s.cached, to) == s.steps
	}
	if all {
		return hintSure
	}
	return hintMaybe
}

// hints adds up what the readings of an engine core's metrics hint at.
type hints struct {
	last        engine.Core // the reading before
	cached      int64       // prompt tokens found in the cache in the stretch before
	stretches   int
	count       int   // hints so far
	weight      int   // theirs
	sure, maybe int64 // engine steps in a row that surely, or maybe, all qualify
}

// Hints weigh against each other: a hint that a step has come as much as some that
// one may have. What was hinted at is not always so, and an attempt that missed
// because of that asks for four times as many the next time.
const (
	weightMaybe = 1
	weightSure  = 4
)

// hintsWanted is how heavy hints must be to end the wait for the first step.
func hintsWanted(retries int) int { return weightSure << (2 * min(retries, 8)) }

// read takes a reading and gives the weight of all hints so far.
func (h *hints) read(w *Window, now engine.Core) int {
	if now.EngineSteps == h.last.EngineSteps {
		h.last.Running = now.Running
		return h.weight
	}
	s := between(h.last, now, h.cached)
	h.last, h.cached = now, max(0, grown(h.last.CachedTokens, now.CachedTokens))
	find := w.Tokens.hint
	if w.Tokens.All {
		find = w.Tokens.every
	}
	found := find(&s)
	// What is counted first may have passed before the profiler was on.
	if h.stretches++; h.stretches == 1 {
		found = min(found, hintMaybe)
	}
	if w.Tokens.All {
		found = h.inARow(found, s.steps, int64(w.Count))
	}
	switch found {
	case hintSure:
		h.count, h.weight = h.count+1, h.weight+weightSure
	case hintMaybe:
		h.count, h.weight = h.count+1, h.weight+weightMaybe
	}
	return h.weight
}

// inARow is the hint for a window of which every step must qualify: enough steps
// on end do.
func (h *hints) inARow(found hint, steps, count int64) hint {
	h.sure += steps
	h.maybe += steps
	if found < hintSure {
		h.sure = 0
	}
	if found < hintMaybe {
		h.maybe = 0
	}
	switch {
	case h.sure >= count:
		h.sure, h.maybe = 0, 0
		return hintSure
	case h.maybe >= count:
		h.maybe = 0
		return hintMaybe
	}
	return hintNone
}
