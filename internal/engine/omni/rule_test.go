package omni

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/engine"
)

// pass is one call of the worker, as far as the fork's logic or a window looks at it.
type pass struct {
	tokens, requests int
	fresh            int // requests that are scheduled for the first time
	seen             int // such requests since the launch, those of this pass included
	class            string
}

// begins is the condition at which each generation starts the profiler, written
// from what its execute_model does.
func begins(g Generation, r Rule, p pass) bool {
	armed := p.seen > r.SkipRequests
	switch g {
	case G1:
		return p.tokens >= r.Threshold
	case G2:
		return p.tokens == p.requests && p.requests == r.Threshold
	case G5:
		return armed && (r.Prefill && p.tokens > r.Threshold || p.fresh == 0 && p.tokens == r.Threshold)
	}
	return armed && (r.Prefill && p.tokens > r.Threshold || p.tokens == r.Threshold)
}

// qualifies is what the window asks of its first step.
func qualifies(w engine.TokenWindow, p pass) bool {
	return p.tokens >= max(1, w.Threshold) && (w.AtMost == 0 || p.tokens <= w.AtMost) &&
		(w.Phase == phaseAny || w.Phase == p.class) && p.seen > w.SkipRequests
}

// The server of the model.
const (
	mostSeqs   = 5
	mostTokens = 8
)

var limits = Limits{MaxNumSeqs: mostSeqs, MaxNumBatchedTokens: mostTokens}

// universe has every pass that a server of these limits can make.
func universe() []pass {
	var all []pass
	for decodes := 0; decodes <= mostSeqs; decodes++ {
		for prefills := 0; decodes+prefills <= mostSeqs; prefills++ {
			for prompt := prefills; decodes+prompt <= mostTokens && (prefills > 0 || prompt == 0); prompt++ {
				for fresh := 0; fresh <= prefills; fresh++ {
					for gone := 0; gone <= 3; gone++ { // requests that came before and are not in this pass
						all = append(all, pass{
							tokens: decodes + prompt, requests: decodes + prefills, fresh: fresh, seen: gone + decodes + prefills,
							class: classOf(decodes, prefills),
						})
					}
				}
			}
		}
	}
	return all
}

func classOf(decodes, prefills int) string {
	switch {
	case decodes > 0 && prefills > 0:
		return phaseMixed
	case prefills > 0:
		return phasePrefill
	case decodes > 0:
		return phaseDecode
	}
	return "idle"
}

// windows are all forms that the language has, within the limits.
func windows() []engine.TokenWindow {
	var all []engine.TokenWindow
	for threshold := 1; threshold <= mostTokens-2; threshold++ {
		for _, phase := range []string{phaseAny, phaseDecode, phasePrefill, phaseMixed} {
			for _, atMost := range []int{0, threshold, threshold + 1} {
				for _, skip := range []int{0, 2} {
					all = append(all, engine.TokenWindow{Threshold: threshold, AtMost: atMost, Phase: phase, Steps: 3, SkipRequests: skip})
				}
			}
		}
	}
	return all
}

// rules are all that a generation can be told.
func rules() []Rule {
	var all []Rule
	for threshold := 0; threshold <= mostTokens+1; threshold++ {
		for _, prefill := range []bool{false, true} {
			for skip := 0; skip <= 3; skip++ {
				all = append(all, Rule{Threshold: threshold, Prefill: prefill, SkipRequests: skip})
			}
		}
	}
	return all
}

func exact(g Generation, r Rule, w engine.TokenWindow, all []pass) bool {
	return !slices.ContainsFunc(all, func(p pass) bool { return begins(g, r, p) != qualifies(w, p) })
}

// TestFitIsExactWhereAnyRuleIs goes through every window and every rule: Fit finds
// an exact rule if there is one, and claims none where there is not; so what it
// refuses has none. What it says is proved begins somewhere where it should.
func TestFitIsExactWhereAnyRuleIs(t *testing.T) {
	all := universe()
	for _, g := range Generations() {
		for _, w := range windows() {
			rule, grade, _, err := Fit(g, w, limits)
			if !slices.ContainsFunc(all, func(p pass) bool { return qualifies(w, p) }) {
				if grade == Exact {
					t.Errorf("%s %+v: exact, and no pass can be such a one", g, w)
				}
				continue
			}
			possible := slices.ContainsFunc(rules(), func(r Rule) bool { return exact(g, r, w, all) })
			at := fmt.Sprintf("%s %+v", g, w)
			switch {
			case (grade == Cannot) != (err != nil):
				t.Errorf("%s: %s, with error %v", at, grade, err)
			case possible != (grade == Exact):
				t.Errorf("%s: %s, but an exact rule is there: %t", at, grade, possible)
			case grade == Exact && !exact(g, rule, w, all):
				t.Errorf("%s: %+v is not exact", at, rule)
			case grade == Proved && !slices.ContainsFunc(all, func(p pass) bool { return begins(g, rule, p) && qualifies(w, p) }):
				t.Errorf("%s: %+v never begins where it should", at, rule)
			}
		}
	}
}

// TestFitNeverTooSoon: a rule without a class never begins at a step that has too
// few tokens, too many, or comes before the requests to be skipped.
func TestFitNeverTooSoon(t *testing.T) {
	for _, g := range Generations() {
		for _, w := range windows() {
			rule, grade, _, _ := Fit(g, w, limits)
			if grade == Cannot {
				continue
			}
			classless := w
			classless.Phase = phaseAny
			for _, p := range universe() {
				if begins(g, rule, p) && !qualifies(classless, p) {
					t.Errorf("%s %+v: %+v begins at %+v", g, w, rule, p)
					break
				}
			}
		}
	}
}

// recorder is the worker: it starts before the pass that the rule begins at, counts
// after each, stops above the stop step, and never starts again.
type recorder struct {
	g                 Generation
	r                 Rule
	started, finished bool
	step              int
	recorded          []int // passes, by their number
}

func (w *recorder) execute(i int, p pass) {
	if !w.started && begins(w.g, w.r, p) {
		w.started, w.step = true, 0
	}
	if w.started && !w.finished {
		w.recorded = append(w.recorded, i)
		w.step++
		w.finished = w.step > w.r.StopStep
	}
}

// whole are the recorded passes whose sampling was recorded, too, on a build that
// samples in a call of its own or on one that does not.
func (w *recorder) whole(apart bool) []int {
	if apart {
		return w.recorded[:len(w.recorded)-1]
	}
	return w.recorded
}

// builds of a generation: whether they sample apart.
func builds(g Generation) []bool {
	switch g {
	case G1:
		return []bool{false}
	case G2:
		return []bool{false, true}
	}
	return []bool{true}
}

// TestRecordsWhatWasAsked plays random loads to the worker of each generation:
// where Fit says exact, the first N whole steps are those of the window, and no more
// than one follows, which is cut off.
func TestRecordsWhatWasAsked(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := universe()
	busy := slices.DeleteFunc(slices.Clone(all), func(p pass) bool { return p.tokens == 0 })
	played := 0
	for _, g := range Generations() {
		for _, w := range windows() {
			for _, steps := range []int{1, 2, 5} {
				w.Steps = steps
				rule, grade, _, _ := Fit(g, w, limits)
				if grade != Exact {
					continue
				}
				stream := load(random, busy, 200)
				first := slices.IndexFunc(stream, func(p pass) bool { return qualifies(w, p) })
				if first < 0 || first+steps >= len(stream) {
					continue
				}
				worker := &recorder{g: g, r: rule}
				for i, p := range stream {
					worker.execute(i, p)
				}
				played++
				if len(worker.recorded) != rule.Passes() {
					t.Errorf("%s %+v: %d passes recorded, want %d", g, w, len(worker.recorded), rule.Passes())
				}
				for _, apart := range builds(g) {
					got := worker.whole(apart)
					if len(got) < steps || len(got) > steps+1 || got[0] != first {
						t.Errorf("%s %+v, sampling apart %t: whole steps %v, want %d from %d on", g, w, apart, got, steps, first)
					}
				}
			}
		}
	}
	if played < 50 {
		t.Errorf("only %d loads were played", played)
	}
}

// load is a random row of passes in which the requests seen add up; it begins with
// passes of few requests.
func load(random *rand.Rand, busy []pass, n int) []pass {
	var stream []pass
	seen := 0
	for len(stream) < n {
		p := busy[random.IntN(len(busy))]
		if p.requests > 1+len(stream)/4 {
			continue
		}
		seen = max(seen+p.fresh, p.requests)
		p.seen = seen
		stream = append(stream, p)
	}
	return stream
}

func TestStopStep(t *testing.T) {
	for _, c := range []struct {
		g            Generation
		steps, spare int
		want         int
	}{
		{G1, 1, 0, 0}, {G1, 6, 0, 5}, {G1, 6, 2, 7}, {G2, 1, 0, 1}, {G2, 5, 0, 5},
		{G3, 1, 0, 1}, {G3, 5, 0, 5}, {G4, 5, 0, 5}, {G5, 5, 0, 5}, {G5, 5, 3, 8},
	} {
		rule, _, _, err := Fit(c.g, engine.TokenWindow{Threshold: 4, Phase: map[Generation]string{G2: phaseDecode}[c.g], Steps: c.steps, Spare: c.spare}, Limits{})
		if err != nil || rule.StopStep != c.want {
			t.Errorf("%s, %d steps and %d spare: stop step %d, %v; want %d", c.g, c.steps, c.spare, rule.StopStep, err, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	rule := Rule{Threshold: 64, StopStep: 5, Prefill: true, SkipRequests: 3}
	for g, want := range map[Generation]map[string]string{
		G1: {"PROFILER_TOKEN_THRESHOLD": "64", "PROFILER_STOP_STEP": "5"},
		G2: {"PROFILER_TOKEN_THRESHOLD": "64", "PROFILER_STOP_STEP": "5"},
		G3: {"PROFILER_TOKEN_THRESHOLD": "64", "PROFILER_STOP_STEP": "5", "ENABLE_PREFILL_PROFILER": "true", "PROFILER_SKIP_REQUESTS": "3"},
		G4: {"PROFILER_TOKEN_THRESHOLD": "64", "PROFILER_STOP_STEP": "5", "ENABLE_PREFILL_PROFILER": "true", "PROFILER_SKIP_REQUESTS": "3"},
		G5: {"OMNI_PROFILE_TOKEN_THRESHOLD": "64", "OMNI_PROFILE_STOP_STEP": "5", "OMNI_ENABLE_PREFILL_PROFILER": "true", "OMNI_PROFILE_SKIP_REQUESTS": "3"},
	} {
		if diff := cmp.Diff(want, rule.Variables(g)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g, diff)
		}
	}
}

func TestUnreachable(t *testing.T) {
	decode := func(threshold int) engine.TokenWindow {
		return engine.TokenWindow{Threshold: threshold, Phase: phaseDecode, Steps: 5}
	}
	anyOf := func(threshold int) engine.TokenWindow { return engine.TokenWindow{Threshold: threshold, Steps: 5} }
	seqs := Limits{MaxNumSeqs: 64, MaxNumBatchedTokens: 2048}
	drafts := Limits{MaxNumSeqs: 64, SpeculativeTokens: 1}
	for _, c := range []struct {
		name    string
		g       Generation
		window  engine.TokenWindow
		limits  Limits
		refused bool
	}{
		{"as many as there are seats", G3, decode(64), seqs, false},
		{"more than there are seats", G3, decode(65), seqs, true},
		{"more than there are seats", G2, decode(65), seqs, true},
		{"more than there are seats", G5, decode(65), seqs, true},
		{"more than there are seats, unknown", G5, decode(65), Limits{}, false},
		{"more than there are seats, of any class", G3, anyOf(65), seqs, false},
		{"all of a step", G1, anyOf(2048), seqs, false},
		{"more than a step", G1, anyOf(2049), seqs, true},
		{"more than a step", G3, anyOf(2049), seqs, true},
		{"with drafts", G3, decode(128), drafts, false},
		{"too many with drafts", G3, decode(129), drafts, true},
		{"tokens are never as many as requests", G2, decode(4), drafts, true},
	} {
		_, grade, _, err := Fit(c.g, c.window, c.limits)
		var refusal *Refusal
		if (grade == Cannot) != c.refused || errors.As(err, &refusal) != c.refused {
			t.Errorf("%s, %s: %s, %v; refused should be %t", c.g, c.name, grade, err, c.refused)
		}
	}
}

// TestBoundThatSaysNothing: at_most of all that a step can have is no bound.
func TestBoundThatSaysNothing(t *testing.T) {
	w := engine.TokenWindow{Threshold: 4, AtMost: 2048, Steps: 5}
	if _, grade, _, err := Fit(G1, w, Limits{MaxNumBatchedTokens: 2048}); grade != Exact {
		t.Errorf("%s, %v", grade, err)
	}
	if _, grade, _, _ := Fit(G1, w, Limits{MaxNumBatchedTokens: 2049}); grade != Cannot {
		t.Errorf("%s, with a bound that binds", grade)
	}
}

// TestAll: the fork never looks at any but the first step.
func TestAll(t *testing.T) {
	for steps, want := range map[int]Grade{1: Exact, 2: Proved} {
		if _, grade, notes, err := Fit(G3, engine.TokenWindow{Threshold: 4, Steps: steps, All: true}, Limits{}); grade != want || err != nil {
			t.Errorf("%d steps: %s, %v, %v", steps, grade, notes, err)
		}
	}
}
