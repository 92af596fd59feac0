package gatetest

import (
	"slices"
	"strings"
	"testing"

	"profjob/internal/gate"
)

func testHello(t *testing.T, b *bench) {
	h, err := b.client.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.Gate != gate.Version || h.Protocol != gate.Protocol || !strings.HasPrefix(h.VLLM, b.VLLM) || len(h.Workers) != b.Workers {
		t.Errorf("hello: %+v", h)
	}
	for _, can := range []string{"steps", "duration", "threshold", "at_most", "phase", "all", "skip_requests", "delay", "ranges", "delete"} {
		if !slices.Contains(h.Can, can) {
			t.Errorf("it does not say that it can %s: %q", can, h.Can)
		}
	}
	places := map[[2]int]bool{}
	for _, w := range h.Workers {
		places[[2]int{w.Core, w.Rank}] = true
		if w.Error != "" || w.Host == "" || w.PID == 0 || w.WorldSize == 0 || w.Root == "" || w.Profiler == "" || !slices.Contains(w.Activities, "cpu") {
			t.Errorf("worker: %+v", w)
		}
		if w.MaxNumBatchedTokens < 1 || w.MaxNumSeqs < 1 || w.MaxNumBatchedTokens < w.MaxNumSeqs {
			t.Errorf("limits of the scheduler: %d tokens, %d requests", w.MaxNumBatchedTokens, w.MaxNumSeqs)
		}
		if b.Hooks != nil && !slices.Equal(w.Hooks, b.Hooks) {
			t.Errorf("hooks %q, want %q", w.Hooks, b.Hooks)
		}
	}
	if len(places) != b.Workers {
		t.Errorf("workers share a core and a rank: %+v", h.Workers)
	}
}
