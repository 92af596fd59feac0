package load

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	records := []Record{
		{Start: start.Add(time.Second), E2E: 3e9, TTFT: 1e9, TPOT: 5e8, ITL: []int64{5e8, 5e8, 1e9}, PromptTokens: 10, OutputTokens: 5, Chunks: 4},
		{Start: start, E2E: 2e9, TTFT: 2e9, PromptTokens: 20, OutputTokens: 1, Chunks: 1},
		{Start: start.Add(2 * time.Second), E2E: 8e9, TTFT: 1e9, ITL: []int64{7e9}, PromptTokens: 30, OutputTokens: 2, Chunks: 2, Cancelled: true},
		{Start: start.Add(2 * time.Second), E2E: 1e9, PromptTokens: 40, Error: "refused"},
		{Start: start.Add(3 * time.Second), E2E: 1e9, PromptTokens: 40, Error: "reset"},
		{Start: start.Add(3 * time.Second), E2E: 1e9, PromptTokens: 40, Error: "reset"},
	}
	want := Summary{
		Requests: 6, Completed: 2, Failed: 3, Cancelled: 1,
		Start: start, Duration: 10e9,
		InputTokens: 60, OutputTokens: 8,
		RequestRate: 0.2, InputRate: 6, OutputRate: 0.8,
		TTFT:   &Distribution{Count: 2, Mean: 1.5e9, Min: 1e9, P50: 1.5e9, P90: 1.9e9, P95: 1.95e9, P99: 1.99e9, Max: 2e9},
		TPOT:   &Distribution{Count: 1, Mean: 5e8, Min: 5e8, P50: 5e8, P90: 5e8, P95: 5e8, P99: 5e8, Max: 5e8},
		ITL:    &Distribution{Count: 3, Mean: 666666667, Min: 5e8, P50: 5e8, P90: 9e8, P95: 9.5e8, P99: 9.9e8, Max: 1e9},
		E2E:    &Distribution{Count: 2, Mean: 2.5e9, Min: 2e9, P50: 2.5e9, P90: 2.9e9, P95: 2.95e9, P99: 2.99e9, Max: 3e9},
		Errors: []ErrorCount{{"reset", 2}, {"refused", 1}},
	}
	if diff := cmp.Diff(want, Summarize(records)); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	var a Accumulator
	for _, r := range records {
		a.Add(r)
		a.Summary()
	}
	if diff := cmp.Diff(want, a.Summary()); diff != "" {
		t.Errorf("a summary in between changes the last one (-want +got):\n%s", diff)
	}
}

func TestSummarizeNothing(t *testing.T) {
	if diff := cmp.Diff(Summary{}, Summarize(nil)); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(Summarize(nil))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"requests":0,"completed":0,"failed":0,"cancelled":0,"not_sent":0,"start":"0001-01-01T00:00:00Z","duration_ns":0,"input_tokens":0,"output_tokens":0,"requests_per_s":0,"input_tokens_per_s":0,"output_tokens_per_s":0}`
	if string(text) != want {
		t.Errorf("JSON\n got %s\nwant %s", text, want)
	}
}

// The expected numbers are numpy.percentile's.
func TestPercentile(t *testing.T) {
	hundred := make([]int64, 100)
	for i := range hundred {
		hundred[i] = int64(i+1) * 1000
	}
	tests := []struct {
		times []int64
		p     float64
		want  int64
	}{
		{[]int64{7}, 0.99, 7},
		{[]int64{1, 2}, 0.5, 2}, // 1.5, rounded
		{hundred, 0.50, 50500},
		{hundred, 0.90, 90100},
		{hundred, 0.95, 95050},
		{hundred, 0.99, 99010},
		{hundred, 1, 100000},
	}
	for _, test := range tests {
		if got := percentile(test.times, test.p); got != test.want {
			t.Errorf("percentile %v of %d times is %d, want %d", test.p, len(test.times), got, test.want)
		}
	}
}

func TestAccumulatorBoundsErrors(t *testing.T) {
	var a Accumulator
	for i := range 2 * maxErrorKinds {
		a.Add(Record{Error: fmt.Sprint(i)})
	}
	if len(a.errors) != maxErrorKinds+1 {
		t.Errorf("%d kinds of errors kept", len(a.errors))
	}
	if top := a.Summary().Errors; len(top) != 10 || top[0] != (ErrorCount{"other errors", maxErrorKinds}) {
		t.Errorf("top errors are %v", top)
	}
}

func TestRecordJSON(t *testing.T) {
	r := Record{
		Sequence: 3, Endpoint: "http://a:1", Start: start.Add(123456789), Status: 200,
		PromptTokens: 5, PromptTokensFrom: FromUsage, MaxTokens: 2, OutputTokens: 2, OutputTokensFrom: FromUsage, Chunks: 2,
		TTFT: 10, TPOT: 20, ITL: []int64{20}, E2E: 30,
	}
	const want = `{"seq":3,"endpoint":"http://a:1","start":"2026-11-24T03:15:00.123456789Z","status":200,"prompt_tokens":5,"prompt_tokens_from":"usage","max_tokens":2,"output_tokens":2,"output_tokens_from":"usage","chunks":2,"ttft_ns":10,"tpot_ns":20,"itl_ns":[20],"e2e_ns":30}`
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Errorf("JSON\n got %s\nwant %s", text, want)
	}
	var back Record
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
