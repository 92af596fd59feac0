package view

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"profjob/internal/event"
	"profjob/internal/wire"
)

// stream is a run with something of everything in it.
func stream() []event.Entry {
	at := func(step string, round, attempt int) event.Place {
		return event.Place{Step: step, Round: round, Attempt: attempt}
	}
	ms := func(n int) wire.Duration { return wire.Duration(time.Duration(n) * time.Millisecond) }
	events := []event.Event{
		event.RunStarted{RunID: "20261124T031500Z-1f3c9a", Job: `decode["b64"]`, Dir: "/runs/decode/20261124T031500Z-1f3c9a", PlanDigest: "sha256:00", Version: "0.1.0", Rounds: 2},
		event.UndoRegistered{Place: at("probe", 0, 0)},
		event.StepStarted{Place: at("probe", 0, 0), StepKind: "probe"},
		event.StepRetrying{Place: at("probe", 0, 0), Try: 1, Of: 4, Wait: ms(512), Error: "ask for the version: connection refused"},
		event.StepRetrying{Place: at("probe", 0, 0), Try: 2, Of: 4, Wait: ms(1049), Error: "two lines,\nof an answer\x1b[31m"},
		event.StepFinished{Place: at("probe", 0, 0), StepKind: "probe", Took: ms(1702), Result: json.RawMessage(`{"endpoints":[]}`), Summary: "server is vllm 0.11.0: observed, evidence annotation"},
		event.StepStarted{Place: at("round-01/warmup", 1, 1), StepKind: "warmup"},
		event.Progress{Place: at("round-01/warmup", 1, 1), Text: "12 of 64 requests running", Done: 12, Total: 64, Unit: "requests"},
		event.StepFinished{Place: at("round-01/warmup", 1, 1), StepKind: "warmup", Took: ms(3200), Summary: "64 running, 0 requests completed"},
		event.StepStarted{Place: at("round-01/window", 1, 1), StepKind: "window"},
		event.Intent{Place: at("round-01/window", 1, 1), Action: "start", Target: "server", Endpoint: "http://10.0.0.7:8000"},
		event.Outcome{Place: at("round-01/window", 1, 1), Action: "start", Target: "server", Endpoint: "http://10.0.0.7:8000", Took: ms(5)},
		event.Progress{Place: at("round-01/window", 1, 1), Text: "recording engine steps", Done: 3, Total: 5, Unit: "steps"},
		event.Warning{Place: at("round-01/window", 1, 1), Text: "the server recorded stack, which the job did not ask for"},
		event.StepFailed{Place: at("round-01/window", 1, 1), StepKind: "window", Took: ms(300_000), Error: "the window asked for was not got: server rank 0: only 3 engine steps\nserver rank 1: none"},
		event.Undone{Place: at("round-01/window", 1, 1)},
		event.AttemptFailed{Round: 1, Attempt: 1, Of: 3, Error: "the window asked for was not got"},
		event.StepStarted{Place: at("round-01/warmup", 1, 2), StepKind: "warmup"},
		event.StepFinished{Place: at("round-01/warmup", 1, 2), StepKind: "warmup", Took: ms(0)},
		event.AttemptFailed{Round: 1, Attempt: 3, Of: 3, Final: true, Error: "never shown"},
		event.StepStarted{Place: at("round-02/warmup", 2, 1), StepKind: "warmup"},
		event.Interrupted{Count: 1},
		event.Interrupted{Count: 2},
		event.Interrupted{Count: 3},
		event.StepFailed{Place: at("round-02/warmup", 2, 1), StepKind: "warmup", Took: ms(12_345), Error: "interrupted"},
		event.Undone{Place: at("round-02/warmup", 2, 1), Error: "end the load: it does not end"},
		event.StepStarted{Place: at("seal", 0, 0), StepKind: "seal"},
		event.StepFinished{Place: at("seal", 0, 0), StepKind: "seal", Took: ms(4), Summary: "14 files in /runs/decode/20261124T031500Z-1f3c9a"},
		event.RunFinished{RunID: "20261124T031500Z-1f3c9a", Job: `decode["b64"]`, Status: "interrupted", Exit: 130, Dir: "/runs/decode/20261124T031500Z-1f3c9a", Took: ms(321_000), Errors: []string{"interrupted"}},
	}
	var all []event.Entry
	start := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	for i, ev := range events {
		all = append(all, event.Entry{Seq: int64(i + 1), Time: start.Add(time.Duration(i) * time.Second), Event: ev})
	}
	return all
}

// tell reads a stream with a view.
func tell(t *testing.T, r event.Reader, entries []event.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := r.Read(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLines(t *testing.T) {
	golden(t, "lines.txt", written(t, func(b *strings.Builder) error { tell(t, NewLines(b), stream()); return nil }))
}

// A run of one round does not number it.
func TestLinesOfOneRound(t *testing.T) {
	entries := stream()[:9]
	first := entries[0].Event.(event.RunStarted)
	first.Rounds = 1
	entries[0].Event = first
	got := written(t, func(b *strings.Builder) error { tell(t, NewLines(b), entries); return nil })
	if strings.Contains(got, "round") {
		t.Errorf("it names a round:\n%s", got)
	}
}

func TestJSONLines(t *testing.T) {
	got := written(t, func(b *strings.Builder) error { tell(t, NewJSONLines(b), stream()); return nil })
	golden(t, "events.jsonl", got)
	seq := int64(0)
	for line := range strings.Lines(got) {
		var e struct {
			Seq   int64           `json:"seq"`
			Time  time.Time       `json:"time"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if seq++; e.Seq != seq || e.Time.IsZero() || e.Event == "" || len(e.Data) == 0 {
			t.Errorf("line %d: %s", seq, line)
		}
	}
}

// Every kind of event is in the golden files.
func TestStreamHasEveryKind(t *testing.T) {
	missing := map[string]bool{}
	for _, ev := range []event.Event{event.RunStarted{}, event.StepStarted{}, event.UndoRegistered{}, event.StepRetrying{}, event.StepFinished{}, event.StepFailed{},
		event.Undone{}, event.Intent{}, event.Outcome{}, event.AttemptFailed{}, event.Warning{}, event.Progress{}, event.Interrupted{}, event.RunFinished{}} {
		missing[ev.Kind()] = true
	}
	for _, e := range stream() {
		delete(missing, e.Event.Kind())
	}
	if len(missing) > 0 {
		t.Errorf("missing: %v", missing)
	}
}

// brokenWriter fails after so many bytes.
type brokenWriter struct{ left int }

var errBroken = errors.New("the terminal is gone")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestViewsTellThatTheyCannotWrite(t *testing.T) {
	for name, make := range map[string]func(w io.Writer) event.Reader{
		"lines": func(w io.Writer) event.Reader { return NewLines(w) },
		"jsonl": func(w io.Writer) event.Reader { return NewJSONLines(w) },
		"terminal": func(w io.Writer) event.Reader {
			terminal := NewTerminal(w)
			t.Cleanup(terminal.Close)
			return terminal
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := make(&brokenWriter{left: 300})
			var err error
			for _, e := range stream() {
				err = errors.Join(err, r.Read(e))
			}
			if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "show ") {
				t.Errorf("error %v, want one that says what for", err)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, größer → 日本 …": "plain, größer → 日本 …",
		"a\r\nb\nc":            "a\nb\nc",
		"\x1b[2Jgone":          "�[2Jgone",
		"a\tb\x00\x07\x7f":     "a b���",
		"\u0085\u009b31m":      "��31m",
		"safe\u202etxt.exe":    "safe�txt.exe",
		"broken \xff\xfe":      "broken �",
		"over\rwritten":        "over�written",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1499 * time.Microsecond: "1ms", 999 * time.Millisecond: "999ms", 1234 * time.Millisecond: "1.23s",
		59999 * time.Millisecond: "1m0s", 90_400 * time.Millisecond: "1m30s", 25 * time.Hour: "25h0m0s",
	} {
		if got := Took(d); got != want {
			t.Errorf("%s is written %s, want %s", d, got, want)
		}
	}
}
