package embedded

import (
	"slices"
	"testing"
)

// passes gives the annotation of each pass.
func (b *bench) passes() []string {
	b.t.Helper()
	b.e.profiler.start(session{})
	b.run()
	trace := b.e.profiler.recorder.Finish()
	b.e.profiler.recorder = nil
	if err := b.e.profiler.files.writeWorker(trace, ""); err != nil {
		b.t.Fatal(err)
	}
	return readTrace(b.t, one(b.t, b.e.config.TraceDir, "*.gz")).annotations()
}

func TestScheduling(t *testing.T) {
	for _, tc := range []struct {
		name         string
		seqs, tokens int
		requests     [][2]int // tokens of prompt and answer
		want         []string
	}{
		{"prompts together", 8, 64, [][2]int{{5, 2}, {6, 2}},
			[]string{"execute_context_2(11)_generation_0(0)", "execute_context_0(0)_generation_2(2)", idle}},
		{"a prompt in chunks beside a decode", 8, 8, [][2]int{{4, 4}, {14, 2}}, []string{
			"execute_context_2(8)_generation_0(0)", // 4 and the first 4
			"execute_context_1(7)_generation_1(1)",
			"execute_context_1(3)_generation_1(1)",
			"execute_context_0(0)_generation_2(2)", idle,
		}},
		{"no more at once than allowed", 1, 64, [][2]int{{3, 2}, {2, 1}}, []string{
			"execute_context_1(3)_generation_0(0)", "execute_context_0(0)_generation_1(1)",
			"execute_context_1(2)_generation_0(0)", idle,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, Config{Dialect: V015, MaxNumSeqs: tc.seqs, MaxNumBatchedTokens: tc.tokens})
			for _, r := range tc.requests {
				b.add(r[0], r[1])
			}
			if got := b.passes(); !slices.Equal(got, tc.want) {
				t.Errorf("passes\n%q, want\n%q", got, tc.want)
			}
		})
	}
}

// A request waits until the KV cache has room for all it may become.
func TestSchedulerWaitsForTheCache(t *testing.T) {
	b := newBench(t, Config{Dialect: V015})
	b.e.scheduler.freeBlocks = 3
	first, second := b.add(20, 5), b.add(20, 5) // two blocks each
	if n := len(b.e.scheduler.next()); n != 1 {
		t.Fatalf("%d requests in the first pass", n)
	}
	b.e.scheduler.remove(first)
	if batch := b.e.scheduler.next(); len(batch) != 1 || batch[0].request != second {
		t.Errorf("the second pass is %v", batch)
	}
	b.e.scheduler.remove(second)
	if b.e.scheduler.freeBlocks != 3 {
		t.Errorf("%d blocks are free, want 3", b.e.scheduler.freeBlocks)
	}
}
