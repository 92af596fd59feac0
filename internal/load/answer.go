package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// answer is what a streamed answer has told so far. It knows no connection: tests
// feed it events and times.
type answer struct {
	first, last time.Time // arrivals of the first and the last token chunk
	itl         []int64   // nanoseconds between token chunks
	chunks      int       // token chunks
	usage       *usage    // as the server said last
	finish      string    // finish reason, once said
	done        bool      // [DONE] came
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// chunk is one event of either API.
type chunk struct {
	Choices []choice        `json:"choices"`
	Usage   *usage          `json:"usage"`
	Error   json.RawMessage `json:"error"`
	Object  string          `json:"object"`
	Message string          `json:"message"`
}

type choice struct {
	Delta *struct {
		Role             string          `json:"role"`
		Content          *string         `json:"content"`
		Reasoning        *string         `json:"reasoning"`         // vLLM 0.12 on
		ReasoningContent *string         `json:"reasoning_content"` // vLLM before, SGLang
		ToolCalls        json.RawMessage `json:"tool_calls"`
	} `json:"delta"`
	FinishReason string `json:"finish_reason"`
}

// event takes the data of one event that arrived at a time. An error says that the
// answer has failed: the server said so, or the event is not one of the API.
func (a *answer) event(data []byte, at time.Time) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || a.done {
		return nil
	}
	if string(data) == "[DONE]" {
		a.done = true
		return nil
	}
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("event of the stream is not of the API: %w: %s", err, excerpt(data))
	}
	if message, ok := c.failure(); ok {
		return fmt.Errorf("server error in the stream: %s", message)
	}
	if c.Usage != nil {
		a.usage = c.Usage
	}
	if len(c.Choices) == 0 {
		return nil
	}
	return a.choice(c.Choices[0], at)
}

func (a *answer) choice(c choice, at time.Time) error {
	if c.FinishReason == "abort" || c.FinishReason == "error" {
		return fmt.Errorf("server ended the answer early: finish reason %q", c.FinishReason)
	}
	if c.FinishReason != "" {
		a.finish = c.FinishReason
	}
	if !c.hasToken() {
		return nil
	}
	if a.chunks == 0 {
		a.first = at
	} else {
		a.itl = append(a.itl, at.Sub(a.last).Nanoseconds())
	}
	a.chunks++
	a.last = at
	return nil
}

// hasToken tells a token chunk: any choice of the completions API, and a delta of
// the chat API but for one that only says the role or only the finish reason.
func (c choice) hasToken() bool {
	d := c.Delta
	if d == nil {
		return true
	}
	if present(d.ToolCalls) && string(d.ToolCalls) != "[]" {
		return true
	}
	said := false
	for _, text := range []*string{d.Content, d.Reasoning, d.ReasoningContent} {
		if text != nil && *text != "" {
			return true
		}
		said = said || text != nil
	}
	return said && d.Role == ""
}

// failure gives the message of an error object: {"error": {"message": …}} of vLLM
// and SGLang, {"object": "error", "message": …} of older ones.
func (c chunk) failure() (string, bool) {
	if present(c.Error) {
		return errorMessage(c.Error), true
	}
	if c.Object == "error" {
		return clip(c.Message), true
	}
	return "", false
}

// errorMessage gives what a JSON error says, in whatever of the usual places, or the beginning of its text.
func errorMessage(raw []byte) string {
	var e struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"` // FastAPI's own errors
	}
	var text string
	switch {
	case json.Unmarshal(raw, &text) == nil && text != "":
		return clip(text)
	case json.Unmarshal(raw, &e) != nil:
		return excerpt(raw)
	case present(e.Error):
		return errorMessage(e.Error)
	case e.Message != "":
		return clip(e.Message)
	case present(e.Detail):
		return errorMessage(e.Detail)
	}
	return excerpt(raw)
}

// end judges the answer when its stream has ended without an error.
func (a *answer) end() error {
	switch {
	case a.chunks == 0:
		return errors.New("the stream ended without a token")
	case !a.done && a.finish == "":
		return errors.New("the stream ended in the middle: no finish reason and no [DONE]")
	}
	return nil
}

// outputTokens gives the number of tokens of the answer, and where it is from.
func (a *answer) outputTokens() (int, TokenSource) {
	if a.usage != nil && a.usage.CompletionTokens > 0 {
		return a.usage.CompletionTokens, FromUsage
	}
	return a.chunks, FromChunks
}
