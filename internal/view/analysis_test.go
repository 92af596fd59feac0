package view

import (
	"fmt"
	"strings"
	"testing"

	"profjob/internal/analysis"
	"profjob/internal/trace"
)

// analysedSet has all that can be shown.
func analysedSet() *analysis.Set {
	two, eight := 2, 8
	decode := analysis.Group{Class: trace.Decode, Steps: 30,
		Duration: analysis.Spread{Count: 30, Sum: 369_000_000, P50: 12_300_000, P90: 13_010_000, Max: 15_200_000},
		Device:   &analysis.DeviceTime{Span: 340_000_000, Busy: 300_000_000, Idle: 40_000_000, Communication: 26_000_000},
		Share:    []analysis.Part{{Name: "compute", Time: 274_000_000}, {Name: "device idle", Time: 40_000_000}, {Name: "host", Time: 29_000_000}, {Name: "communication", Time: 26_000_000}}}
	idle := analysis.Group{Class: trace.Idle, Duration: analysis.Spread{Count: 1, Sum: 900, P50: 900, P90: 900, Max: 900}}
	total := analysis.Group{
		Operators: []analysis.Operator{{Name: "aten::mm", Count: 12_345, Self: 2_500_000_000, Total: 2_600_000_000}, {Name: "vllm::unified_attention_with_output", Count: 1, Self: 999, Total: 1_000}, {Name: "aten::add"}},
		Kernels: []analysis.Kernel{{Name: "void " + strings.Repeat("cutlass_80_tensorop::", 8) + "Kernel<\x1b[31m>\nend()", Count: 7, Time: 200_000_000, Max: 3_000_000},
			{Name: "ncclDevKernel_AllReduce", Count: 3, Time: 26_000_000, Max: 9_000_000}},
		Categories: []analysis.Category{{Name: "gemm", Count: 7, Time: 200_000_000}, {Name: "communication", Count: 3, Time: 26_000_000}}}
	t := analysis.Trace{File: "rounds/01/attempt-1/traces/server/10.0.0.7-8000/rank2.window.pt.trace.json.gz", FileBytes: 14 << 20, Problem: "byte 77: trace is truncated",
		Host: "gpu-7", EngineVersion: "0.32.0", Rank: &two, WorldSize: &eight, Options: trace.Options{Shapes: true, Memory: true}, Events: 812_345,
		Start: 1e18, End: 1e18 + 1_234_000_000, Evidence: trace.Annotation, Total: total, Classes: []analysis.Group{decode, idle},
		Memory: []analysis.MemoryPeak{{Device: "cuda:0", Peak: 12 << 30, Step: 3, Allocations: 4321, Allocated: 40 << 30}, {Device: "cpu", Step: -1}}}
	for i := range 3 {
		t.Steps = append(t.Steps, analysis.Step{Index: i, Name: fmt.Sprintf("execute_context_0(0)_generation_%d", i), Class: trace.Decode, Requests: int64(60 + i), Tokens: int64(60 + i),
			Start: 1e18 + int64(i)*12_300_000, Duration: 12_300_000})
	}
	t.Steps = append(t.Steps, analysis.Step{Index: 3, Name: "idle", Class: trace.Idle, Requests: analysis.NotKnown, Tokens: analysis.NotKnown, Start: 1e18 + 40_000_000, Duration: 900})
	other := analysis.Trace{File: "rank3.json"}
	return &analysis.Set{Round: 1, Target: "server", Traces: []analysis.Trace{t, other}, Ranks: []analysis.RankSkew{
		{File: "rank2.json", Rank: 2, Collectives: 90, Wait: 1_000_000, Last: 3, Caused: 2_000},
		{File: "rank3.json", Rank: analysis.NotKnown, Collectives: 90, Wait: 2_000, Last: 87, Caused: 1_000_000}}}
}

func TestAnalysis(t *testing.T) {
	for _, width := range []int{0, 80, 120} {
		got := written(t, func(b *strings.Builder) error {
			return Analysis(b, analysedSet(), AnalysisOptions{Width: width, Top: 2, Steps: true})
		})
		golden(t, fmt.Sprintf("analysis-%d.txt", width), got)
	}
}
