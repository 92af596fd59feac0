package trace

import "testing"

func TestParseAnnotation(t *testing.T) {
	const no = NotKnown
	for _, test := range []struct {
		text string
		want annotation
	}{
		// vLLM 0.11.1–0.13
		{"execute_new_1_cached_0", annotation{serverSpan, Prefill, 1, no, 1, no, 0, 0}},
		{"execute_new_3_cached_1", annotation{serverSpan, Mixed, 4, no, no, no, no, no}},
		{"execute_new_0_cached_4", annotation{serverSpan, Unknown, 4, no, no, no, no, no}},
		{"execute_new_0_cached_0", annotation{serverSpan, Idle, 0, 0, 0, 0, 0, 0}},
		// from 0.14
		{"execute_context_3(24)_generation_1(1)", annotation{serverSpan, Mixed, 4, 25, 3, 24, 1, 1}},
		{"execute_context_1(8)_generation_0(0)", annotation{serverSpan, Prefill, 1, 8, 1, 8, 0, 0}},
		{"execute_context_0(0)_generation_4(4)", annotation{serverSpan, Decode, 4, 4, 0, 0, 4, 4}},
		{"execute_context_0(0)_generation_0(0)", annotation{serverSpan, Idle, 0, 0, 0, 0, 0, 0}},
		{"execute_context_1(888_788544)_generation_0(0)", annotation{serverSpan, Prefill, 1, 888, 1, 888, 0, 0}},
		// detailed
		{"execute_8192_context_9(sq8155sk8430sqsq7475785sqsk7671310)_generation_37(sq37sk34489sqsq37sqsk34489)",
			annotation{serverSpan, Mixed, 46, 8192, 9, 8155, 37, 37}},
		{"execute_0_context_0(sq0sk0sqsq0sqsk0)_generation_0(sq0sk0sqsq0sqsk0)", annotation{serverSpan, Idle, 0, 0, 0, 0, 0, 0}},
		// SGLang
		{"step[EXTEND bs=1 toks=4]", annotation{serverSpan, Prefill, 1, 4, 1, 4, 0, 0}},
		{"step[DECODE bs=4]", annotation{serverSpan, Decode, 4, 4, 0, 0, 4, 4}},
		{"step[EXTEND bs=1 toks=1 c_sq=1 c_sqsq=1 c_sqsk=4 c_sk=4 forward_id=278]", annotation{serverSpan, Prefill, 1, 1, 1, 1, 0, 0}},
		{"step[DECODE bs=1 g_sq=1 g_sqsq=1 g_sqsk=5 g_sk=5 forward_id=279]", annotation{serverSpan, Decode, 1, 1, 0, 0, 1, 1}},
		{"step[IDLE bs=0]", annotation{serverSpan, Idle, 0, 0, no, no, no, no}},
		{"step[TARGET_VERIFY bs=2]", annotation{serverSpan, Decode, 2, no, 0, 0, 2, no}},
		{"step[MIXED bs=3 toks=9]", annotation{serverSpan, Mixed, 3, 9, no, no, no, no}},
		{"step[NEWMODE bs=3]", annotation{serverSpan, Unknown, 3, no, no, no, no, no}},
		// others
		{"ProfilerStep#12", annotation{profilerStep, Unknown, no, no, no, no, no, no}},
		{"Forward", annotation{forwardScope, Unknown, no, no, no, no, no, no}},
		{"gpu_model_runner: forward", annotation{forwardScope, Unknown, no, no, no, no, no, no}},
	} {
		if got := parseAnnotation(test.text); got != test.want {
			t.Errorf("%s\n got %+v\nwant %+v", test.text, got, test.want)
		}
	}
	for _, text := range []string{
		"", "## Call CompiledFxGraph f7ndx7 ##", "scheduler.run_batch", "nccl:all_reduce", "execute_model", "execute_",
		"execute_new_", "execute_new_1", "execute_new_1_cached_", "execute_new_1_cached_2x", "execute_context_1(8)",
		"execute_context_1_generation_1", "execute_context_(8)_generation_0(0)", "execute_context_1()_generation_0(0)",
		"execute_5", "execute_5_context_1(8", "step[", "step[]", "step", "Preprocess", "DistributedDataParallel.forward",
		"execute_context_99999999999999999999(1)_generation_0(0)",
	} {
		if got := parseAnnotation(text); got.rank != noPass {
			t.Errorf("%q marks a pass: %+v", text, got)
		}
	}
}

func FuzzParseAnnotation(f *testing.F) {
	for _, s := range []string{"execute_new_0_cached_4", "execute_context_1(888_788544)_generation_0(0)", "execute_1_context_1(sq1)_generation_0(sq0)", "step[DECODE bs=4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := parseAnnotation(s)
		for _, n := range []int64{a.requests, a.tokens, a.contextTokens, a.generationTokens} {
			if n < NotKnown {
				t.Errorf("%q gives the count %d", s, n)
			}
		}
	})
}
