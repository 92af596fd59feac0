package gate

import "fmt"

// Pass is what the scheduler puts into one call of the model. A context request
// has generated no token yet; a chunk of a long prompt counts as one.
type Pass struct {
	New                int // requests that were never scheduled before
	ContextRequests    int
	ContextTokens      int
	GenerationRequests int
	GenerationTokens   int
}

// Requests are those with tokens in the pass.
func (p Pass) Requests() int { return p.ContextRequests + p.GenerationRequests }

// Tokens are all tokens of the pass; a pass without any is an idle one, and no
// engine step.
func (p Pass) Tokens() int { return p.ContextTokens + p.GenerationTokens }

// Annotation names the pass as vLLM does from 0.14 on.
func (p Pass) Annotation() string {
	return fmt.Sprintf("execute_context_%d(%d)_generation_%d(%d)",
		p.ContextRequests, p.ContextTokens, p.GenerationRequests, p.GenerationTokens)
}

func (p Pass) class() string {
	switch {
	case p.ContextRequests > 0 && p.GenerationRequests > 0:
		return "mixed"
	case p.ContextRequests > 0:
		return "prefill"
	case p.GenerationRequests > 0:
		return "decode"
	}
	return "idle"
}
