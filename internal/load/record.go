package load

import "time"

// TokenSource says where a number of tokens is from.
type TokenSource string

// Where numbers of tokens are from.
const (
	FromUsage  TokenSource = "usage"  // the server's usage
	FromChunks TokenSource = "chunks" // token chunks counted: less than the tokens where a chunk has several
	FromPrompt TokenSource = "prompt" // the token ids sent: the server may have added one in front
	FromWords  TokenSource = "words"  // the words sent: about as many tokens
)

// Record is what one request came to: a line of load.jsonl. The package comment
// defines the times. A request ended in one of three ways: well (Error empty,
// Cancelled false), failed (Error set), or cancelled because the load was
// stopped. What had come of the answer until then is in the record each time.
type Record struct {
	// Sequence is the number of the request in its load, from 0, in the order of sending.
	Sequence uint64 `json:"seq"`
	// Endpoint is the base URL as it was configured.
	Endpoint string `json:"endpoint"`
	// Start is just before the request was sent.
	Start time.Time `json:"start"`
	// Status is the HTTP status. 0: no answer came.
	Status int `json:"status,omitempty"`

	// PromptTokens is the length of the prompt. 0: not known.
	PromptTokens     int         `json:"prompt_tokens,omitempty"`
	PromptTokensFrom TokenSource `json:"prompt_tokens_from,omitempty"`
	// MaxTokens is the number of tokens asked for.
	MaxTokens int `json:"max_tokens"`
	// OutputTokens is the number of tokens that came.
	OutputTokens     int         `json:"output_tokens"`
	OutputTokensFrom TokenSource `json:"output_tokens_from,omitempty"`
	// Chunks is the number of token chunks.
	Chunks int `json:"chunks"`

	// TTFT is in nanoseconds; 0 where no token came.
	TTFT int64 `json:"ttft_ns,omitempty"`
	// TPOT is in nanoseconds; 0 where the answer has fewer than two tokens or did not end well.
	TPOT int64 `json:"tpot_ns,omitempty"`
	// ITL has the nanoseconds between each token chunk and the next.
	ITL []int64 `json:"itl_ns,omitempty"`
	// E2E is in nanoseconds. Of a request that did not end well it is the time until the failure or the cancellation.
	E2E int64 `json:"e2e_ns"`

	// Error says why the request failed.
	Error string `json:"error,omitempty"`
	// Cancelled tells a request that was in flight when the load was stopped.
	Cancelled bool `json:"cancelled,omitempty"`
}

// OK tells whether the request ended well.
func (r *Record) OK() bool { return r.Error == "" && !r.Cancelled }

// take fills in what an answer told.
func (r *Record) take(a *answer) {
	r.Chunks = a.chunks
	r.ITL = a.itl
	r.OutputTokens, r.OutputTokensFrom = a.outputTokens()
	if a.chunks > 0 {
		r.TTFT = a.first.Sub(r.Start).Nanoseconds()
	}
	if a.usage != nil && a.usage.PromptTokens > 0 {
		r.PromptTokens, r.PromptTokensFrom = a.usage.PromptTokens, FromUsage
	}
}

// finish fills in the times that only a whole answer has.
func (r *Record) finish(a *answer) {
	r.E2E = a.last.Sub(r.Start).Nanoseconds()
	if r.OutputTokens > 1 {
		r.TPOT = (r.E2E - r.TTFT) / int64(r.OutputTokens-1)
	}
}
