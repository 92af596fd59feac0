package embedded

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"profjob/internal/embedded/model"
)

// chat is POST /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var body struct {
		options
		MaxCompletionTokens *int      `json:"max_completion_tokens"`
		Messages            []message `json:"messages"`
	}
	if refused := readBody(w, r, &body); refused != nil {
		writeError(w, refused)
		return
	}
	if body.MaxCompletionTokens != nil { // the newer name wins, as in vLLM
		body.MaxTokens = body.MaxCompletionTokens
	}
	if refused := s.check(body.options); refused != nil {
		writeError(w, refused)
		return
	}
	prompt, refused := renderChat(body.Messages)
	if refused != nil {
		writeError(w, refused)
		return
	}
	j, refused := newJob(body.options, [][]int32{prompt}, s.chatRoom)
	if refused != nil {
		writeError(w, refused)
		return
	}
	s.answer(w, r, j, chatForm{id: "chatcmpl-" + newID(), created: time.Now().Unix(), model: s.config.Model})
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// text gives a message's text: a string, or the text parts of a list.
func (m message) text() (string, error) {
	var text string
	if len(m.Content) == 0 || json.Unmarshal(m.Content, &text) == nil {
		return text, nil
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		return "", fmt.Errorf("content of a %s message is neither a string nor a list of parts", m.Role)
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", fmt.Errorf("content of a %s message has a part of type %q, this server takes text only", m.Role, p.Type)
		}
		text += p.Text
	}
	return text, nil
}

// renderChat is the chat template: each message's text after a token for its
// role, and the assistant's at the end.
func renderChat(messages []message) ([]int32, *apiError) {
	if len(messages) == 0 {
		return nil, badRequest("messages", "messages must not be empty")
	}
	roles := map[string]int32{"system": model.System, "developer": model.System, "user": model.User, "assistant": model.Assistant}
	tokens := []int32{model.BOS}
	for _, m := range messages {
		role, ok := roles[m.Role]
		if !ok {
			return nil, badRequest("messages", fmt.Sprintf("unknown role %q", m.Role))
		}
		text, err := m.text()
		if err != nil {
			return nil, badRequest("messages", err.Error())
		}
		tokens = append(append(tokens, role), model.Encode(text)...)
	}
	return append(tokens, model.Assistant), nil
}

// chatForm is the form of /v1/chat/completions.
type chatForm struct {
	id      string
	created int64
	model   string
}

type chatAnswer[C any] struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []C    `json:"choices"`
	Usage   *usage `json:"usage,omitempty"`
}

type chatChoice struct {
	Index        int         `json:"index"`
	Message      chatMessage `json:"message"`
	LogProbs     *string     `json:"logprobs"`
	FinishReason *string     `json:"finish_reason"`
	StopReason   *string     `json:"stop_reason"`
}

type chatDelta struct {
	Index        int         `json:"index"`
	Delta        chatMessage `json:"delta"`
	LogProbs     *string     `json:"logprobs"`
	FinishReason *string     `json:"finish_reason"`
}

type chatMessage struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

func (f chatForm) delta(d []chatDelta, u *usage) any {
	return chatAnswer[chatDelta]{
		ID: f.id, Object: "chat.completion.chunk", Created: f.created, Model: f.model, Choices: d, Usage: u,
	}
}

func (f chatForm) begin(index int) []any {
	return []any{f.delta([]chatDelta{{Index: index, Delta: chatMessage{Role: "assistant"}}}, nil)}
}

func (f chatForm) chunk(index int, text, finish string, u *usage) any {
	return f.delta([]chatDelta{{Index: index, Delta: chatMessage{Content: text}, FinishReason: reason(finish)}}, u)
}

func (f chatForm) last(u *usage) any { return f.delta([]chatDelta{}, u) }

func (f chatForm) whole(choices []choice, u *usage) any {
	answers := make([]chatChoice, len(choices))
	for i := range choices {
		answers[i] = chatChoice{
			Index:        i,
			Message:      chatMessage{Role: "assistant", Content: choices[i].text.String()},
			FinishReason: reason(choices[i].finish),
		}
	}
	return chatAnswer[chatChoice]{
		ID: f.id, Object: "chat.completion", Created: f.created, Model: f.model, Choices: answers, Usage: u,
	}
}
