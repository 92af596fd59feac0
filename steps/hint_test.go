package steps

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"profjob/internal/engine"
	"profjob/internal/trace"
)

// scheduler makes engine steps of requests that come and go, and counts them as
// vLLM does (vllm/v1/metrics/loggers.py, stats.py).
type scheduler struct {
	r        *rand.Rand
	running  []int // tokens that each request has still to give
	core     engine.Core
	arrives  float64 // requests a step, on average
	cached   float64 // share of the prompts that the cache has
	computed bool    // cached tokens are left out of the steps', as by 0.32.0
	prompt   int     // longest
}

var stepBounds = []int64{1, 8, 16, 32, 64, 128, 256, 512, math.MaxInt64}

func newScheduler(r *rand.Rand) *scheduler {
	s := &scheduler{r: r, arrives: r.Float64() * 2, prompt: 1 + r.IntN(100), computed: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		s.cached = r.Float64()
	}
	s.core.DraftTokens = -1
	for _, b := range stepBounds {
		s.core.StepSizes = append(s.core.StepSizes, engine.StepSize{AtMost: b})
	}
	return s
}

// step makes one pass, which may be idle.
func (s *scheduler) step() trace.Pass {
	p := trace.Pass{Whole: true}
	var counted, prompts int64
	for range s.poisson() {
		length := int64(1 + s.r.IntN(s.prompt))
		had := int64(s.cached * s.r.Float64() * float64(length-1))
		p.ContextRequests++
		p.ContextTokens += length - had
		s.core.CachedTokens += had
		s.core.PromptTokens += length
		s.core.FirstTokens++
		if counted += length + 1; s.computed {
			counted -= had
		}
		prompts++
	}
	p.GenerationTokens = int64(len(s.running))
	counted += p.GenerationTokens
	var left []int
	for _, n := range s.running {
		if n > 1 {
			left = append(left, n-1)
		}
	}
	for range prompts {
		if n := s.r.IntN(30); n > 0 {
			left = append(left, n)
		}
	}
	s.running = left
	s.core.GenerationTokens += p.GenerationTokens + prompts
	s.core.Running = int64(len(left))
	p.Tokens = p.ContextTokens + p.GenerationTokens
	p.Class = classOf(p)
	if p.Class == trace.Idle {
		return p
	}
	s.core.EngineSteps++
	s.core.StepTokens += counted
	for i := range s.core.StepSizes {
		if counted <= s.core.StepSizes[i].AtMost {
			s.core.StepSizes[i].Steps++
		}
	}
	return p
}

func (s *scheduler) poisson() int {
	n, left := 0, math.Exp(-s.arrives)
	for p := s.r.Float64(); p > left; p *= s.r.Float64() {
		n++
	}
	return n
}

func classOf(p trace.Pass) trace.Class {
	switch {
	case p.ContextTokens > 0 && p.GenerationTokens > 0:
		return trace.Mixed
	case p.ContextTokens > 0:
		return trace.Prefill
	case p.GenerationTokens > 0:
		return trace.Decode
	}
	return trace.Idle
}

// reading copies the metrics as they are.
func (s *scheduler) reading() engine.Core {
	c := s.core
	c.StepSizes = append([]engine.StepSize(nil), c.StepSizes...)
	return c
}

// TestHintsAreTrue holds hints against the steps that they are about: a sure hint
// is one, and no step that qualifies goes without.
func TestHintsAreTrue(t *testing.T) {
	given := map[string]map[hint]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newScheduler(r)
		tokens := &TokensParams{Threshold: 1 + r.IntN(1+r.IntN(80)), Phase: []string{PhaseAny, "decode", "prefill", "mixed"}[r.IntN(4)]}
		if r.IntN(3) == 0 {
			tokens.AtMost = tokens.Threshold + r.IntN(40)
		}
		before, cached := s.reading(), int64(0)
		for range 40 {
			some, all, steps := false, true, 0
			for range r.IntN(1 + r.IntN(8)) {
				if p := s.step(); p.IsStep() {
					q := tokens.qualifies(&p)
					some, all, steps = some || q, all && q, steps+1
				}
			}
			now := s.reading()
			if now.EngineSteps == before.EngineSteps {
				before.Running = now.Running
				continue
			}
			stretch := between(before, now, cached)
			before, cached = now, now.CachedTokens-before.CachedTokens
			h := tokens.hint(&stretch)
			if every := tokens.every(&stretch); h == hintSure && !some || h == hintNone && some || every == hintSure && !all {
				t.Fatalf("seed %d: %s: hint %d, every %d, some %t, all %t of %d steps: %+v", seed, tokens, h, every, some, all, steps, stretch)
			}
			if given[tokens.Phase] == nil {
				given[tokens.Phase] = map[hint]int{}
			}
			if some {
				given[tokens.Phase][h]++
			}
		}
	}
	for phase, hints := range given {
		if share := float64(hints[hintSure]) / float64(hints[hintSure]+hints[hintMaybe]); share < 0.4 {
			t.Errorf("%s: of the stretches with a step that qualifies %.2f have a sure hint: %v", phase, share, hints)
		} else {
			t.Logf("%s: %.2f of %v", phase, share, hints)
		}
	}
}

// core is a reading of a server that counts all that there is, since an earlier
// one of nothing.
func readCore(running, steps, tokens, prompts, firsts, given int64) engine.Core {
	return engine.Core{Running: running, EngineSteps: steps, StepTokens: tokens, PromptTokens: prompts, FirstTokens: firsts, GenerationTokens: given, DraftTokens: -1}
}

func cachedCore(c engine.Core, tokens int64) engine.Core {
	c.CachedTokens = tokens
	return c
}

func TestHint(t *testing.T) {
	for _, c := range []struct {
		name        string
		asked       TokensParams
		before, now engine.Core
		want        hint
	}{
		{"no step", TokensParams{Threshold: 1, Phase: "any"}, readCore(2, 5, 9, 0, 0, 9), readCore(2, 5, 9, 0, 0, 9), hintNone},
		{"decodes of as many", TokensParams{Threshold: 3, Phase: "decode"}, readCore(3, 0, 0, 0, 0, 0), readCore(3, 5, 15, 0, 0, 15), hintSure},
		{"decodes of too few", TokensParams{Threshold: 4, Phase: "decode"}, readCore(3, 0, 0, 0, 0, 0), readCore(3, 5, 15, 0, 0, 15), hintNone},
		{"decodes, perhaps beside a part of a prompt", TokensParams{Threshold: 3, Phase: "decode"}, readCore(4, 0, 0, 0, 0, 0), readCore(4, 5, 15, 0, 0, 15), hintMaybe},
		{"prompts that may be in one step", TokensParams{Threshold: 50, Phase: "mixed"}, readCore(1, 0, 0, 0, 0, 0), readCore(4, 3, 66, 60, 3, 6), hintMaybe},
		{"prompts that cannot", TokensParams{Threshold: 65, Phase: "mixed"}, readCore(1, 0, 0, 0, 0, 0), readCore(4, 3, 66, 60, 3, 6), hintNone},
		{"a prompt alone", TokensParams{Threshold: 40, Phase: "prefill"}, readCore(0, 0, 0, 0, 0, 0), readCore(1, 4, 44, 40, 1, 4), hintSure},
		{"a prompt beside a decode", TokensParams{Threshold: 40, Phase: "prefill"}, readCore(1, 0, 0, 0, 0, 0), readCore(2, 1, 42, 40, 1, 2), hintNone},
		{"the same, mixed", TokensParams{Threshold: 40, Phase: "mixed"}, readCore(1, 0, 0, 0, 0, 0), readCore(2, 1, 42, 40, 1, 2), hintSure},
		{"a prompt of which the steps count what was computed", TokensParams{Threshold: 40, Phase: "mixed"},
			readCore(1, 0, 0, 0, 0, 0), cachedCore(readCore(2, 1, 42, 100, 1, 2), 60), hintSure},
		{"a prompt of which the steps count all", TokensParams{Threshold: 40, Phase: "mixed"},
			readCore(1, 0, 0, 0, 0, 0), cachedCore(readCore(2, 1, 102, 100, 1, 2), 62), hintMaybe},
		{"too many for at_most", TokensParams{Threshold: 2, AtMost: 8, Phase: "any"}, readCore(9, 0, 0, 0, 0, 0), readCore(9, 1, 9, 0, 0, 9), hintNone},
		{"speculation: steps schedule more than they give", TokensParams{Threshold: 8, Phase: "decode"},
			readCore(2, 0, 0, 0, 0, 0), engine.Core{Running: 2, EngineSteps: 2, StepTokens: 6, GenerationTokens: 6, DraftTokens: 12}, hintMaybe},
		{"speculation: what is counted is not what one step scheduled", TokensParams{Threshold: 1, AtMost: 8, Phase: "any"},
			readCore(2, 0, 0, 0, 0, 0), engine.Core{Running: 2, EngineSteps: 1, StepTokens: 6, GenerationTokens: 6, DraftTokens: 12}, hintMaybe},
		{"a decode beside a prompt on a server that told of none running", TokensParams{Threshold: 40, Phase: "mixed"},
			readCore(0, 0, 0, 0, 0, 0), readCore(2, 1, 42, 40, 1, 2), hintSure},
		{"no more than what runs, enough", TokensParams{Threshold: 3, Phase: "decode"}, engine.Core{Running: 3, StepTokens: -1}, engine.Core{Running: 3, EngineSteps: 2, StepTokens: -1}, hintMaybe},
		{"no more than what runs, too few", TokensParams{Threshold: 4, Phase: "decode"}, engine.Core{Running: 3, StepTokens: -1}, engine.Core{Running: 3, EngineSteps: 2, StepTokens: -1}, hintNone},
		{"no more than what runs, no prompt", TokensParams{Threshold: 4, Phase: "prefill"}, engine.Core{Running: 3, StepTokens: -1, GenerationTokens: 8}, engine.Core{Running: 3, EngineSteps: 2, StepTokens: -1, GenerationTokens: 14}, hintNone},
		{"no prompts told", TokensParams{Threshold: 4, Phase: "prefill"}, engine.Core{Running: 3, PromptTokens: -1}, engine.Core{Running: 3, EngineSteps: 2, PromptTokens: -1}, hintMaybe},
		{"counters that went back", TokensParams{Threshold: 1, Phase: "any"}, readCore(1, 0, 9, 0, 0, 9), readCore(1, 3, 3, 0, 0, 3), hintMaybe},
	} {
		s := between(c.before, c.now, 0)
		if got := c.asked.hint(&s); got != c.want {
			t.Errorf("%s: %d, want %d: %+v", c.name, got, c.want, s)
		}
	}
}

// The buckets tell of one step among many what their sum cannot.
func TestHintFromBuckets(t *testing.T) {
	sized := func(c engine.Core, n8, n64, all int64) engine.Core {
		c.StepSizes = []engine.StepSize{{AtMost: 8, Steps: n8}, {AtMost: 64, Steps: n64}, {AtMost: math.MaxInt64, Steps: all}}
		return c
	}
	before := sized(readCore(2, 0, 0, 0, 0, 0), 0, 0, 0)
	for _, c := range []struct {
		n8, n64   int64 // of 20 steps
		threshold int
		want      hint
	}{
		{19, 19, 64, hintSure},  // one has more than 64, a first token among them
		{19, 20, 65, hintNone},  // none has
		{19, 20, 60, hintMaybe}, // one has 9 to 64
		{20, 20, 9, hintNone},
	} {
		s := between(before, sized(readCore(2, 20, 140, 100, 1, 40), c.n8, c.n64, 20), 0)
		if got := (&TokensParams{Threshold: c.threshold, Phase: "any"}).hint(&s); got != c.want {
			t.Errorf("%+v: %d: %+v", c, got, s)
		}
	}
}

// Hints add up to the end of the wait: one that is sure, or some that are not, and
// more of them in each further attempt.
func TestHintsWanted(t *testing.T) {
	w := &Window{Count: 2, Tokens: &TokensParams{Threshold: 3, Phase: "decode"}}
	readings := func(retries int, next func(i int64) engine.Core) (n int) {
		h := hints{last: next(0)}
		for i := int64(1); i < 1000; i++ {
			if h.read(w, next(i)) >= hintsWanted(retries) {
				return int(i)
			}
		}
		return 0
	}
	sure := func(i int64) engine.Core { return readCore(3, i, 3*i, 0, 0, 3*i) }
	maybe := func(i int64) engine.Core { return engine.Core{Running: 3, EngineSteps: i, StepTokens: -1} }
	none := func(i int64) engine.Core { return readCore(2, i, 2*i, 0, 0, 2*i) }
	for _, c := range []struct {
		name    string
		of      func(int64) engine.Core
		retries int
		want    int
	}{
		{"sure, the first of what may have come before", sure, 0, 2},
		{"sure, second attempt", sure, 1, 5},
		{"maybe", maybe, 0, 4},
		{"maybe, third attempt", maybe, 2, 64},
		{"none", none, 0, 0},
	} {
		if got := readings(c.retries, c.of); got != c.want {
			t.Errorf("%s: after %d readings, want %d", c.name, got, c.want)
		}
	}
	lone := hints{last: readCore(1, 5, 5, 0, 0, 5), stretches: 1}
	prefill := &Window{Count: 1, Tokens: &TokensParams{Threshold: 40, Phase: "prefill"}}
	lone.read(prefill, readCore(0, 5, 5, 0, 0, 5)) // no step since, and nothing runs any more
	if got := lone.read(prefill, readCore(1, 9, 49, 40, 1, 9)); got != weightSure {
		t.Errorf("the first prompt after a pause: weight %d", got)
	}
	w.Tokens.All, w.Count = true, 4
	alternating := func(i int64) engine.Core { // every third step has too few
		lacking := i / 3
		return readCore(3, i, 3*i-lacking, 0, 0, 3*i-lacking)
	}
	if got := readings(0, alternating); got != 0 {
		t.Errorf("all: 2 in a row are no 4: after %d readings", got)
	}
	if got := readings(0, sure); got != 5 {
		t.Errorf("all: after %d readings, want 5", got)
	}
	if fmt.Sprint(hintsWanted(0), hintsWanted(2)) != "4 64" {
		t.Error("hints wanted")
	}
}
