package event

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type readerFunc func(Entry) error

func (f readerFunc) Read(e Entry) error { return f(e) }

func at(hour int) func() time.Time {
	return func() time.Time { return time.Date(2026, 11, 24, hour, 0, 0, 0, time.FixedZone("CET", 3600)) }
}

// Every reader has seen an event, in the order of the readers, when Emit returns.
func TestReadersComeInOrder(t *testing.T) {
	var order []string
	note := func(name string) Reader {
		return readerFunc(func(e Entry) error { order = append(order, name+" "+e.Event.Kind()); return nil })
	}
	bus := NewBus(at(4), note("journal"), note("view"))
	for _, ev := range []Event{RunStarted{}, Warning{}} {
		if err := bus.Emit(ev); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"journal run_started", "view run_started", "journal warning", "view warning"}
	if !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}

func TestEntriesAreNumberedInUTC(t *testing.T) {
	var all []Entry
	bus := NewBus(at(4), readerFunc(func(e Entry) error { all = append(all, e); return nil }))
	for range 3 {
		if err := bus.Emit(Interrupted{Count: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range all {
		if e.Seq != int64(i+1) || !e.Time.Equal(at(4)()) || e.Time.Location() != time.UTC {
			t.Errorf("entry %d has number %d and time %s", i, e.Seq, e.Time)
		}
	}
}

// A reader that fails does not keep the others from reading; all errors come back.
func TestEmitJoinsErrors(t *testing.T) {
	full, gone := errors.New("disk full"), errors.New("terminal gone")
	var read int
	bus := NewBus(at(4), readerFunc(func(Entry) error { return full }), readerFunc(func(Entry) error { return gone }),
		readerFunc(func(Entry) error { read++; return nil }))
	err := bus.Emit(Warning{})
	if !errors.Is(err, full) || !errors.Is(err, gone) || read != 1 {
		t.Errorf("error %v, the last reader has read %d", err, read)
	}
	if err := NewBus(at(4)).Emit(Warning{}); err != nil {
		t.Errorf("without a reader: %v", err)
	}
}

// Events of several goroutines come one at a time, numbered without gaps.
func TestEmitAtOnce(t *testing.T) {
	var seen []int64 // unguarded: the bus calls one at a time
	bus := NewBus(time.Now, readerFunc(func(e Entry) error { seen = append(seen, e.Seq); return nil }))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if err := bus.Emit(Progress{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, seq := range seen {
		if seq != int64(i+1) {
			t.Fatalf("entry %d has number %d", i, seq)
		}
	}
	if len(seen) != 800 {
		t.Errorf("%d entries, want 800", len(seen))
	}
}

func TestEntryJSON(t *testing.T) {
	e := Entry{Seq: 7, Time: at(4)().UTC(), Event: StepFailed{Place: Place{Step: "probe"}, StepKind: "probe", Error: "refused"}}
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"seq":7,"time":"2026-11-24T03:00:00Z","event":"step_failed","data":{"step":"probe","kind":"probe","took":"0s","error":"refused"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestKindsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, ev := range []Event{RunStarted{}, StepStarted{}, UndoRegistered{}, StepRetrying{}, StepFinished{}, StepFailed{}, Undone{}, Intent{}, Outcome{},
		AttemptFailed{}, Warning{}, Progress{}, Interrupted{}, RunFinished{}} {
		if k := ev.Kind(); seen[k] || k == "" || strings.ToLower(k) != k {
			t.Errorf("%T has the kind %q", ev, k)
		}
		seen[ev.Kind()] = true
	}
}
