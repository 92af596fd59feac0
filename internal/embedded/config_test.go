package embedded

import (
	"strings"
	"testing"
	"time"
)

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		config Config
		want   string
	}{
		{Config{Dialect: "vllm-0.9"}, `dialect "vllm-0.9" is none of ["vllm-0.11" "vllm-0.15" "vllm-0.32" "omni-g1" "omni-g2" "omni-g3" "omni-g4" "omni-g5"]`},
		{Config{Dialect: V011, MaxIterations: 3}, "has no bounds"},
		{Config{Dialect: V011, DelayIterations: 3}, "has no bounds"},
		{Config{Dialect: V011, IgnoreFrontend: true}, "always traces the frontend"},
		{Config{Dialect: V011, NoGzip: true}, "always compresses"},
		{Config{MaxIterations: -1}, "max iterations is -1"},
		{Config{DelayIterations: -1}, "delay iterations is -1"},
		{Config{MaxNumSeqs: -1}, "max num seqs is -1"},
		{Config{MaxModelLen: 4096}, "the model's limit is 2048"},
		{Config{MaxNumSeqs: 8, MaxNumBatchedTokens: 4}, "must be at least the 8 of max num seqs"},
		{Config{StepFloor: -time.Second}, "step floor is -1s"},
	} {
		_, err := New(tc.config)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %s", tc.config, err, tc.want)
		}
	}
}

func TestStepFloor(t *testing.T) {
	const floor = 10 * time.Millisecond
	r := serve(t, Config{StepFloor: floor})
	began := time.Now()
	r.complete(3, 5)
	if took := time.Since(began); took < 5*floor {
		t.Errorf("five passes took %s, want at least %s", took, 5*floor)
	}
}

// BenchmarkDecodePass is a whole engine step of four requests.
func BenchmarkDecodePass(b *testing.B) {
	for name, c := range map[string]Config{
		"off":   {},
		"on":    {Record: Record{Shapes: true}},
		"stack": {Record: Record{Shapes: true, Memory: true, Stack: true, FLOPs: true}},
	} {
		b.Run("record="+name, func(b *testing.B) {
			c.TraceDir = b.TempDir()
			e := benchEngine(b, c)
			const length = 1900
			add := func() {
				for range 4 {
					e.scheduler.add(&request{
						prompt: make([]int32, 64), maxTokens: length, ignoreEOS: true, events: make(chan event, length+1),
					})
				}
			}
			add()
			for b.Loop() {
				if !e.scheduler.ready() {
					add()
				}
				if name != "off" && e.profiler.recorded == 0 {
					e.profiler.start(session{})
				}
				if e.profiler.recorded > 500 { // a recording of a common size
					e.profiler.active, e.profiler.recorder, e.profiler.recorded = false, nil, 0
				}
				if err := e.pass(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
