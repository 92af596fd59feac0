package omni

import (
	"errors"
	"strings"
	"testing"

	"profjob/internal/engine"
)

func TestJudge(t *testing.T) {
	tokens := func(w engine.TokenWindow) *engine.TokenWindow {
		w.Steps = max(1, w.Steps)
		return &w
	}
	plain := tokens(engine.TokenWindow{Threshold: 64, Phase: phaseAny, Steps: 5})
	decode := tokens(engine.TokenWindow{Threshold: 64, Phase: phaseDecode, Steps: 5})
	skipping := tokens(engine.TokenWindow{Threshold: 64, Steps: 5, SkipRequests: 100})
	for _, c := range []struct {
		name     string
		ask      Ask
		grade    Grade
		refused  []string // each must be in the error
		note     string
		relaunch bool
		rule     *Rule
	}{
		{name: "launched, once", ask: Ask{Generation: G3, Launched: true, Tokens: plain}, grade: Exact, rule: &Rule{Threshold: 64, StopStep: 5, Prefill: true}},
		{name: "launched, several rounds", ask: Ask{Generation: G3, Launched: true, Tokens: plain, Repeat: 3, Attempts: 1}, grade: Exact, relaunch: true, rule: &Rule{Threshold: 64, StopStep: 5, Prefill: true}},
		{name: "launched, several attempts", ask: Ask{Generation: G2, Launched: true, Tokens: decode, Attempts: 3}, grade: Proved, relaunch: true, rule: &Rule{Threshold: 64, StopStep: 5}},
		{name: "running, in token mode", ask: Ask{Generation: G3, TokenMode: true, Tokens: plain, Repeat: 1, Attempts: 1}, grade: Exact, rule: &Rule{Threshold: 64, StopStep: 5, Prefill: true}},
		{name: "running, in token mode, several rounds", ask: Ask{Generation: G3, TokenMode: true, Tokens: plain, Repeat: 2},
			refused: []string{"repeat = 2 on a server that profjob did not launch", "once in the life of a process", "launch block", "gate block"}},
		{name: "running, in token mode, several attempts", ask: Ask{Generation: G3, TokenMode: true, Tokens: plain, Attempts: 3},
			refused: []string{"attempts = 3 on a server that profjob did not launch", "attempts = 1"}},
		{name: "running, not known to be in token mode", ask: Ask{Generation: G3, Tokens: plain},
			refused: []string{"runs already", "reads its variables once", "profjob env", "token_mode = true"}},
		{name: "Ray", ask: Ask{Generation: G3, Ray: true, Launched: true, Tokens: plain}, refused: []string{"in Ray mode", "never begins", "gate block"}},
		{name: "Ray, and all else that is wrong", ask: Ask{Generation: G1, Ray: true, Tokens: decode, Repeat: 2, Warmup: true},
			refused: []string{"in Ray mode", "runs already", "repeat = 2", "a warmup", `phase = "decode" on generation g1`}},
		{name: "warmup", ask: Ask{Generation: G2, Launched: true, Tokens: decode, Warmup: true}, refused: []string{"record the warmup", "leave the warmup block out"}},
		{name: "warmup, where requests can be skipped", ask: Ask{Generation: G5, Launched: true, Tokens: decode, Warmup: true}, refused: []string{"skip_requests"}},
		{name: "warmup that is skipped", ask: Ask{Generation: G3, Launched: true, Tokens: skipping, Warmup: true}, grade: Exact,
			note: "counts the requests of the warmup", rule: &Rule{Threshold: 64, StopStep: 5, Prefill: true, SkipRequests: 100}},
		{name: "warmup that cannot be skipped", ask: Ask{Generation: G1, Launched: true, Tokens: skipping, Warmup: true}, refused: []string{"counts no requests", "a warmup"}},

		{name: "by hand, launched", ask: Ask{Generation: G3, Launched: true, Repeat: 3, Attempts: 3, Warmup: true}, grade: Exact},
		{name: "by hand, running", ask: Ask{Generation: G5, Repeat: 3}, grade: Exact},
		{name: "by hand, in Ray mode", ask: Ask{Generation: G3, Ray: true}, grade: Exact},
		{name: "by hand, in token mode", ask: Ask{Generation: G3, TokenMode: true}, refused: []string{"PROFILER_TOKEN_THRESHOLD set it answers 200 to a start and does nothing", "without that variable", "gate block"}},
		{name: "by hand, in token mode, under new names", ask: Ask{Generation: G5, TokenMode: true}, refused: []string{"OMNI_PROFILE_TOKEN_THRESHOLD set its token logic has the same profiler", "ends whatever is recording", "without that variable"}},
		{name: "by hand, in token mode", ask: Ask{Generation: G2, TokenMode: true}, refused: []string{"answers 200 to a start and does nothing"}},
		{name: "by hand, launched without token mode", ask: Ask{Generation: G3, TokenMode: true, Launched: true}, grade: Exact},
		{name: "by hand, always on", ask: Ask{Generation: G1, Launched: true}, grade: Exact, note: "a number that no step reaches"},
		{name: "by hand, always on, running", ask: Ask{Generation: G1, TokenMode: true}, grade: Exact, note: "it records 6 passes from the first step with 1 token on"},
	} {
		t.Run(string(c.ask.Generation)+" "+c.name, func(t *testing.T) {
			v, err := Judge(c.ask)
			if c.refused != nil {
				var refusal *Refusal
				if !errors.As(err, &refusal) || v.Grade != Cannot || v.Rule != nil {
					t.Fatalf("got %+v, %v; want a refusal", v, err)
				}
				for _, text := range c.refused {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%v does not say %q", err, text)
					}
				}
				if refusal.What == "" || refusal.Why == "" || refusal.Instead == "" {
					t.Errorf("%+v says not all", refusal)
				}
				return
			}
			if err != nil || v.Grade != c.grade || v.Relaunch != c.relaunch {
				t.Errorf("got %+v, %v; want %s, relaunch %t", v, err, c.grade, c.relaunch)
			}
			if (v.Rule == nil) != (c.rule == nil) || v.Rule != nil && *v.Rule != *c.rule {
				t.Errorf("rule %+v, want %+v", v.Rule, c.rule)
			}
			if !strings.Contains(strings.Join(v.Notes, "; "), c.note) {
				t.Errorf("notes %q, want one with %q", v.Notes, c.note)
			}
		})
	}
}
