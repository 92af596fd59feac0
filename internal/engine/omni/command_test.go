package omni

import (
	"strings"
	"testing"

	"profjob/internal/engine"
)

func TestLimitsOf(t *testing.T) {
	for command, want := range map[string]Limits{
		"vllm serve m": {},
		"vllm serve m --max-num-seqs 64 --max_num_batched_tokens=2048":   {MaxNumSeqs: 64, MaxNumBatchedTokens: 2048},
		"vllm serve m --max-num-seqs 64 --max-num-seqs 8":                {MaxNumSeqs: 8},
		"vllm serve m --max-num-seqs":                                    {},
		"vllm serve m --max-num-seqs many":                               {},
		"vllm serve m --max-num-seqs -1":                                 {},
		`vllm serve m --speculative-config {"num_speculative_tokens":2}`: {SpeculativeTokens: 2},
		"vllm serve m --speculative-config nonsense":                     {},
	} {
		if got := LimitsOf(strings.Fields(command)); got != want {
			t.Errorf("%s: got %+v, want %+v", command, got, want)
		}
	}
}

func TestLimitsOfInfo(t *testing.T) {
	got := LimitsOfInfo(engine.Info{Fingerprint: map[string]string{"max_num_seqs": "7", "max_num_batched_tokens": "x"}})
	if want := (Limits{MaxNumSeqs: 7}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRunsRay(t *testing.T) {
	for command, want := range map[string]bool{
		"vllm serve m": false,
		"vllm serve m --distributed-executor-backend ray": true,
		"vllm serve m --distributed_executor_backend=ray": true,
		"vllm serve m --distributed-executor-backend mp":  false,
		"vllm serve m --served-model-name ray":            false,
	} {
		if got := RunsRay(strings.Fields(command)); got != want {
			t.Errorf("%s: %t", command, got)
		}
	}
}
