package trace

// launches are the passes of a thread that replays graphs and looks up no tokens
// outside of them.
func (l *lane) launches() []mark {
	if len(l.of(graph)) == 0 || len(l.of(embedding)) > 0 {
		return nil
	}
	return l.replayed()
}

// replayed finds the passes of a thread that replays graphs. Not all of its passes
// need to: vLLM runs decodes from full graphs (one launch a pass), small batches with
// prompts from piecewise ones (many), and what is larger than any graph without,
// eagerly (then there is a look-up) or compiled (then there may be neither).
//
// What all of them have is the choice of tokens, after the forward: the first mark
// after one begins a pass. So does a choice of tokens with a forward between it and
// the one before, of a pass without a mark of its own.
//
// Without any choice of tokens (a pipeline stage before the last) only a single
// launch is a pass for sure.
func (l *lane) replayed() []mark {
	if len(l.of(sampler)) == 0 {
		if len(l.marks) > 1 {
			return nil
		}
		return l.of(graph)
	}
	var kept []mark
	sampled, end := true, l.ops[0].start // what is at work before belongs to no pass
	for _, m := range l.marks {
		switch {
		case m.kind != sampler && sampled:
			kept, sampled = append(kept, m), false
		case m.kind != sampler:
		case sampled && len(l.opsIn(end, m.start)) >= leastForward:
			kept, end = append(kept, m), m.end
		default:
			sampled, end = true, m.end
		}
	}
	return kept
}

// leastForward is from how many operators on what lies between two choices of tokens
// is a forward, and not more of the same sampling: that has some dozens (temperature,
// top-k, top-p, logarithms), a compiled forward some a layer.
const leastForward = 100
