package gatetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"profjob/internal/gate"
)

// never is a window that opens at no step.
var never = gate.Window{Steps: 5, Delay: 1 << 30}

func testUnknownSessions(t *testing.T, b *bench) {
	id := b.session()
	_, status := b.client.Status(t.Context(), id)
	_, renew := b.client.Renew(t.Context(), id, time.Minute)
	_, disarm := b.client.Disarm(t.Context(), id)
	_, file := b.client.Range(t.Context(), id, "x", 0, 1)
	remove := b.client.Delete(t.Context(), id, "x")
	for op, err := range map[string]error{"status": status, "renew": renew, "disarm": disarm, "file": file, "delete": remove} {
		if !errors.Is(err, gate.ErrSession) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func testBusy(t *testing.T, b *bench) {
	first := b.arm(t, gate.ArmRequest{Window: never})
	_, err := b.client.Arm(t.Context(), gate.ArmRequest{Session: b.session(), Window: never})
	if !errors.Is(err, gate.ErrBusy) || !gate.NothingArmed(err) || !strings.Contains(err.Error(), first) {
		t.Errorf("two sessions at once: %v", err)
	}
	h, err := b.client.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range h.Workers {
		if w.Busy != first {
			t.Errorf("core %d rank %d says it is armed for %q, not for %s", w.Core, w.Rank, w.Busy, first)
		}
	}
	for range 3 {
		got, err := b.client.Disarm(t.Context(), first)
		if err != nil || got.State != gate.Disarmed || got.Workers[0].EndedBy != "disarm" || len(got.Workers[0].Files) > 0 {
			t.Errorf("disarm: %+v, %v", got, err)
		}
	}
	var e *gate.Error
	if _, err := b.client.Arm(t.Context(), gate.ArmRequest{Session: first, Window: never}); !errors.As(err, &e) || e.Field != "session" {
		t.Errorf("a session's name for the second time: %v", err)
	}
	b.arm(t, gate.ArmRequest{Window: never}) // and another may come
}

// testDisarm checks that what was recorded until then is written.
func testDisarm(t *testing.T, b *bench) {
	b.traffic(t, 2)
	session := b.arm(t, gate.ArmRequest{Window: gate.Window{Steps: 1000}, Record: gate.Record{Shapes: true}})
	b.recording(t, session)
	if _, err := b.client.Disarm(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	got := b.settle(t, session)
	if got.State != gate.Disarmed {
		t.Errorf("state %s, want disarmed", got.State)
	}
	for _, w := range got.Workers {
		if w.EndedBy != "disarm" || len(w.Steps) == 0 || len(w.Steps) >= 1000 {
			t.Errorf("core %d rank %d ended by %s after %d steps", w.Core, w.Rank, w.EndedBy, len(w.Steps))
		}
		b.exact(t, session, gate.ArmRequest{Record: gate.Record{Shapes: true}}, w)
	}
}

// recording waits until every worker records.
func (b *bench) recording(t *testing.T, session string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got, err := b.client.Status(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		if got.State.Ended() {
			t.Fatalf("it has ended: %+v", got)
		}
		all := true
		for _, w := range got.Workers {
			all = all && w.Recorded > 0
			if len(w.Steps) > 0 || len(w.Files) > 0 {
				t.Errorf("steps and files before the end: %+v", w)
			}
		}
		if all {
			return
		}
	}
	t.Fatalf("nothing was recorded within %s", patience)
}

// testLease checks that sessions that nobody renews end, on a server that does
// nothing, and that asking renews.
func testLease(t *testing.T, b *bench) {
	waiting := b.arm(t, gate.ArmRequest{Window: never, Lease: 2 * time.Second})
	for range 2 {
		time.Sleep(1300 * time.Millisecond)
		if got, err := b.client.Status(t.Context(), waiting); err != nil || got.State != gate.Armed {
			t.Errorf("asking does not renew: %+v, %v", got, err)
		}
	}
	if got, err := b.client.Renew(t.Context(), waiting, time.Second); err != nil || got.State != gate.Armed {
		t.Errorf("renewed: %+v, %v", got, err)
	}
	time.Sleep(1300 * time.Millisecond)
	got, err := b.client.Status(t.Context(), waiting) // too late
	if err != nil {
		t.Fatal(err)
	}
	if got.State != gate.Disarmed || got.Workers[0].EndedBy != "lease" || len(got.Workers[0].Files) > 0 {
		t.Errorf("after the lease: %+v", got)
	}

	recording := b.arm(t, gate.ArmRequest{Window: gate.Window{Duration: time.Minute}, Lease: 2 * time.Second})
	b.complete(t, 5, 5)
	if b.Ray {
		b.complete(t, 5, 10) // a window opens some passes later there
	}
	time.Sleep(2500 * time.Millisecond)
	if b.Ray {
		b.complete(t, 5, 5) // only a pass can end it
	} else {
		b.arm(t, gate.ArmRequest{Window: never}) // it holds nobody up
	}
	got = b.settle(t, recording)
	w := got.Workers[0]
	if got.State != gate.Disarmed || w.EndedBy != "lease" || len(w.Steps) == 0 {
		t.Errorf("after the lease: %+v", got)
	}
	if !b.Ray && (w.Steps[0].Class != "prefill" || len(w.Steps) != 5) {
		t.Errorf("a completion of 5 tokens has the steps %+v", w.Steps)
	}
	b.exact(t, recording, gate.ArmRequest{}, w)
}
