package trace

// annotated finds the passes of a thread by the spans of one rank. A span
// within another is the same pass written twice (SGLang's detailed files have
// an execute_… around each step[…]): what it tells is merged into the outer.
func (l *lane) annotated(r rank) []Pass {
	var spans []note
	for _, n := range l.notes {
		if n.rank != r {
			continue
		}
		if k := len(spans); k > 0 && n.start < spans[k-1].end {
			spans[k-1].merge(n.annotation)
			continue
		}
		spans = append(spans, n)
	}
	passes := make([]Pass, len(spans))
	for i, n := range spans {
		passes[i] = n.pass(l)
	}
	l.closePasses(passes)
	if k := len(passes); k > 0 {
		passes[k-1].Whole = r == profilerStep || l.lastIsWhole(passes)
	}
	return passes
}

// scoped finds the passes of a thread by the spans around the forward. A pass
// starts with the preprocessing scope before it (vLLM: all of the server's own
// scopes are there or none), else as under structure.
func (l *lane) scoped() []Pass {
	passes := l.annotated(forwardScope)
	if len(passes) == 0 {
		return nil
	}
	markers := make([]int64, len(passes))
	for i := range passes {
		markers[i] = passes[i].Start
	}
	starts := l.boundaries(markers)
	for i, k := 0, 0; i < len(passes); i++ {
		for ; k < len(l.preprocess) && l.preprocess[k] <= markers[i]; k++ {
			if i == 0 || l.preprocess[k] >= passes[i-1].SpanEnd {
				starts[i] = l.preprocess[k]
			}
		}
		passes[i].Start = starts[i]
	}
	l.closePasses(passes)
	passes[len(passes)-1].Whole = l.lastIsWhole(passes)
	return passes
}

func (n *note) pass(l *lane) Pass {
	p := Pass{
		Name: n.text, Class: n.class,
		Requests: n.requests, Tokens: n.tokens,
		ContextRequests: n.contextRequests, ContextTokens: n.contextTokens,
		GenerationRequests: n.generationRequests, GenerationTokens: n.generationTokens,
		Start: n.start, SpanEnd: n.end, PID: l.pid, TID: l.tid,
	}
	if n.tokens != NotKnown {
		p.TokensFrom = Annotation
	}
	return p
}

// closePasses lets each pass end where the next one starts, which makes it
// whole, and fills in tokens that only the shapes tell.
func (l *lane) closePasses(passes []Pass) {
	k := 0
	for i := range passes {
		p := &passes[i]
		if i+1 < len(passes) {
			p.End, p.Whole = passes[i+1].Start, true
		} else {
			p.End = max(l.lastEnd(), p.SpanEnd)
		}
		for ; k < len(l.marks) && l.marks[k].start < p.End; k++ {
			m := &l.marks[k]
			if p.Tokens == NotKnown && m.kind == embedding && m.start >= p.Start && m.tokens != NotKnown {
				p.Tokens, p.TokensFrom = m.tokens, Structure
			}
		}
		p.resolveCached()
	}
}
