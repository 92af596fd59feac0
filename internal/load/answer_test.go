package load

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)

// play gives an answer one event each millisecond.
func play(events []string) (*answer, error) {
	a := new(answer)
	for i, event := range events {
		if err := a.event([]byte(event), start.Add(time.Duration(i)*time.Millisecond)); err != nil {
			return a, err
		}
	}
	return a, a.end()
}

func TestAnswer(t *testing.T) {
	const ms = int64(time.Millisecond)
	tests := []struct {
		name   string
		events []string
		first  time.Duration
		itl    []int64
		tokens int
		from   TokenSource
		prompt int
	}{
		{
			name: "vLLM completion",
			events: []string{
				`{"id":"cmpl-1","object":"text_completion","created":1,"model":"tiny","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null,"stop_reason":null}]}`,
				`{"choices":[{"index":0,"text":"","finish_reason":null}],"usage":null}`,
				`{"choices":[{"index":0,"text":"c","finish_reason":"length"}]}`,
				`{"choices":[],"usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}}`,
				`[DONE]`,
			},
			itl: []int64{ms, ms}, tokens: 3, from: FromUsage, prompt: 5,
		},
		{
			name: "several tokens in a chunk",
			events: []string{
				`{"choices":[{"text":"abc"}]}`, `{"choices":[{"text":"def","finish_reason":"length"}]}`,
				`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}`, `[DONE]`,
			},
			itl: []int64{ms}, tokens: 6, from: FromUsage, prompt: 5,
		},
		{
			name:   "no usage",
			events: []string{`{"choices":[{"text":"a"}]}`, `{"choices":[{"text":"b","finish_reason":"stop"}]}`, `[DONE]`},
			itl:    []int64{ms}, tokens: 2, from: FromChunks,
		},
		{
			name:   "usage in each event, the last counts",
			events: []string{`{"choices":[{"text":"a"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`, `{"choices":[{"text":"b","finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}`, `[DONE]`},
			itl:    []int64{ms}, tokens: 2, from: FromUsage, prompt: 5,
		},
		{
			name: "vLLM chat",
			events: []string{
				`{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`,
				`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`,
				`{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}`,
				`{"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":"length"}]}`,
				`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}`, `[DONE]`,
			},
			first: time.Millisecond, itl: []int64{ms, ms}, tokens: 3, from: FromUsage, prompt: 9,
		},
		{
			name: "SGLang chat",
			events: []string{
				`{"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null,"tool_calls":null},"finish_reason":null}],"usage":null}`,
				`{"choices":[{"index":0,"delta":{"role":null,"content":"a","reasoning_content":null,"tool_calls":null},"finish_reason":null}],"usage":null}`,
				`{"choices":[{"index":0,"delta":{"role":null,"content":"b","reasoning_content":null,"tool_calls":null},"finish_reason":null}],"usage":null}`,
				`{"choices":[{"index":0,"delta":{"role":null,"content":null,"reasoning_content":null,"tool_calls":null},"finish_reason":"length"}],"usage":null}`,
				`[DONE]`,
			},
			first: time.Millisecond, itl: []int64{ms}, tokens: 2, from: FromChunks,
		},
		{
			name: "reasoning and tool calls",
			events: []string{
				`{"choices":[{"delta":{"role":"assistant","content":""}}]}`,
				`{"choices":[{"delta":{"reasoning":"a"}}]}`, `{"choices":[{"delta":{"reasoning_content":"b"}}]}`,
				`{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, `{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`, `[DONE]`,
			},
			first: time.Millisecond, itl: []int64{ms, ms}, tokens: 3, from: FromChunks,
		},
		{
			name:   "role and content in one event",
			events: []string{`{"choices":[{"delta":{"role":"assistant","content":"a"},"finish_reason":"length"}]}`, `[DONE]`},
			tokens: 1, from: FromChunks,
		},
		{
			name:   "finish reason and no [DONE]",
			events: []string{`{"choices":[{"text":"a","finish_reason":"length"}]}`},
			tokens: 1, from: FromChunks,
		},
		{
			name:   "[DONE] and no finish reason",
			events: []string{`{"choices":[{"text":"a"}]}`, `[DONE]`, `{"choices":[{"text":"too late"}]}`},
			tokens: 1, from: FromChunks,
		},
		{
			name:   "an error that is null is none",
			events: []string{`{"choices":[{"text":"a"}],"error":null}`, ` `, `[DONE]`},
			tokens: 1, from: FromChunks,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := play(test.events)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.first.Sub(start); got != test.first {
				t.Errorf("first token chunk after %s, want %s", got, test.first)
			}
			if diff := cmp.Diff(test.itl, a.itl); diff != "" {
				t.Errorf("itl (-want +got):\n%s", diff)
			}
			if tokens, from := a.outputTokens(); tokens != test.tokens || from != test.from {
				t.Errorf("%d output tokens from %s, want %d from %s", tokens, from, test.tokens, test.from)
			}
			if test.prompt > 0 && a.usage.PromptTokens != test.prompt {
				t.Errorf("%d prompt tokens, want %d", a.usage.PromptTokens, test.prompt)
			}
		})
	}
}

func TestAnswerFails(t *testing.T) {
	token := `{"choices":[{"text":"a"}]}`
	tests := []struct {
		name   string
		events []string
		want   string
	}{
		{"nothing", nil, "the stream ended without a token"},
		{"only [DONE]", []string{`[DONE]`}, "the stream ended without a token"},
		{"only a role", []string{`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, `[DONE]`}, "the stream ended without a token"},
		{"cut off", []string{token, token}, "the stream ended in the middle"},
		{"vLLM error", []string{token, `{"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": null, "code": 500}}`, `[DONE]`}, "server error in the stream: EngineCore encountered an issue."},
		{"older error", []string{`{"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}`}, "server error in the stream: too long"},
		{"error as text", []string{`{"error": "out of memory"}`}, "server error in the stream: out of memory"},
		{"error without a message", []string{`{"error": {"code": 7}}`}, `server error in the stream: "{\"code\": 7}"`},
		{"no JSON", []string{`Internal Server Error`}, "event of the stream is not of the API"},
		{"other JSON", []string{`{"choices":{"a":1}}`}, "event of the stream is not of the API"},
		{"aborted", []string{token, `{"choices":[{"text":"","finish_reason":"abort"}]}`, `[DONE]`}, `finish reason "abort"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := play(test.events)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestErrorMessage(t *testing.T) {
	tests := []struct{ raw, want string }{
		{`{"error":{"message":"no such model"}}`, "no such model"},
		{`{"message":"no such model"}`, "no such model"},
		{`{"detail":"Not Found"}`, "Not Found"},
		{`{"detail":[{"loc":["body"],"msg":"field required"}]}`, `"[{\"loc\":[\"body\"],\"msg\":\"field required\"}]"`},
		{"<html>\n  Bad\tGateway</html>", `"<html> Bad Gateway</html>"`},
		{"", `""`},
		{strings.Repeat("é", 300), `"` + strings.Repeat("é", 200) + `…"`},
		{"x" + strings.Repeat("é", 300), `"x` + strings.Repeat("é", 199) + `…"`},
	}
	for _, test := range tests {
		if got := errorMessage([]byte(test.raw)); got != test.want {
			t.Errorf("message of %q is %q, want %q", test.raw, got, test.want)
		}
	}
}
