package embedded

import (
	"slices"
	"strings"
	"testing"

	"profjob/internal/engine"
)

func TestSetup(t *testing.T) {
	for _, c := range []struct {
		name    string
		request engine.SetupRequest
		want    string // the arguments, or what the error says
		dialect string
		err     bool
	}{
		{"least", engine.SetupRequest{TraceDir: "/t"}, "--dialect vllm-0.32 --trace-dir /t", "per-request", false},
		{"all", engine.SetupRequest{
			TraceDir: "/t",
			Record:   engine.Record{Shapes: true, Memory: true, Stack: true, FLOPs: true},
			Options: map[string]any{"dialect": "vllm-0.15", "max_num_seqs": 8, "max_num_batched_tokens": int64(64), "step_floor": "5ms",
				"seed": float64(3), "delay_iterations": 1, "max_iterations": 4},
		}, "--dialect vllm-0.15 --trace-dir /t --shapes --memory --stack --flops --max-num-seqs 8 --max-num-batched-tokens 64 --seed 3 --delay-iterations 1 --max-iterations 4 --step-floor 5ms", "both", false},
		{"oldest", engine.SetupRequest{TraceDir: "/t", Options: map[string]any{"dialect": "vllm-0.11"}}, "--dialect vllm-0.11 --trace-dir /t", "environment", false},
		{"bounds of the oldest", engine.SetupRequest{TraceDir: "/t", Options: map[string]any{"dialect": "vllm-0.11", "max_iterations": 4}}, "max_iterations: dialect vllm-0.11 has no bounds", "", true},
		{"with the gate instead", engine.SetupRequest{NoProfiler: true, Record: engine.Record{Shapes: true}, Options: map[string]any{"step_floor": "5ms"}},
			"--dialect vllm-0.32 --step-floor 5ms", "per-request", false},
		{"no folder", engine.SetupRequest{}, "not an absolute path", "", true},
		{"dialect", engine.SetupRequest{TraceDir: "/t", Options: map[string]any{"dialect": "vllm-9"}}, `"vllm-9" is none of vllm-0.11, vllm-0.15, vllm-0.32`, "", true},
		{"floor", engine.SetupRequest{TraceDir: "/t", Options: map[string]any{"step_floor": "5"}}, `"5" is no duration`, "", true},
		{"seqs", engine.SetupRequest{TraceDir: "/t", Options: map[string]any{"max_num_seqs": 1.5}}, "max_num_seqs: want a whole number", "", true},
		{"device", engine.SetupRequest{TraceDir: "/t", Record: engine.Record{Activities: []string{"device"}}}, "there is no device", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Kind().Setup(c.request)
			if c.err {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if joined := strings.Join(got.Args, " "); joined != c.want || got.Dialect != c.dialect {
				t.Errorf("got %q, dialect %s; want %q, %s", joined, got.Dialect, c.want, c.dialect)
			}
		})
	}
}

func TestOptionsHaveFlags(t *testing.T) {
	for _, o := range Kind().Options {
		if o.Doc == "" || o.Name == optionDialect && !slices.Contains(o.OneOf, DefaultDialect) {
			t.Errorf("option %s: %+v", o.Name, o)
		}
	}
}
