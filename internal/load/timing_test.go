package load

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The times of records, with a server that sends at known times. Time is made up
// in these tests, so that the numbers are exact.
func TestRecordTimes(t *testing.T) {
	const ms = int64(time.Millisecond)
	wait := func(n int) { time.Sleep(time.Duration(n) * time.Millisecond) }
	tests := []struct {
		name   string
		api    API
		answer func(w http.ResponseWriter)
		want   Record
	}{
		{
			name: "tokens at 100, 110, 130, 160 ms, usage at 200, [DONE] at 300",
			answer: func(w http.ResponseWriter) {
				wait(100)
				send(w, `{"choices":[{"text":"a"}]}`)
				wait(10)
				send(w, `{"choices":[{"text":"b"}]}`)
				wait(20)
				send(w, `{"choices":[{"text":""}]}`)
				wait(30)
				send(w, `{"choices":[{"text":"d","finish_reason":"length"}]}`)
				wait(40)
				send(w, `{"choices":[],"usage":{"prompt_tokens":17,"completion_tokens":4}}`)
				wait(100)
				send(w, `[DONE]`)
			},
			want: Record{
				Status: 200, PromptTokens: 17, PromptTokensFrom: FromUsage, OutputTokens: 4, OutputTokensFrom: FromUsage, Chunks: 4,
				TTFT: 100 * ms, ITL: []int64{10 * ms, 20 * ms, 30 * ms}, TPOT: 20 * ms, E2E: 160 * ms,
			},
		},
		{
			name: "several tokens in a chunk: TPOT is over tokens, ITL over chunks",
			answer: func(w http.ResponseWriter) {
				wait(50)
				send(w, `{"choices":[{"text":"abcd"}]}`)
				wait(70)
				send(w, `{"choices":[{"text":"efgh","finish_reason":"length"}]}`)
				send(w, `{"choices":[],"usage":{"prompt_tokens":17,"completion_tokens":8}}`)
				send(w, `[DONE]`)
			},
			want: Record{
				Status: 200, PromptTokens: 17, PromptTokensFrom: FromUsage, OutputTokens: 8, OutputTokensFrom: FromUsage, Chunks: 2,
				TTFT: 50 * ms, ITL: []int64{70 * ms}, TPOT: 10 * ms, E2E: 120 * ms,
			},
		},
		{
			name: "without usage the chunks are counted",
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"text":"a"}]}`)
				wait(7)
				send(w, `{"choices":[{"text":"b","finish_reason":"length"}]}`)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 2, OutputTokensFrom: FromChunks, Chunks: 2,
				TTFT: 5 * ms, ITL: []int64{7 * ms}, TPOT: 7 * ms, E2E: 12 * ms,
			},
		},
		{
			name: "one token has no TPOT",
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"text":"a","finish_reason":"length"}]}`)
				send(w, `[DONE]`)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 1, OutputTokensFrom: FromChunks, Chunks: 1,
				TTFT: 5 * ms, E2E: 5 * ms,
			},
		},
		{
			name: "the role of a chat answer is no token",
			api:  Chat,
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"delta":{"role":"assistant","content":""}}]}`)
				wait(5)
				send(w, `{"choices":[{"delta":{"content":"a"}}]}`)
				wait(5)
				send(w, `{"choices":[{"delta":{"content":"b"}}]}`)
				wait(5)
				send(w, `{"choices":[{"delta":{},"finish_reason":"length"}]}`)
				send(w, `[DONE]`)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromWords, OutputTokens: 2, OutputTokensFrom: FromChunks, Chunks: 2,
				TTFT: 10 * ms, ITL: []int64{5 * ms}, TPOT: 5 * ms, E2E: 15 * ms,
			},
		},
		{
			name: "an event counts when its last byte is there; chunks that come together are together",
			answer: func(w http.ResponseWriter) {
				part := func(s string) { w.Write([]byte(s)); w.(http.Flusher).Flush() }
				wait(5)
				part(": ping\n\ndata: {\"choices\":[{\"te")
				wait(5)
				part("xt\":\"a\"}]}\r\n")
				wait(5)
				part("\r\n")
				wait(5)
				part("data: {\"choices\":[{\"text\":\"b\"}]}\n\ndata: {\"choices\":[{\"text\":\"c\",\"finish_reason\":\"length\"}]}\n\n")
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 3, OutputTokensFrom: FromChunks, Chunks: 3,
				TTFT: 15 * ms, ITL: []int64{5 * ms, 0}, TPOT: 2500 * ms / 1000, E2E: 20 * ms,
			},
		},
		{
			name: "an error in the stream",
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"text":"a"}]}`)
				wait(5)
				send(w, `{"error":{"message":"out of memory","code":500}}`)
				send(w, `[DONE]`)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 1, OutputTokensFrom: FromChunks, Chunks: 1,
				TTFT: 5 * ms, E2E: 10 * ms, Error: "server error in the stream: out of memory",
			},
		},
		{
			name: "the connection breaks",
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"text":"a"}]}`)
				wait(5)
				panic(http.ErrAbortHandler)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 1, OutputTokensFrom: FromChunks, Chunks: 1,
				TTFT: 5 * ms, E2E: 10 * ms, Error: "read the stream: unexpected EOF",
			},
		},
		{
			name: "the request timeout",
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"text":"a"}]}`)
				wait(60_000)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 1, OutputTokensFrom: FromChunks, Chunks: 1,
				TTFT: 5 * ms, E2E: 30_000 * ms, Error: "no complete answer within the request timeout of 30s",
			},
		},
		{
			name: "a server that doesn't end its answer after [DONE] is not waited for",
			answer: func(w http.ResponseWriter) {
				wait(5)
				send(w, `{"choices":[{"text":"a","finish_reason":"length"}]}`)
				send(w, `[DONE]`)
				wait(20_000)
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokens: 1, OutputTokensFrom: FromChunks, Chunks: 1,
				TTFT: 5 * ms, E2E: 5 * ms,
			},
		},
		{
			name: "no stream",
			answer: func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte(`{"choices":[{"text":"abc"}]}`))
			},
			want: Record{
				Status: 200, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokensFrom: FromChunks,
				Error: `answer is not a stream but application/json: "{\"choices\":[{\"text\":\"abc\"}]}"`,
			},
		},
		{
			name: "an HTTP error",
			answer: func(w http.ResponseWriter) {
				wait(3)
				w.WriteHeader(http.StatusNotFound)
				w.Write([]byte(`{"error":{"message":"The model does not exist."}}`))
			},
			want: Record{
				Status: 404, PromptTokens: 16, PromptTokensFrom: FromPrompt, OutputTokensFrom: FromChunks,
				E2E: 3 * ms, Error: "HTTP 404: The model does not exist.",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := validConfig()
				config.API, config.Requests, config.RequestTimeout = test.api, 1, 30*time.Second
				config.Transport = pipeServer(t, func(w http.ResponseWriter, r *http.Request) { test.answer(w) })
				began := time.Now()
				records, _ := runLoad(t, config)
				if len(records) != 1 {
					t.Fatalf("%d records", len(records))
				}
				test.want.Endpoint, test.want.MaxTokens, test.want.Start = config.Endpoints[0], 4, began
				if diff := cmp.Diff(test.want, records[0]); diff != "" {
					t.Errorf("record (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took > 32*time.Second {
					t.Errorf("the load took %s", took)
				}
			})
		})
	}
}
