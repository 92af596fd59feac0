package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/steps"
)

// atSeal interrupts when the run is about to be sealed.
type atSeal struct{ interrupts *steps.Interrupts }

func (a *atSeal) Read(e event.Entry) error {
	if started, ok := e.Event.(event.StepStarted); ok && started.Step == "seal" {
		a.interrupts.Signal()
	}
	return nil
}

// A journal that cannot be written any more fails the run, whose cleanup comes all
// the same, and nothing hangs.
func TestJournalBreaks(t *testing.T) {
	for name, breakIt := range map[string]func(*testing.T, *journal){
		"closed file": func(t *testing.T, j *journal) {
			if err := j.file.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"full disk": func(t *testing.T, j *journal) {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip("no /dev/full here")
			}
			if err := j.file.Close(); err != nil {
				t.Fatal(err)
			}
			j.file = full
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s script
			var r *runner
			window := s.step("window", nil)
			window.do = func(context.Context, *steps.Run) (any, error) {
				s.add("do-window")
				breakIt(t, r.journal)
				return note{"recorded"}, nil
			}
			collect := &keeper{fake: *s.step("collect", nil), keeps: true}
			r, err := begin(planOf(s.step("launch", nil)).round(1, window, collect).round(2, s.step("later", nil)), options(t))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan Result)
			go func() { done <- r.do(context.Background()) }()
			var result Result
			select {
			case result = <-done:
			case <-time.After(time.Minute):
				t.Fatal("the run hangs")
			}
			if want := "do-launch do-window undo-window undo-launch"; s.String() != want {
				t.Errorf("got %s, want %s", &s, want)
			}
			if result.Status != archive.StatusIncomplete || result.Exit != steps.ExitIncomplete || result.Manifest != nil ||
				!strings.HasSuffix(result.Path, ".partial") || !strings.Contains(result.Errors[0], "journal: ") {
				t.Errorf("status %s, exit %d, path %s, errors %q", result.Status, result.Exit, result.Path, result.Errors)
			}
			entries := journaled(t, result.Path)
			if last := entries[len(entries)-1]; last.String() != "step_started:window" {
				t.Errorf("the journal ends with %s", last)
			}
		})
	}
}

// A plan step whose cleanup could not be journaled does not begin.
func TestJournalBreaksBefore(t *testing.T) {
	var s script
	r, err := begin(planOf(s.step("a", nil)), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.journal.file.Close(); err != nil {
		t.Fatal(err)
	}
	result := r.do(t.Context())
	if s.String() != "" || result.Exit != steps.ExitIncomplete {
		t.Errorf("got %q, exit %d", &s, result.Exit)
	}
}

func TestJournalLeavesProgressOut(t *testing.T) {
	result := run(t, planOf(&fake{id: "a", do: func(_ context.Context, run *steps.Run) (any, error) {
		return nil, backoff.Permanent(errors.Join(run.Emit(event.Progress{Text: "x"}), run.Warn("w"), errors.New("end")))
	}}))
	if got := told(journaled(t, result.Path)); strings.Contains(got, "progress") || !strings.Contains(got, "warning") {
		t.Errorf("the journal has %s", got)
	}
}

func TestJournalIsNotWrittenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
}
