package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnswersDependOnNothingButTheRequest(t *testing.T) {
	ask := func(r *running, i int) string {
		return r.ok("POST", "/v1/completions", fmt.Sprintf(`{"prompt":"question %d%s","max_tokens":12,"ignore_eos":true}`, i, strings.Repeat(" and so on", 3*i)))
	}
	text := func(body string) string {
		var answer struct{ Choices []struct{ Text string } }
		decode(t, body, &answer)
		return answer.Choices[0].Text
	}
	var want []string
	alone := serve(t, Config{Seed: 3, Threads: 1})
	for i := range 8 {
		want = append(want, text(ask(alone, i)))
	}
	if slices.Equal(want[:1], want[1:2]) {
		t.Errorf("two prompts have the same answer %q", want[0])
	}
	// Together, in small chunks, and more requests than run at once.
	together := serve(t, Config{Seed: 3, MaxNumSeqs: 5, MaxNumBatchedTokens: 13})
	var waiting sync.WaitGroup
	got := make([]string, len(want))
	for i := range want {
		waiting.Go(func() {
			answer, err := together.do(context.Background(), "POST", "/v1/completions",
				fmt.Sprintf(`{"prompt":"question %d%s","max_tokens":12,"ignore_eos":true}`, i, strings.Repeat(" and so on", 3*i)))
			if err == nil {
				got[i] = answer.body
			}
		})
	}
	waiting.Wait()
	for i := range want {
		if answer := text(got[i]); answer != want[i] {
			t.Errorf("request %d: %q together, %q alone", i, answer, want[i])
		}
	}
	if other := text(ask(serve(t, Config{Seed: 4}), 0)); other == want[0] {
		t.Errorf("another seed gives the same answer %q", other)
	}
}

func TestPromptForms(t *testing.T) {
	r := serve(t, Config{})
	type answer struct {
		Object  string
		Choices []struct {
			Index        int
			Text         string
			FinishReason string `json:"finish_reason"`
		}
		Usage usage
	}
	ask := func(prompt string) answer {
		var a answer
		decode(t, r.ok("POST", "/v1/completions", `{"model":"tiny","prompt":`+prompt+`,"max_tokens":4,"ignore_eos":true}`), &a)
		return a
	}
	text := ask(`"AB"`)
	if len(text.Choices) != 1 || text.Object != "text_completion" || text.Choices[0].FinishReason != "length" || text.Usage != *newUsage(2, 4) {
		t.Errorf("a text: %+v", text)
	}
	want := text.Choices[0].Text
	if got := ask(`[65,66]`); got.Choices[0].Text != want {
		t.Errorf("token ids: %+v, want %q", got, want)
	}
	for _, prompt := range []string{`["AB","C"]`, `[[65,66],[67]]`} {
		got := ask(prompt)
		if len(got.Choices) != 2 || got.Choices[0].Text != want || got.Choices[1].Index != 1 || got.Usage != *newUsage(3, 8) {
			t.Errorf("%s: %+v", prompt, got)
		}
	}
	var short answer
	decode(t, r.ok("POST", "/v1/completions", `{"prompt":"AB","ignore_eos":true}`), &short)
	if short.Usage.Completion != 16 {
		t.Errorf("%d tokens unless told, want 16", short.Usage.Completion)
	}
}

func TestRefusals(t *testing.T) {
	r := serve(t, Config{})
	long := `[` + strings.Repeat("65,", 2047) + `65]`
	for _, tc := range []struct {
		path, body string
		status     int
		answer     string // a part
	}{
		{"completions", `{"model":"gpt","prompt":"x"}`, 404, "{\"error\":{\"message\":\"The model `gpt` does not exist. Valid aliases: tiny.\",\"type\":\"NotFoundError\",\"param\":\"model\",\"code\":404}}"},
		{"completions", `{}`, 400, "Either prompt"},
		{"completions", `{"prompt":""}`, 400, "cannot be empty"},
		{"completions", `{"prompt":[]}`, 400, "cannot be empty"},
		{"completions", `{"prompt":{"a":1}}`, 400, `"param":"prompt"`},
		{"completions", `{"prompt":[1,"a"]}`, 400, `"param":"prompt"`},
		{"completions", `{"prompt":[512]}`, 400, "Token id 512 is out of vocabulary"},
		{"completions", `{"prompt":[-1]}`, 400, "Token id -1 is out of vocabulary"},
		{"completions", `{"prompt":"x","max_tokens":0}`, 400, "max_tokens must be at least 1, got 0."},
		{"completions", `{"prompt":"x","max_tokens":2049}`, 400, "max_tokens=2049 cannot be greater than max_model_len=2048."},
		{"completions", `{"prompt":` + long + `}`, 400, "maximum context length is 2048 tokens"},
		{"completions", `{"prompt":"x","max_tokens":"5"}`, 400, `"param":"body.max_tokens"`},
		{"completions", `{"prompt":"x","n":2}`, 400, "n must be 1"},
		{"completions", `{"prompt":"x","stream_options":{"include_usage":true}}`, 400, "Stream options can only be defined when"},
		{"completions", `{"prompt":`, 400, `"type":"Bad Request"`},
		{"chat/completions", `{"messages":[]}`, 400, "must not be empty"},
		{"chat/completions", `{"messages":[{"role":"robot","content":"x"}]}`, 400, `unknown role`},
		{"chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "text only"},
		{"chat/completions", `{"model":"gpt","messages":[{"role":"user","content":"x"}]}`, 404, "does not exist"},
	} {
		got := r.send("POST", "/v1/"+tc.path, tc.body)
		if got.status != tc.status || !strings.Contains(got.body, tc.answer) {
			t.Errorf("%s %.60s: %d %s, want %d with %s", tc.path, tc.body, got.status, got.body, tc.status, tc.answer)
		}
	}
	response, err := r.client.Post(r.url+"/v1/completions", "text/plain", strings.NewReader(`{"prompt":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != 400 || !strings.Contains(string(body), "Unsupported Media Type") {
		t.Errorf("text/plain: %d %s", response.StatusCode, body)
	}
}

// events reads the events of a stream.
func events(t *testing.T, body string) []string {
	t.Helper()
	var found []string
	for _, part := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(part, "data: ")
		if !ok {
			t.Fatalf("not an event: %q", part)
		}
		found = append(found, data)
	}
	return found
}

func TestStreamedCompletion(t *testing.T) {
	r := serve(t, Config{})
	whole := r.complete(2, 6)
	for _, tc := range []struct {
		options string
		chunks  int
	}{{"", 6}, {`,"stream_options":{"include_usage":true,"continuous_usage_stats":true}`, 7}} {
		answer := r.send("POST", "/v1/completions", `{"prompt":[65,66],"max_tokens":6,"ignore_eos":true,"stream":true`+tc.options+`}`)
		if got := answer.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
			t.Errorf("content type %q", got)
		}
		data := events(t, answer.body)
		if last := data[len(data)-1]; last != "[DONE]" {
			t.Errorf("the last event is %s", last)
		}
		data = data[:len(data)-1]
		if len(data) != tc.chunks {
			t.Fatalf("%d chunks, want %d: %q", len(data), tc.chunks, data)
		}
		var text, finish string
		for i, d := range data {
			var chunk struct {
				Choices []struct {
					Text         string
					FinishReason *string `json:"finish_reason"`
				}
				Usage *usage
			}
			decode(t, d, &chunk)
			if got, want := chunk.Usage != nil, tc.options != ""; got != want {
				t.Errorf("chunk %d has a usage: %t", i, got)
			}
			if i == 6 {
				if len(chunk.Choices) != 0 || *chunk.Usage != *newUsage(2, 6) {
					t.Errorf("the chunk with the usage is %s", d)
				}
				continue
			}
			if chunk.Usage != nil && *chunk.Usage != *newUsage(2, i+1) {
				t.Errorf("usage of chunk %d is %+v", i, *chunk.Usage)
			}
			text += chunk.Choices[0].Text
			if f := chunk.Choices[0].FinishReason; f != nil {
				finish += *f
			}
		}
		if text != whole || finish != "length" {
			t.Errorf("streamed %q (%s), whole %q", text, finish, whole)
		}
	}
}

func TestChat(t *testing.T) {
	r := serve(t, Config{})
	const body = `{"model":"tiny","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"hi"}]}],"max_completion_tokens":5,"ignore_eos":true`
	var answer struct {
		Object  string
		Choices []struct {
			Message      chatMessage
			FinishReason string `json:"finish_reason"`
		}
		Usage usage
	}
	decode(t, r.ok("POST", "/v1/chat/completions", body+`}`), &answer)
	c := answer.Choices[0]
	// BOS, two roles with their texts, and the assistant's role.
	if answer.Object != "chat.completion" || c.Message.Role != "assistant" || c.FinishReason != "length" || answer.Usage != *newUsage(4+8+2, 5) {
		t.Errorf("answer %+v", answer)
	}
	data := events(t, r.ok("POST", "/v1/chat/completions", body+`,"stream":true}`))
	if len(data) != 7 { // the role, five tokens, [DONE]
		t.Fatalf("events %q", data)
	}
	text := ""
	for i, d := range data[:6] {
		var chunk struct {
			Choices []struct{ Delta chatMessage }
		}
		decode(t, d, &chunk)
		if got := chunk.Choices[0].Delta.Role; (got == "assistant") != (i == 0) {
			t.Errorf("role of chunk %d is %q", i, got)
		}
		text += chunk.Choices[0].Delta.Content
	}
	if text != c.Message.Content {
		t.Errorf("streamed %q, whole %q", text, c.Message.Content)
	}
}

func TestEndOfSequence(t *testing.T) {
	r := serve(t, Config{})
	type answer struct {
		Choices []struct {
			FinishReason string `json:"finish_reason"`
		}
		Usage usage
	}
	// Some prompt's answer ends by itself: the model gives EOS some percent of the time.
	for i := range 40 {
		var free, forced, least answer
		prompt := fmt.Sprintf(`{"prompt":"prompt %d","max_tokens":60`, i)
		decode(t, r.ok("POST", "/v1/completions", prompt+`}`), &free)
		if free.Choices[0].FinishReason != "stop" {
			continue
		}
		if free.Usage.Completion >= 60 {
			t.Errorf("stopped after %d tokens", free.Usage.Completion)
		}
		decode(t, r.ok("POST", "/v1/completions", prompt+`,"ignore_eos":true}`), &forced)
		if forced.Usage.Completion != 60 || forced.Choices[0].FinishReason != "length" {
			t.Errorf("with ignore_eos: %+v", forced)
		}
		decode(t, r.ok("POST", "/v1/completions", fmt.Sprintf(`%s,"min_tokens":%d}`, prompt, free.Usage.Completion+1)), &least)
		if least.Usage.Completion <= free.Usage.Completion {
			t.Errorf("with min_tokens: %+v", least)
		}
		return
	}
	t.Error("no answer ended by itself")
}

func TestClientThatGoesAbortsItsRequest(t *testing.T) {
	for _, stream := range []bool{true, false} {
		t.Run(fmt.Sprintf("stream=%t", stream), func(t *testing.T) {
			r := serve(t, Config{StepFloor: 2 * time.Millisecond})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			gone := make(chan error, 1)
			go func() {
				request, _ := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/completions",
					strings.NewReader(fmt.Sprintf(`{"prompt":"x","max_tokens":2000,"ignore_eos":true,"stream":%t}`, stream)))
				request.Header.Set("Content-Type", "application/json")
				response, err := r.client.Do(request)
				if err == nil {
					defer response.Body.Close()
					_, err = io.Copy(io.Discard, bufio.NewReader(response.Body))
				}
				gone <- err
			}()
			wait(t, "the request to run", func() bool { return r.metric("vllm:num_requests_running") == 1 })
			cancel()
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Fatalf("the request ended with %v", err)
			}
			wait(t, "the request to end", func() bool { return r.metric("vllm:num_requests_running") == 0 })
			if n := r.metric(`vllm:request_success_total{finished_reason="abort"}`); n != 1 {
				t.Errorf("%v requests aborted", n)
			}
			if n := r.metric("vllm:kv_cache_usage_perc"); n != 0 {
				t.Errorf("the KV cache is used to %v", n)
			}
		})
	}
}

func FuzzParsePrompt(f *testing.F) {
	for _, s := range []string{`"a"`, `["a"]`, `[1,2]`, `[[1],[2]]`, `null`, `{}`, `[`, `[null]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		prompts, refused := parsePrompt(raw)
		if (refused == nil) != (prompts != nil) && len(prompts) > 0 {
			t.Errorf("%d prompts and %v", len(prompts), refused)
		}
		if len(prompts) > maxPrompts {
			t.Errorf("%d prompts", len(prompts))
		}
	})
}
