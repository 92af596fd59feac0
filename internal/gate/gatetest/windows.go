package gatetest

import (
	"math/rand/v2"
	"testing"
	"time"

	"profjob/internal/gate"
)

// Requests makes windows with thresholds from 1 to 64, 1 to 20 steps, all phases
// and changing record options; the same ones in every run.
func Requests(n int) []gate.ArmRequest {
	r := rand.New(rand.NewPCG(1, 2))
	phases := []gate.Phase{gate.Any, gate.Decode, gate.Mixed, gate.Decode, gate.Prefill}
	all := make([]gate.ArmRequest, n)
	for i := range all {
		q := &all[i]
		q.Window.Phase = phases[i%len(phases)]
		q.Window.Steps = 1 + r.IntN(20)
		most := 64 // a batch of 4 requests decodes at most 4 tokens
		if q.Window.Phase == gate.Decode {
			most = 3
		}
		q.Window.Threshold = 1 + r.IntN(most)
		q.Record = gate.Record{Shapes: i%2 == 1, Memory: i%3 == 1, FLOPs: i%4 == 2, Stack: i%5 == 3}
		if q.Record.Stack && q.Record.Memory {
			q.Window.Steps = min(q.Window.Steps, 5) // vLLM has 40000 events a step then
		}
	}
	return all
}

// window gets one window and checks each worker's.
func (b *bench) window(t *testing.T, r gate.ArmRequest) *gate.Status {
	t.Helper()
	session := b.arm(t, r)
	got := b.settle(t, session)
	if got.State != gate.Done || len(got.Workers) != b.Workers {
		t.Errorf("%+v: %s, %d workers: %+v", r.Window, got.State, len(got.Workers), got.Workers)
	}
	for _, w := range got.Workers {
		b.exact(t, session, r, w)
	}
	SameSteps(t, got.Workers)
	return got
}

func testWindows(t *testing.T, b *bench) {
	for _, r := range Requests(b.Windows) {
		clients := 4
		if r.Window.Phase == gate.Prefill {
			clients = 1
		}
		stop := b.traffic(t, clients)
		r.Lease = time.Minute
		b.window(t, r)
		stop()
	}
}

// testOpening checks by requests sent one after the other which step is first.
func testOpening(t *testing.T, b *bench) {
	if b.Ray || b.Workers > 1 {
		t.Skip("which of several cores gets a request, and the pass at which a thread of passes begins, are not known")
	}
	for _, tc := range []struct {
		name   string
		window gate.Window
		first  int // of the steps of the requests below: tokens that the step has
		class  string
		passes int // steps seen while armed, the first included
	}{
		{"any", gate.Window{Steps: 1}, 10, "prefill", 1},
		{"a decode", gate.Window{Steps: 1, Phase: gate.Decode}, 1, "decode", 2},
		{"a threshold", gate.Window{Steps: 1, Threshold: 11}, 20, "prefill", 4},
		{"at most", gate.Window{Steps: 1, AtMost: 9}, 1, "decode", 2},
		{"a threshold and at most", gate.Window{Steps: 1, Threshold: 21, AtMost: 30}, 30, "prefill", 7},
		{"a delay", gate.Window{Steps: 1, Delay: 2}, 1, "decode", 3},
		{"a delay over the first request", gate.Window{Steps: 1, Delay: 3}, 20, "prefill", 4},
		{"skipped requests", gate.Window{Steps: 1, SkipRequests: 2}, 30, "prefill", 7},
		{"skipped requests and a phase", gate.Window{Steps: 1, SkipRequests: 1, Phase: gate.Decode}, 1, "decode", 5},
		{"a delay and a phase", gate.Window{Steps: 1, Delay: 1, Phase: gate.Prefill}, 20, "prefill", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			session := b.arm(t, gate.ArmRequest{Window: tc.window})
			for _, prompt := range []int{10, 20, 30} {
				b.complete(t, prompt, 3) // three steps each
			}
			got := b.settle(t, session)
			w := got.Workers[0]
			if got.State != gate.Done || len(w.Steps) != 1 {
				t.Fatalf("%+v", got)
			}
			if s := w.Steps[0]; s.Tokens != int64(tc.first) || string(s.Class) != tc.class || w.Counted != int64(tc.passes) {
				t.Errorf("the first step is the %d. and a %s of %d tokens, want the %d., a %s of %d", w.Counted, s.Class, s.Tokens, tc.passes, tc.class, tc.first)
			}
			b.exact(t, session, gate.ArmRequest{Window: tc.window}, w)
		})
	}
}

// testAll checks that recordings that meet a step that does not fit begin anew.
func testAll(t *testing.T, b *bench) {
	r := gate.ArmRequest{Window: gate.Window{Steps: 3, Phase: gate.Decode, All: true}, Lease: time.Minute}
	t.Run("under load", func(t *testing.T) {
		b.traffic(t, 2)
		b.window(t, r)
	})
	t.Run("one after the other", func(t *testing.T) {
		if b.Ray || b.Workers > 1 {
			t.Skip("which steps a window sees is not known")
		}
		session := b.arm(t, r)
		b.complete(t, 10, 3) // a prefill and two decode steps: one too few
		b.complete(t, 10, 3)
		b.complete(t, 10, 9)
		w := b.settle(t, session).Workers[0]
		if w.Discarded != 2 || w.State != gate.Done {
			t.Errorf("%d recordings thrown away, want 2: %+v", w.Discarded, w)
		}
		b.exact(t, session, r, w)
	})
}

func testDuration(t *testing.T, b *bench) {
	const asked = 300 * time.Millisecond
	b.traffic(t, 2)
	session := b.arm(t, gate.ArmRequest{Window: gate.Window{Duration: asked}, Lease: time.Minute})
	got := b.settle(t, session)
	if got.State != gate.Done {
		t.Errorf("state %s, want done", got.State)
	}
	for _, w := range got.Workers {
		if w.EndedBy != "duration" || len(w.Steps) == 0 {
			t.Fatalf("core %d rank %d ended by %s after %d steps: %s", w.Core, w.Rank, w.EndedBy, len(w.Steps), w.Error)
		}
		if took := time.Duration(w.Steps[len(w.Steps)-1].Start - w.Steps[0].Start); took > asked+time.Second {
			t.Errorf("core %d rank %d recorded for %s, asked for %s", w.Core, w.Rank, took, asked)
		}
		b.exact(t, session, gate.ArmRequest{}, w)
	}
}

func testLimits(t *testing.T, b *bench) {
	stop := b.traffic(t, 2)
	defer stop()
	for _, tc := range []struct {
		name   string
		window gate.Window
		limits gate.Limits
		steps  int // recorded; 0: any
	}{
		{"max_steps", gate.Window{Duration: time.Minute}, gate.Limits{Steps: 3}, 3},
		{"max_seconds", gate.Window{Steps: 10000}, gate.Limits{Steps: 10000, Duration: 200 * time.Millisecond}, 0},
	} {
		session := b.arm(t, gate.ArmRequest{Window: tc.window, Limits: tc.limits, Lease: time.Minute})
		got := b.settle(t, session)
		for _, w := range got.Workers {
			if w.State != gate.Disarmed || w.EndedBy != tc.name || len(w.Steps) == 0 || tc.steps > 0 && len(w.Steps) != tc.steps {
				t.Errorf("%s: %s by %s after %d steps: %s", tc.name, w.State, w.EndedBy, len(w.Steps), w.Error)
			}
			b.exact(t, session, gate.ArmRequest{}, w)
		}
	}
	// A limit of size ends a recording, and what was recorded is kept.
	got := b.settle(t, b.arm(t, gate.ArmRequest{Window: gate.Window{Steps: 3}, Limits: gate.Limits{Bytes: 1}}))
	for _, w := range got.Workers {
		if w.State != gate.Done && w.EndedBy != "max_bytes" || len(w.Steps) == 0 || len(w.Files) == 0 {
			t.Errorf("max_bytes: %s, %s, files %+v", w.State, w.Error, w.Files)
		}
	}
}
