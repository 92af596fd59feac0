package trace

// lastIsWhole decides whether the last pass of a trace is in it with its
// sampling. Every other pass is, for the next one follows it.
//
// vLLM's annotation covers execute_model only; sampling is a call of its own
// after it, and a profiler can be stopped between the two, though not within
// either. So the tail of a pass, the operators after its span, is there or
// missing. What a tail holds is learnt from the other passes of the same
// trace: the names that occur in the tail of every earlier engine step. The
// last step is whole if it has at least half of them. Half, because the tail
// of an earlier step also holds what the server did to prepare the next one
// (SGLang does that before its span), which the last step has no need of.
//
//   - No common names, and an operator that chooses tokens, such as argmax, in
//     the tail of an earlier step: whole if there is one in its own tail.
//   - No common names, and none such: sampling is within the span (or this rank
//     does not sample): whole.
//   - No earlier engine step to learn from: whole if the step holds an
//     operator that chooses tokens. That may call a step
//     incomplete whose sampler has no operator of its own, never the reverse.
//   - An idle pass needs nothing.
func (l *lane) lastIsWhole(passes []Pass) bool {
	last := &passes[len(passes)-1]
	if last.Class == Idle {
		return true
	}
	earlier := passes[:len(passes)-1]
	expected := l.commonTail(earlier)
	switch {
	case expected == nil:
		return l.has(sampler, last.Start, last.End)
	case len(expected) == 0 && l.samplesInTail(earlier):
		return l.has(sampler, last.SpanEnd, last.End)
	}
	have := 0
	for name := range l.namesIn(last.SpanEnd, last.End) {
		if expected[name] {
			have++
		}
	}
	return 2*have >= len(expected)
}

// commonTail gives the names that the tail of every one of these engine steps
// has; nil where there is no engine step.
func (l *lane) commonTail(passes []Pass) map[uint32]bool {
	var common map[uint32]bool
	for i := range passes {
		p := &passes[i]
		if p.Class == Idle {
			continue
		}
		names := l.namesIn(p.SpanEnd, p.End)
		if common == nil {
			common = names
			continue
		}
		for name := range common {
			if !names[name] {
				delete(common, name)
			}
		}
	}
	return common
}

// samplesInTail says whether the tail of any of these engine steps chooses tokens.
func (l *lane) samplesInTail(passes []Pass) bool {
	for i := range passes {
		p := &passes[i]
		if p.Class != Idle && l.has(sampler, p.SpanEnd, p.End) {
			return true
		}
	}
	return false
}

func (l *lane) namesIn(from, to int64) map[uint32]bool {
	names := map[uint32]bool{}
	for _, o := range l.opsIn(from, to) {
		names[o.name] = true
	}
	return names
}

// lastHasSampled is the rule under structure, where there is no span: whole if
// the last pass chooses tokens, or if no pass of the trace does (a pipeline
// stage before the last).
func (l *lane) lastHasSampled(passes []Pass) bool {
	last := &passes[len(passes)-1]
	if l.has(sampler, last.Start, last.End) {
		return true
	}
	for i := range passes[:len(passes)-1] {
		if l.has(sampler, passes[i].Start, passes[i].End) {
			return false
		}
	}
	return len(passes) > 1
}
