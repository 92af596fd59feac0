package trace

// Evidence says what the passes of a trace were found by; the better comes
// first.
type Evidence string

const (
	// Annotation: the server's own span around each pass; it tells class,
	// requests and, on most versions, tokens.
	Annotation Evidence = "annotation"
	// Scope: a named span around each forward (vLLM with
	// VLLM_CUSTOM_SCOPES_FOR_PROFILING=1): count and time.
	Scope Evidence = "scope"
	// Structure: an operator that occurs once a pass, found in the trace
	// itself: count, time, and tokens where shapes were recorded. Passes
	// without tokens are not seen.
	Structure Evidence = "structure"
	// NoEvidence: no passes were found.
	NoEvidence Evidence = ""
)

// Class is the kind of work a pass did.
type Class string

const (
	Prefill Class = "prefill"
	Decode  Class = "decode"
	Mixed   Class = "mixed"
	Idle    Class = "idle"    // a pass without tokens: not an engine step
	Unknown Class = "unknown" // the evidence cannot tell
)

// NotKnown stands in a Pass for a count that the evidence does not tell.
const NotKnown = -1

// Pass is one call of the model by the server's scheduler. Times are ns since
// the Unix epoch (see [Reader.Base]). Counts are NotKnown where the evidence
// does not tell.
type Pass struct {
	Index int    `json:"index"`
	Name  string `json:"name"` // the span's text, or the operator's name under structure
	Class Class  `json:"class"`

	Requests           int64 `json:"requests"`
	Tokens             int64 `json:"tokens"` // scheduled in this pass
	ContextRequests    int64 `json:"context_requests"`
	ContextTokens      int64 `json:"context_tokens"`
	GenerationRequests int64 `json:"generation_requests"`
	GenerationTokens   int64 `json:"generation_tokens"`
	// TokensFrom is Annotation, or Structure where Tokens is the size of what
	// went into the embedding; empty where Tokens is NotKnown.
	TokensFrom Evidence `json:"tokens_from,omitempty"`

	Start   int64 `json:"start_ns"`
	SpanEnd int64 `json:"span_end_ns"` // the span's end; work of the pass, its sampling first of all, may come after it. Under structure the same as End
	End     int64 `json:"end_ns"`      // where the next pass starts; of the last pass, just after its thread's last operator

	PID string `json:"pid"`
	TID string `json:"tid"`

	// Whole says that the pass is in the trace with its sampling. Every pass
	// that another one follows is; see whole.go for the last one.
	Whole bool `json:"whole"`
}

// IsStep says whether the pass is an engine step: all but idle passes are.
func (p *Pass) IsStep() bool { return p.Class != Idle }
