package embedded

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"profjob/internal/embedded/model"
)

// defaultMaxTokens is how long an answer to /v1/completions is unless told.
const defaultMaxTokens = 16

// completions is POST /v1/completions.
func (s *Server) completions(w http.ResponseWriter, r *http.Request) {
	var body struct {
		options
		Prompt json.RawMessage `json:"prompt"`
	}
	if refused := readBody(w, r, &body); refused != nil {
		writeError(w, refused)
		return
	}
	if refused := s.check(body.options); refused != nil {
		writeError(w, refused)
		return
	}
	prompts, refused := parsePrompt(body.Prompt)
	if refused != nil {
		writeError(w, refused)
		return
	}
	if body.MaxTokens == nil {
		n := defaultMaxTokens
		body.MaxTokens = &n
	}
	j, refused := newJob(body.options, prompts, s.textRoom)
	if refused != nil {
		writeError(w, refused)
		return
	}
	s.answer(w, r, j, textForm{id: "cmpl-" + newID(), created: time.Now().Unix(), model: s.config.Model})
}

// parsePrompt reads a prompt: a text, a list of texts, a list of token ids, or a
// list of those.
func parsePrompt(raw json.RawMessage) ([][]int32, *apiError) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, badRequest("prompt", "Either prompt or prompt_embeds must be provided and non-empty.")
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return [][]int32{model.Encode(text)}, nil
	}
	var tokens []int32
	if json.Unmarshal(raw, &tokens) == nil {
		return [][]int32{tokens}, nil
	}
	var prompts [][]int32
	var texts []string
	if json.Unmarshal(raw, &texts) == nil {
		for _, text := range texts {
			prompts = append(prompts, model.Encode(text))
		}
	} else if json.Unmarshal(raw, &prompts) != nil {
		return nil, badRequest("prompt", "prompt must be a string, array of strings, array of tokens, or array of token arrays")
	}
	if len(prompts) > maxPrompts {
		return nil, badRequest("prompt", fmt.Sprintf("a request may have %d prompts at most, got %d", maxPrompts, len(prompts)))
	}
	return prompts, nil
}

// textForm is the form of /v1/completions.
type textForm struct {
	id      string
	created int64
	model   string
}

type textAnswer struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []textChoice `json:"choices"`
	Usage   *usage       `json:"usage,omitempty"`
}

type textChoice struct {
	Index        int     `json:"index"`
	Text         string  `json:"text"`
	LogProbs     *string `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
	StopReason   *string `json:"stop_reason"`
}

func (f textForm) answer(choices []textChoice, u *usage) textAnswer {
	return textAnswer{ID: f.id, Object: "text_completion", Created: f.created, Model: f.model, Choices: choices, Usage: u}
}

func (f textForm) begin(int) []any { return nil }

func (f textForm) chunk(index int, text, finish string, u *usage) any {
	return f.answer([]textChoice{{Index: index, Text: text, FinishReason: reason(finish)}}, u)
}

func (f textForm) last(u *usage) any { return f.answer([]textChoice{}, u) }

func (f textForm) whole(choices []choice, u *usage) any {
	answers := make([]textChoice, len(choices))
	for i := range choices {
		answers[i] = textChoice{Index: i, Text: choices[i].text.String(), FinishReason: reason(choices[i].finish)}
	}
	return f.answer(answers, u)
}
