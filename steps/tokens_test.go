package steps

import (
	"errors"
	"strings"
	"testing"

	"profjob/internal/engine"
	"profjob/internal/trace"
)

func TestTokensQualify(t *testing.T) {
	decode := trace.Pass{Class: trace.Decode, Tokens: 8}
	for name, c := range map[string]struct {
		asked TokensParams
		pass  trace.Pass
		want  bool
	}{
		"enough":             {TokensParams{Threshold: 8, Phase: "any"}, decode, true},
		"too few":            {TokensParams{Threshold: 9, Phase: "any"}, decode, false},
		"as many as allowed": {TokensParams{Threshold: 1, AtMost: 8, Phase: "any"}, decode, true},
		"too many":           {TokensParams{Threshold: 1, AtMost: 7, Phase: "any"}, decode, false},
		"its class":          {TokensParams{Threshold: 1, Phase: "decode"}, decode, true},
		"another class":      {TokensParams{Threshold: 1, Phase: "prefill"}, decode, false},
		"mixed is not decode": {TokensParams{Threshold: 1, Phase: "decode"},
			trace.Pass{Class: trace.Mixed, Tokens: 8}, false},
		"tokens not known, none asked": {TokensParams{Threshold: 1, Phase: "any"},
			trace.Pass{Class: trace.Unknown, Tokens: trace.NotKnown}, true},
		"tokens not known": {TokensParams{Threshold: 2, Phase: "any"},
			trace.Pass{Class: trace.Unknown, Tokens: trace.NotKnown}, false},
		"tokens not known, bounded": {TokensParams{Threshold: 1, AtMost: 9, Phase: "any"},
			trace.Pass{Class: trace.Unknown, Tokens: trace.NotKnown}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.asked.qualifies(&c.pass); got != c.want {
				t.Errorf("qualifies: %t, want %t", got, c.want)
			}
		})
	}
}

func TestTokensSelection(t *testing.T) {
	pass := func(class trace.Class, tokens int64) trace.Pass {
		return trace.Pass{Class: class, Tokens: tokens, Whole: true}
	}
	passes := []trace.Pass{pass(trace.Decode, 2), pass(trace.Decode, 3), pass(trace.Mixed, 40), pass(trace.Idle, 0),
		pass(trace.Decode, 4), pass(trace.Decode, 4), pass(trace.Decode, 4)}
	for i := range passes {
		passes[i].Index = i
	}
	for name, c := range map[string]struct {
		asked       TokensParams
		count       int
		first, last int // −1: none
	}{
		"first alone must qualify": {TokensParams{Threshold: 3, Phase: "any"}, 3, 1, 4},
		"every one must":           {TokensParams{Threshold: 4, Phase: "decode", All: true}, 3, 4, 6},
		"a class":                  {TokensParams{Threshold: 1, Phase: "mixed"}, 2, 2, 4},
		"not enough left":          {TokensParams{Threshold: 4, Phase: "decode"}, 4, -1, -1},
		"none":                     {TokensParams{Threshold: 41, Phase: "any"}, 1, -1, -1},
	} {
		t.Run(name, func(t *testing.T) {
			cut, err := trace.Select(passes, c.asked.selection(c.count))
			if c.first < 0 {
				var none *trace.NotFoundError
				if !errors.As(err, &none) {
					t.Errorf("cut %+v, error %v, want none found", cut, err)
				}
				return
			}
			if err != nil || cut.First != c.first || cut.Last != c.last || cut.Steps != c.count {
				t.Errorf("cut %+v, error %v, want passes %d to %d", cut, err, c.first, c.last)
			}
		})
	}
}

func TestTokensDecidable(t *testing.T) {
	blind := engine.Info{Engine: "vllm", Version: "0.11.0", Evidence: "structure"}
	tells := engine.Info{Engine: "vllm", Version: "0.32.0", Evidence: "annotation", AnnotatesTokens: true}
	for name, c := range map[string]struct {
		asked  TokensParams
		info   engine.Info
		shapes bool
		serves bool
	}{
		"annotated":               {TokensParams{Threshold: 64, Phase: "decode"}, tells, false, true},
		"structure, phase":        {TokensParams{Threshold: 1, Phase: "decode"}, blind, true, false},
		"structure with shapes":   {TokensParams{Threshold: 64, Phase: "any"}, blind, true, true},
		"structure, no shapes":    {TokensParams{Threshold: 64, Phase: "any"}, blind, false, false},
		"structure, any step":     {TokensParams{Threshold: 1, Phase: "any"}, blind, false, true},
		"requests that are to go": {TokensParams{Threshold: 1, Phase: "any", SkipRequests: 1}, tells, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.asked.decidable(c.info, c.shapes)
			if (err == nil) != c.serves || err != nil && !errors.Is(err, ErrNoStrategy) {
				t.Errorf("error %v, want one: %t", err, !c.serves)
			}
		})
	}
}

// TestTokensNeeded holds that a window by tokens waits for its first step, and
// for all steps after it.
func TestTokensNeeded(t *testing.T) {
	run := &Run{}
	w := &Window{Form: "tokens", Count: 5, Tokens: &TokensParams{Threshold: 3, Phase: "decode"}}
	watch := endpointWatch{watcher: &watcher{window: w, run: run}}
	run.Place.Attempt = 1
	core := &coreCount{begun: -1, hints: hints{last: readCore(2, 0, 0, 0, 0, 0)}}
	for i := int64(1); i <= 7; i++ {
		core.seen = i
		watch.notice(core, readCore(2, i, 2*i, 0, 0, 2*i))
	}
	if core.begun >= 0 || watch.needed(core) < 1<<40 {
		t.Errorf("begun at %d, %d steps needed although too few requests run", core.begun, watch.needed(core))
	}
	core.seen = 9
	core.hints.last.Running = 3
	watch.notice(core, readCore(3, 9, 20, 0, 0, 20))
	first := watch.needed(core)
	if core.begun != 9 || first < 9+5 || first > 9+5+4 {
		t.Errorf("begun at %d, %d steps needed", core.begun, first)
	}
	run.Place.Attempt = 2
	if second := watch.needed(core); second <= first {
		t.Errorf("the second attempt waits for %d steps, the first for %d", second, first)
	}
}

func TestTokensMissed(t *testing.T) {
	pass := func(class trace.Class, tokens int64) trace.Pass {
		return trace.Pass{Class: class, Tokens: tokens, Whole: true}
	}
	decodes := []trace.Pass{pass(trace.Decode, 2), pass(trace.Decode, 5), pass(trace.Idle, 0), pass(trace.Mixed, 30), {Class: trace.Decode, Tokens: 99}}
	unknown := []trace.Pass{pass(trace.Unknown, trace.NotKnown), pass(trace.Unknown, trace.NotKnown)}
	for name, c := range map[string]struct {
		asked  TokensParams
		passes []trace.Pass
		want   []string
	}{
		"nothing":         {TokensParams{Threshold: 1, Phase: "any"}, nil, []string{"no whole engine step", "traffic"}},
		"too few tokens":  {TokensParams{Threshold: 8, Phase: "decode"}, decodes, []string{"none of the 3 engine steps recorded is a decode step with at least 8 tokens", "2 decode (2 to 5 tokens), 1 mixed (30 tokens)", "at most 5", "concurrency"}},
		"of any class":    {TokensParams{Threshold: 31, Phase: "any"}, decodes, []string{"a step with at least 31", "at most 30"}},
		"too many":        {TokensParams{Threshold: 3, AtMost: 4, Phase: "any"}, decodes, []string{"a step with 3 to 4 tokens", "at_most"}},
		"no lone prompts": {TokensParams{Threshold: 1, Phase: "prefill"}, decodes, []string{"prefill step", `phase = "mixed"`}},
		"prompts too short": {TokensParams{Threshold: 64, Phase: "mixed"}, decodes,
			[]string{"at most 30", "input_tokens"}},
		"no prompts beside": {TokensParams{Threshold: 1, Phase: "mixed"}, decodes[:2], []string{"mixed step", "concurrency"}},
		"only prompts":      {TokensParams{Threshold: 1, Phase: "decode"}, []trace.Pass{pass(trace.Prefill, 9)}, []string{"decode step", "output_tokens"}},
		"class not known":   {TokensParams{Threshold: 1, Phase: "decode"}, unknown, []string{"2 of no known class:", `phase = "any"`}},
		"tokens not known":  {TokensParams{Threshold: 2, Phase: "any"}, unknown, []string{"record shapes"}},
		"too late":          {TokensParams{Threshold: 6, Phase: "any"}, decodes, []string{"number 3 of the 3 recorded", "leaves 1 of 2", "attempt"}},
		"not on end":        {TokensParams{Threshold: 5, Phase: "decode", All: true}, decodes, []string{"no 2 engine steps on end", "all = true"}},
	} {
		got := c.asked.missed(c.passes, 2)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in: %s", name, want, got)
			}
		}
	}
}

// A trace without the window tells how its wait ended, too.
func TestTokensMissedByVerify(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*WindowResult)
		want   string
	}{
		"hinted at": {func(r *WindowResult) { r.Endpoints[0].Hints = 3 }, "hinted at such a step 3 times"},
		"timeout":   {func(r *WindowResult) { r.Endpoints[0].Ended = EndedTimeout }, "ended by its timeout; the server's metrics never hinted"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			target.TraceDir = t.TempDir()
			h.written(target, c.change, oneTrace(own(t, "v0.32.0-four-steps.json.gz")))
			v := verifySteps(2, 0, target)
			v.Form, v.Tokens = "tokens", &TokensParams{Threshold: 26, Phase: PhaseAny}
			_, err := h.verify(v)
			failed(t, err, ExitWindow, c.want)
			failed(t, err, ExitWindow, "1 mixed (25 tokens)")
		})
	}
}
