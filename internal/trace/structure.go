package trace

import (
	"cmp"
	"slices"
)

// structural finds the passes of a thread by an operator that occurs once a
// pass. The first of these that a thread of the trace has:
//
//   - aten::embedding, which looks up the tokens: on CPU, and wherever the
//     model is not replayed from graphs;
//   - the launch of a graph: once a pass with full graphs, see graphs.go;
//   - an operator found by its rhythm, see onceAPass.
//
// Where the thread has operators that choose tokens, several embeddings (of
// positions, of images) or launches (piecewise graphs) without such an operator
// between them are one pass.
//
// A pass without tokens is not seen. A draft model's lookups between two passes
// count as passes of their own: with speculative decoding this evidence says
// too many.
func (l *lane) structural(markers []mark, names []string) []Pass {
	if len(markers) == 0 {
		return nil
	}
	times := make([]int64, len(markers))
	for i, m := range markers {
		times[i] = m.start
	}
	starts := l.boundaries(times)
	passes := make([]Pass, len(markers))
	for i, m := range markers {
		passes[i] = Pass{
			Name: names[m.name], Class: Unknown,
			Requests: NotKnown, Tokens: m.tokens,
			ContextRequests: NotKnown, ContextTokens: NotKnown,
			GenerationRequests: NotKnown, GenerationTokens: NotKnown,
			Start: starts[i], PID: l.pid, TID: l.tid,
		}
		if m.tokens != NotKnown {
			passes[i].TokensFrom = Structure
		}
	}
	l.closePasses(passes)
	for i := range passes {
		passes[i].SpanEnd = passes[i].End
	}
	passes[len(passes)-1].Whole = l.lastHasSampled(passes)
	return passes
}

func (l *lane) embeddings() []mark {
	embeddings := l.of(embedding)
	if len(embeddings) > 0 && len(l.of(graph)) > 0 {
		return l.replayed()
	}
	return oneAPass(embeddings, l.of(sampler))
}

// oneAPass leaves out the markers that no sampler separates from the one before
// them; without any samplers each counts.
func oneAPass(markers, samplers []mark) []mark {
	if len(samplers) == 0 || len(markers) == 0 {
		return markers
	}
	kept := markers[:1:1]
	s := 0
	for _, m := range markers[1:] {
		for s < len(samplers) && samplers[s].start < kept[len(kept)-1].start {
			s++
		}
		if s < len(samplers) && samplers[s].start < m.start {
			kept = append(kept, m)
		}
	}
	return kept
}

// onceAPass finds an operator that occurs once a pass by its rhythm: the rarest
// that has at least three companions, each of which occurs exactly once between
// two of its occurrences, and that is at work in at least half of the trace.
// Operators of each layer keep such a rhythm too, but are more frequent. What
// occurs once in the trace needs more companions: a few such stand in every
// trace.
func (l *lane) onceAPass() []mark {
	const companions, companionsOfOne = 3, 8
	times := map[uint32][]op{}
	for _, o := range l.ops {
		times[o.name] = append(times[o.name], o)
	}
	byCount := map[int][]uint32{}
	for name, ops := range times {
		byCount[len(ops)] = append(byCount[len(ops)], name)
	}
	counts := make([]int, 0, len(byCount))
	for n := range byCount {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	for _, n := range counts {
		class := byCount[n]
		slices.SortFunc(class, func(a, b uint32) int { return cmp.Compare(times[a][0].start, times[b][0].start) })
		if len(class) > 256 {
			class = class[:256]
		}
		need := companions
		if n == 1 {
			need = companionsOfOne
		}
		if len(class) <= need || !l.spread(times[class[0]]) {
			continue
		}
		for _, a := range class {
			if countCompanions(a, class, times) >= need {
				return marksOf(times[a])
			}
		}
	}
	return nil
}

// spread says whether these occurrences are at work in half of the trace.
func (l *lane) spread(ops []op) bool {
	n := int64(len(ops))
	if n == 1 {
		return true
	}
	whole := l.ops[len(l.ops)-1].end - l.ops[0].start
	return (ops[n-1].start-ops[0].start)/(n-1)*n >= whole/2
}

func countCompanions(a uint32, class []uint32, times map[uint32][]op) int {
	n := 0
	for _, b := range class {
		if b != a && alternate(times[a], times[b]) {
			n++
		}
	}
	return n
}

// alternate says whether exactly one of b starts between each two of a.
func alternate(a, b []op) bool {
	for i := 0; i+1 < len(a); i++ {
		if firstFrom(b, a[i+1].start)-firstFrom(b, a[i].start) != 1 {
			return false
		}
	}
	return true
}

func marksOf(ops []op) []mark {
	marks := make([]mark, len(ops))
	for i, o := range ops {
		marks[i] = mark{start: o.start, end: o.end, name: o.name, tokens: NotKnown}
	}
	return marks
}
