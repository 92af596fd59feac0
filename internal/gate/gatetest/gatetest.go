// Package gatetest is the suite that every server with the gate passes: it drives
// one through the project's client and checks by the traces what was recorded.
// It knows the protocol, and nothing of how a server is started or loaded: an
// endpoint, a secret and a way to ask for completions are all that it is given.
package gatetest

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"profjob/internal/gate"
)

// Server is a running server with the gate, whose traffic is the suite's alone.
type Server struct {
	Endpoint string // base URL
	Secret   string
	// Complete asks for one completion of so many tokens, for a prompt of so many,
	// and waits for its end. The suite calls it from several goroutines, four at
	// once at most. Prompts have 4 to 90 tokens; on a server with a prefix cache
	// they are to be unlike those before.
	Complete func(ctx context.Context, prompt, output int) error

	// VLLM is the beginning of the version that hello is to tell; Hooks the
	// methods that it is to say are wrapped. Empty: anything.
	VLLM  string
	Hooks []string
	// Workers is how many workers answer, of all cores; 0: one.
	Workers int
	// Ray says that passes have a thread of their own, as in vLLM's older Ray
	// executor: a recording ends with a pass, and on an idle server only then.
	Ray bool
	// Windows is how many windows of every kind are asked for in a row; 0: ten.
	Windows int
}

// Run runs the suite. It takes about 15 s on a server whose steps take few
// milliseconds, and leaves the server as it was.
func Run(t *testing.T, s Server) {
	t.Helper()
	client, err := gate.New(s.Endpoint, s.Secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Workers, s.Windows = cmp.Or(s.Workers, 1), cmp.Or(s.Windows, 10)
	b := &bench{Server: s, client: client, run: fmt.Sprintf("gt%x", time.Now().UnixNano())}
	for _, test := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"hello", testHello},
		{"secret", testSecret},
		{"refusals", testRefusals},
		{"raw refusals", testRawRefusals},
		{"unknown sessions", testUnknownSessions},
		{"one session at a time", testBusy},
		{"windows", testWindows},
		{"which step opens", testOpening},
		{"all steps", testAll},
		{"duration", testDuration},
		{"limits", testLimits},
		{"disarm while recording", testDisarm},
		{"lease", testLease},
		{"files", testFiles},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Cleanup(func() { b.nothingArmed(t) }) // after what the test itself takes back
			test.test(t, b)
		})
	}
}

// bench is a server under test.
type bench struct {
	Server
	client *gate.Client
	run    string // makes the names of sessions unlike those of other runs
	used   atomic.Int64
}

// session gives a name that no session had.
func (b *bench) session() string { return fmt.Sprintf("%s-%d", b.run, b.used.Add(1)) }

// arm arms a session under a new name, which it gives.
func (b *bench) arm(t *testing.T, r gate.ArmRequest) string {
	t.Helper()
	r.Session = b.session()
	got, err := b.client.Arm(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // whatever the test did
		_, err := b.client.Disarm(context.WithoutCancel(t.Context()), r.Session)
		if err != nil {
			t.Errorf("disarm %s: %v", r.Session, err)
		}
	})
	if got.Session != r.Session || got.State.Ended() || len(got.Workers) != b.Workers {
		t.Fatalf("armed: %+v", got)
	}
	return r.Session
}

// patience is how long a session may take to end.
const patience = 3 * time.Minute

// settle asks until a session has ended, and tells how.
func (b *bench) settle(t *testing.T, session string) *gate.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		got, err := b.client.Status(ctx, session)
		if err != nil {
			t.Fatalf("%s: %v", session, err)
		}
		if got.State.Ended() {
			return got
		}
		if t.Failed() { // without traffic it would not end
			t.FailNow()
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s has not ended within %s: %+v", session, patience, got)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// nothingArmed checks that no worker is armed.
func (b *bench) nothingArmed(t *testing.T) {
	t.Helper()
	h, err := b.client.Hello(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range h.Workers {
		if w.Busy != "" {
			t.Errorf("core %d rank %d is armed for %s", w.Core, w.Rank, w.Busy)
		}
	}
}
