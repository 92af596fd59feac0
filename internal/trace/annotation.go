package trace

import (
	"strconv"
	"strings"
)

// rank orders the kinds of span that can mark a pass: a trace is read by the
// best kind that it has.
type rank uint8

const (
	noPass       rank = iota
	forwardScope      // named forward span: evidence Scope
	profilerStep      // torch's own span from one profiler.step() to the next
	serverSpan        // the server's annotation
)

// annotation is what the text of a span tells.
type annotation struct {
	rank  rank
	class Class

	requests, tokens                     int64
	contextRequests, contextTokens       int64
	generationRequests, generationTokens int64
}

// parseAnnotation reads the text of a user_annotation. Its rank is noPass for
// all the spans that mark no pass: `## Call CompiledFxGraph …`, `scheduler.…`,
// `nccl:…` and whatever else.
func parseAnnotation(text string) annotation {
	a := annotation{noPass, Unknown, NotKnown, NotKnown, NotKnown, NotKnown, NotKnown, NotKnown}
	switch {
	case strings.HasPrefix(text, "execute_"):
		a.parseVLLM(text[len("execute_"):])
	case strings.HasPrefix(text, "step[") && strings.HasSuffix(text, "]"):
		a.parseSGLang(text[len("step[") : len(text)-1])
	case strings.HasPrefix(text, "ProfilerStep#"):
		a.rank = profilerStep
	case forwardScopes[text]:
		a.rank = forwardScope
	}
	return a
}

// forwardScopes are the spans around the model's forward, vLLM with
// VLLM_CUSTOM_SCOPES_FOR_PROFILING=1: the first from 0.10.2, the second from
// 0.11.1.
var forwardScopes = map[string]bool{
	"Forward":                   true,
	"gpu_model_runner: forward": true,
}

// preprocessScopes start a pass where they come before its forward.
var preprocessScopes = map[string]bool{
	"Preprocess":                   true,
	"gpu_model_runner: preprocess": true,
}

// isPassSpan says whether a span of that text tells of passes. torch_npu writes such
// spans with the category of operators.
func isPassSpan(text string) bool {
	return preprocessScopes[text] || parseAnnotation(text).rank != noPass
}

// parseVLLM reads what follows execute_, in the forms of vLLM:
//
//	new_N_cached_M                                  0.11.1–0.13
//	context_R(T)_generation_R(T)                    from 0.14
//	context_R(T_S)_generation_R(T_S)                with the sum of T squared
//	N_context_R(sqTsk…)_generation_R(sqTsk…)        detailed, from 0.26
//
// R are requests, T tokens, N and M requests in the first and tokens of both
// kinds in the last.
func (a *annotation) parseVLLM(s string) {
	if rest, ok := strings.CutPrefix(s, "new_"); ok {
		a.parseNewCached(rest)
		return
	}
	total := int64(NotKnown)
	if !strings.HasPrefix(s, "context_") {
		var ok bool
		if total, s, ok = leadingInt(s); !ok || !strings.HasPrefix(s, "_context_") {
			return
		}
		s = s[1:]
	}
	context, generation, ok := strings.Cut(strings.TrimPrefix(s, "context_"), "_generation_")
	if !ok {
		return
	}
	cr, ct, ok := parseBatch(context)
	if !ok {
		return
	}
	gr, gt, ok := parseBatch(generation)
	if !ok {
		return
	}
	a.rank = serverSpan
	a.contextRequests, a.contextTokens = cr, ct
	a.generationRequests, a.generationTokens = gr, gt
	a.requests, a.tokens = cr+gr, ct+gt
	if total != NotKnown {
		a.tokens = total
	}
	a.class = classOf(a.tokens, cr, gr)
}

// parseBatch reads R(T), R(T_S) or R(sqTsk…).
func parseBatch(s string) (requests, tokens int64, ok bool) {
	requests, s, ok = leadingInt(s)
	if !ok || len(s) < 3 || s[0] != '(' || s[len(s)-1] != ')' {
		return 0, 0, false
	}
	s = strings.TrimPrefix(s[1:], "sq")
	tokens, _, ok = leadingInt(s)
	return requests, tokens, ok
}

// parseNewCached reads N_cached_M. New requests are in their prefill. A cached
// one may be decoding or in a later chunk of its prefill: without its tokens
// the text does not tell, see resolveCached.
func (a *annotation) parseNewCached(s string) {
	added, s, ok := leadingInt(s)
	if !ok || !strings.HasPrefix(s, "_cached_") {
		return
	}
	cached, s, ok := leadingInt(s[len("_cached_"):])
	if !ok || s != "" {
		return
	}
	a.rank = serverSpan
	a.requests = added + cached
	switch {
	case added+cached == 0:
		a.class, a.tokens = Idle, 0
		a.contextRequests, a.contextTokens, a.generationRequests, a.generationTokens = 0, 0, 0, 0
	case cached == 0:
		a.class, a.contextRequests = Prefill, added
		a.generationRequests, a.generationTokens = 0, 0
	case added > 0:
		a.class = Mixed
	}
}

// parseSGLang reads what stands in step[…] (SGLang from 0.5.11):
//
//	EXTEND bs=1 toks=4
//	DECODE bs=4
//
// and with detailed_annotations c_sq, g_sq (tokens of the context and of the
// generation part) and others.
func (a *annotation) parseSGLang(s string) {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return
	}
	value := map[string]int64{}
	for _, f := range fields[1:] {
		if k, v, ok := strings.Cut(f, "="); ok {
			if n, rest, ok := leadingInt(v); ok && rest == "" {
				value[k] = n
			}
		}
	}
	a.rank = serverSpan
	a.requests = valueOf(value, "bs")
	a.tokens = valueOf(value, "toks")
	a.contextTokens, a.generationTokens = valueOf(value, "c_sq"), valueOf(value, "g_sq")
	switch mode := fields[0]; {
	case mode == "IDLE" || a.requests == 0:
		a.class, a.requests, a.tokens = Idle, 0, 0
	case mode == "EXTEND" || mode == "SPLIT_PREFILL":
		a.extend()
	case mode == "DECODE":
		a.decode()
	case mode == "TARGET_VERIFY":
		a.class, a.generationRequests, a.contextRequests, a.contextTokens = Decode, a.requests, 0, 0
	case mode == "MIXED":
		a.class = Mixed
	}
}

func (a *annotation) extend() {
	a.class = Prefill
	a.contextRequests, a.generationRequests, a.generationTokens = a.requests, 0, 0
	if a.tokens == NotKnown {
		a.tokens = a.contextTokens
	}
	a.contextTokens = a.tokens
}

// decode: each request decodes one token, for speculative batches have a mode
// of their own.
func (a *annotation) decode() {
	a.class = Decode
	a.generationRequests, a.contextRequests, a.contextTokens = a.requests, 0, 0
	if a.generationTokens == NotKnown {
		a.generationTokens = a.requests
	}
	a.tokens = a.generationTokens
}

// resolveCached decides what a pass of cached requests only was, once its
// tokens are known from the shapes: one token a request is a decode, more is
// not told apart from speculation.
func (p *Pass) resolveCached() {
	if p.Class != Unknown || p.Requests <= 0 || p.Tokens != p.Requests {
		return
	}
	p.Class = Decode
	p.ContextRequests, p.ContextTokens = 0, 0
	p.GenerationRequests, p.GenerationTokens = p.Requests, p.Tokens
}

// merge fills in what is not known from the text of a span nested in this one
// (SGLang writes two around one pass).
func (a *annotation) merge(inner annotation) {
	if a.class == Unknown {
		a.class = inner.class
	}
	for _, f := range []struct {
		to   *int64
		from int64
	}{
		{&a.requests, inner.requests}, {&a.tokens, inner.tokens},
		{&a.contextRequests, inner.contextRequests}, {&a.contextTokens, inner.contextTokens},
		{&a.generationRequests, inner.generationRequests}, {&a.generationTokens, inner.generationTokens},
	} {
		if *f.to == NotKnown {
			*f.to = f.from
		}
	}
}

func classOf(tokens, contextRequests, generationRequests int64) Class {
	switch {
	case tokens == 0:
		return Idle
	case contextRequests > 0 && generationRequests > 0:
		return Mixed
	case contextRequests > 0:
		return Prefill
	case generationRequests > 0:
		return Decode
	default:
		return Unknown
	}
}

func valueOf(m map[string]int64, key string) int64 {
	if n, ok := m[key]; ok {
		return n
	}
	return NotKnown
}

// leadingInt reads the decimal digits at the start of s.
func leadingInt(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	return n, s[i:], err == nil && n < 1<<40
}
