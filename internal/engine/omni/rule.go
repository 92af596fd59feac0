package omni

import (
	"errors"
	"strconv"

	"profjob/internal/engine"
)

// Rule is what the token logic of a server is told: at which pass it begins and
// after how many it stops.
type Rule struct {
	Threshold    int
	StopStep     int
	Prefill      bool // G3 on: begin at more tokens than Threshold, too
	SkipRequests int  // G3 on
}

// Variables gives the environment variables that say the rule to a generation.
// Every one that the generation has is there, so that none of an outer environment
// is left to decide.
func (r Rule) Variables(g Generation) map[string]string {
	v := g.trait().variables
	values := map[string]string{v.threshold: strconv.Itoa(r.Threshold), v.stop: strconv.Itoa(r.StopStep)}
	if v.prefill != "" {
		values[v.prefill] = strconv.FormatBool(r.Prefill) // G3 knows the word, and no 1
		values[v.skip] = strconv.Itoa(r.SkipRequests)
	}
	return values
}

// Passes is how many passes the rule records: the logic counts from 0, adds 1
// after each pass, the first included, and stops once the count is above StopStep.
func (r Rule) Passes() int { return r.StopStep + 1 }

// stopStep records steps whole engine steps and spare passes beyond them. Where
// sampling may come after execute_model, the last pass may be recorded without it,
// so that it takes one pass more; the trace is cut.
func stopStep(g Generation, steps, spare int) int {
	if g.trait().samplesApart {
		spare++
	}
	return steps - 1 + spare
}

// Grade says how well a generation's rule gives a window.
type Grade string

// The grades.
const (
	// Exact: the logic begins at the very first step that qualifies, always.
	Exact Grade = "exact"
	// Proved: it begins at a step that qualifies in all but odd cases, or passes odd
	// ones over; the trace shows whether what was recorded is what was asked for.
	Proved Grade = "proved"
	// Cannot: it begins elsewhere, or never. A *Refusal says why.
	Cannot Grade = "cannot"
)

// The phases of a window, as the language has them.
const (
	phaseAny     = "any"
	phaseDecode  = "decode"
	phasePrefill = "prefill"
	phaseMixed   = "mixed"
)

// fitted is how a rule gives a window.
type fitted struct {
	rule  Rule
	grade Grade
	notes []string
}

func (f *fitted) lower(note string) {
	f.grade = Proved
	f.notes = append(f.notes, note)
}

// Fit computes the rule that gives a window on a generation, and how well it does,
// whatever the process that it runs in. The error joins a *Refusal for each reason
// why none does.
//
// The steps at which a rule with threshold T begins, n being the tokens of the
// step: G1 n ≥ T; G2 n = requests of the step = T; G3 and G4 n = T, with the
// prefill switch n ≥ T; G5 n = T where the step brings no new request, with the
// switch n > T, too. None looks at the class of the step.
func Fit(g Generation, w engine.TokenWindow, l Limits) (Rule, Grade, []string, error) {
	if l.MaxNumBatchedTokens > 0 && w.AtMost >= l.MaxNumBatchedTokens {
		w.AtMost = 0 // no step has more
	}
	var refusals []error
	if r := unreachable(g, w, l); r != nil {
		refusals = append(refusals, r)
	}
	if w.SkipRequests > 0 && g.trait().variables.skip == "" {
		refusals = append(refusals, &Refusal{
			What:    "skip_requests",
			Why:     "generation " + string(g) + " counts no requests; the fork does from g3 on",
			Instead: "leave skip_requests out, or " + useTheGate,
		})
	}
	f, r := fitClass(g, w, l)
	if r != nil {
		refusals = append(refusals, r)
	}
	if len(refusals) > 0 {
		return Rule{}, Cannot, nil, errors.Join(refusals...)
	}
	f.rule.StopStep = stopStep(g, w.Steps, w.Spare)
	f.rule.SkipRequests = w.SkipRequests
	if w.All && w.Steps > 1 {
		f.lower("all = true: the fork looks at the first step only; the trace shows whether every one qualifies")
	}
	return f.rule, f.grade, f.notes, nil
}

// fitClass chooses threshold and prefill switch by phase and bounds.
func fitClass(g Generation, w engine.TokenWindow, l Limits) (fitted, *Refusal) {
	f := fitted{rule: Rule{Threshold: w.Threshold}, grade: Exact}
	if w.Phase == "" {
		w.Phase = phaseAny
	}
	switch {
	case w.Phase == phaseMixed:
		return f, &Refusal{
			What:    `phase = "mixed"`,
			Why:     "no generation of the fork tells a mixed step from a prefill, and a prefill nearly always comes first",
			Instead: useTheGate,
		}
	case g == G1:
		return fitG1(f, w, l)
	case w.Phase == phaseDecode:
		return fitDecode(f, g, w), nil
	case g == G2:
		return fitG2(f, w)
	case w.AtMost == 0:
		return fitAtLeast(f, g, w, l), nil
	}
	return fitExactly(f, g, w, l)
}

// fitG1: at least so many tokens is all that it can be told.
func fitG1(f fitted, w engine.TokenWindow, l Limits) (fitted, *Refusal) {
	if w.AtMost > 0 {
		return f, &Refusal{
			What:    "at_most on generation g1",
			Why:     "it begins at any step with at least threshold tokens, however many",
			Instead: "leave at_most out, or " + useTheGate,
		}
	}
	if w.Phase == phaseDecode {
		return f, &Refusal{
			What:    `phase = "decode" on generation g1`,
			Why:     "it begins at any step with at least threshold tokens, and a prefill of so many comes before a decode of so many",
			Instead: `write phase = "any", which is what it does, for a server that only decodes, or ` + useTheGate,
		}
	}
	if w.Phase == phasePrefill {
		f.lower(decodesToo(w, l))
	}
	return f, nil
}

// fitDecode: from G2 on the rule begins at exactly so many tokens, which at a batch
// that only decodes are as many requests.
func fitDecode(f fitted, g Generation, w engine.TokenWindow) fitted {
	f.lower(map[Generation]string{
		G2: "begins at a step of exactly threshold requests with one token each; a prefill of one token looks the same to it",
		G3: "begins at a step of exactly threshold tokens; a prefill of exactly so many looks the same to it",
		G4: "begins at a step of exactly threshold tokens; a prefill of exactly so many looks the same to it",
		G5: "begins at a step of exactly threshold tokens without a new request; the rest of a prompt of exactly so many looks the same to it",
	}[g])
	if w.AtMost != w.Threshold {
		f.notes = append(f.notes, "a batch that grows past threshold without a step of exactly threshold tokens is passed over: keep the load at threshold requests")
	}
	return f
}

// fitG2: other classes than decode never have as many tokens as requests.
func fitG2(f fitted, w engine.TokenWindow) (fitted, *Refusal) {
	if w.Phase == phaseAny && w.AtMost == w.Threshold {
		if w.Threshold == 1 {
			return f, nil // one token is one request
		}
		f.lower("begins at a step of exactly threshold requests with one token each, which is a decode: a prefill of exactly threshold tokens is passed over")
		return f, nil
	}
	return f, &Refusal{
		What:    `phase = "` + w.Phase + `" on generation g2`,
		Why:     "it begins only where tokens and requests of the step both are exactly threshold, and so passes prefills over",
		Instead: `write phase = "decode", which is what it does, or ` + useTheGate,
	}
}

// fitAtLeast: with the prefill switch, G3 and G4 begin at n = T and n > T. G5
// begins at n > T, and at n = T only without a new request. T − 1 there would begin
// at T − 1 tokens without a new request, too soon; passing one case over is better
// than recording a window that was not asked for.
func fitAtLeast(f fitted, g Generation, w engine.TokenWindow, l Limits) fitted {
	f.rule.Prefill = true
	if g == G5 {
		f.lower("a step of exactly threshold tokens that brings a new request is passed over; one token more begins")
	}
	if w.Phase == phasePrefill {
		f.lower(decodesToo(w, l))
	}
	return f
}

// fitExactly: without the switch, the rule is n = T, and there is no other bound.
func fitExactly(f fitted, g Generation, w engine.TokenWindow, l Limits) (fitted, *Refusal) {
	switch {
	case w.AtMost != w.Threshold:
		return f, &Refusal{
			What:    "at_most above threshold",
			Why:     "the fork begins at exactly threshold tokens, or at any number above: it knows no other bound",
			Instead: "write at_most = threshold, or leave it out, or " + useTheGate,
		}
	case w.Phase == phasePrefill && g == G5:
		return f, &Refusal{
			What:    `phase = "prefill" with at_most on generation g5`,
			Why:     "at exactly threshold tokens it begins only without a new request, and a prefill brings one",
			Instead: "leave at_most out, or " + useTheGate,
		}
	case g == G5:
		f.lower("a step of exactly threshold tokens that brings a new request is passed over")
	case w.Phase == phasePrefill:
		f.lower(decodesToo(w, l))
	}
	return f, nil
}

// decodesToo is the note for a prefill that the rule takes by its tokens alone.
func decodesToo(w engine.TokenWindow, l Limits) string {
	if most := l.mostDecodeTokens(); most > 0 && w.Threshold > most {
		return "a mixed step of so many tokens begins it, too; the first step of a load is a prefill"
	}
	return "a mixed step, and a decode of so many requests, begins it, too: a threshold above max_num_seqs keeps decodes out"
}

// unreachable refuses a threshold that no step can meet.
func unreachable(g Generation, w engine.TokenWindow, l Limits) *Refusal {
	one := g == G2 || w.Phase == phaseDecode && g != G1 // a decode it must be
	most := l.mostDecodeTokens()
	switch {
	case g == G2 && l.SpeculativeTokens > 0:
		return &Refusal{
			What:    "a window by tokens on generation g2 with speculative decoding",
			Why:     "it begins only where a step has as many tokens as requests, and a decode with draft tokens has more: it would never begin",
			Instead: "launch the server without speculative decoding, or " + useTheGate,
		}
	case l.MaxNumBatchedTokens > 0 && w.Threshold > l.MaxNumBatchedTokens:
		return tooHigh(w.Threshold, l.MaxNumBatchedTokens, "tokens in one step (max_num_batched_tokens)")
	case one && most > 0 && w.Threshold > most:
		return tooHigh(w.Threshold, most, "tokens in a step that only decodes (max_num_seqs)")
	}
	return nil
}

func tooHigh(threshold, most int, of string) *Refusal {
	return &Refusal{
		What:    "threshold = " + strconv.Itoa(threshold),
		Why:     "the server schedules at most " + strconv.Itoa(most) + " " + of + ": the fork would never begin",
		Instead: "lower threshold to " + strconv.Itoa(most) + " or less, or raise the server's limit",
	}
}
