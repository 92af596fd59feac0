package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/steps"
)

func permanent(text string) error { return backoff.Permanent(errors.New(text)) }

func failure(exit int, final bool) *steps.Failure {
	status := map[int]archive.Status{steps.ExitWindow: archive.StatusWindowNotMet, steps.ExitIncomplete: archive.StatusIncomplete}[exit]
	if status == "" {
		status = archive.StatusFailed
	}
	return &steps.Failure{Status: status, Exit: exit, Final: final, Err: errors.New("failure")}
}

// A cleanup is journaled before its plan step begins, a result before the next
// does: each is looked for on disk from inside the plan steps.
func TestOrderOfEvents(t *testing.T) {
	var first, second string
	look := func(into *string) func(context.Context, *steps.Run) (any, error) {
		return func(_ context.Context, run *steps.Run) (any, error) {
			*into = told(journaled(t, run.Dir.Path()))
			return note{"x"}, nil
		}
	}
	result := run(t, planOf(&fake{id: "a", do: look(&first)}, &fake{id: "b", do: look(&second)}))
	result.ended(t, archive.StatusOK, 0, "")
	if want := "run_started undo_registered:a step_started:a"; first != want {
		t.Errorf("in the first plan step the journal has %s\nwant %s", first, want)
	}
	want := "run_started undo_registered:a step_started:a step_finished:a undo_registered:b step_started:b"
	if second != want {
		t.Errorf("in the second plan step the journal has %s\nwant %s", second, want)
	}
	entries := journaled(t, result.Path)
	want += " step_finished:b undone:b undone:a undo_registered:seal step_started:seal"
	if got := told(entries); got != want {
		t.Errorf("the journal has %s\nwant %s", got, want)
	}
	for i, e := range entries {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has the number %d", i+1, e.Seq)
		}
	}
	if got := string(entries[3].Data.Result); got != `{"text":"x"}` {
		t.Errorf("the result in the journal is %s", got)
	}
}

func TestManifestOfARun(t *testing.T) {
	var shown []string
	result := run(t, planOf(), func(o *Options) {
		o.Inputs = []Input{{Name: "job.hcl", Content: []byte("job")}}
		o.Readers = []event.Reader{reader(func(e event.Entry) error { shown = append(shown, e.Event.Kind()); return nil })}
	})
	result.ended(t, archive.StatusOK, 0, "")
	var kinds []string
	for _, f := range result.Manifest.Files {
		kinds = append(kinds, f.Path+"="+f.Kind)
	}
	if got := strings.Join(kinds, " "); got != "input/job.hcl=input journal.jsonl=journal plan.json=plan" {
		t.Errorf("files %s", got)
	}
	if result.Path != result.Manifest.Dir || result.Manifest.RunID != filepath.Base(result.Path) {
		t.Errorf("path %s, manifest %s in %s", result.Path, result.Manifest.RunID, result.Manifest.Dir)
	}
	if got := strings.Join(shown, " "); got != "run_started undo_registered step_started step_finished run_finished" {
		t.Errorf("the view was shown %s", got)
	}
}

type reader func(event.Entry) error

func (r reader) Read(e event.Entry) error { return r(e) }

func TestUndoInReverse(t *testing.T) {
	for _, c := range []struct {
		name   string
		last   *fake
		exit   int
		errors string
	}{
		{"success", &fake{id: "c"}, 0, ""},
		{"failure", &fake{id: "c", do: func(context.Context, *steps.Run) (any, error) { return nil, permanent("broken") }}, 1, "broken"},
		{"panic", &fake{id: "c", do: func(context.Context, *steps.Run) (any, error) { panic("at the disco") }}, 1, "panic: at the disco"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s script
			c.last.undo = func(context.Context, *steps.Run) error { s.add("undo-c"); return nil }
			plan := planOf(s.step("a", nil), s.step("b", nil), c.last, s.step("d", nil))
			result := run(t, plan)
			want := "do-a do-b undo-c undo-b undo-a"
			if c.exit == 0 {
				want = "do-a do-b do-d undo-d undo-c undo-b undo-a"
			}
			if s.String() != want {
				t.Errorf("got %s, want %s", &s, want)
			}
			status := archive.StatusOK
			if c.exit != 0 {
				status = archive.StatusFailed
			}
			result.ended(t, status, c.exit, c.errors)
			if c.name == "panic" && (!strings.Contains(result.Errors[0], "c: this is a defect") || !strings.Contains(result.Errors[0], "run_test.go")) {
				t.Errorf("a panic's error does not tell where it was: %s", result.Errors[0])
			}
		})
	}
}

// The cleanup of a round's plan steps comes at the end of each attempt, that of the
// run's at the end of the run.
func TestScopes(t *testing.T) {
	var s script
	tries := 0
	miss := &fake{id: "c", do: func(context.Context, *steps.Run) (any, error) {
		if tries++; tries == 1 {
			return nil, backoff.Permanent(failure(steps.ExitWindow, false))
		}
		return nil, nil
	}}
	plan := planOf(s.step("a", nil)).round(1, s.step("b", nil), miss).round(2, s.step("d", nil))
	run(t, plan).ended(t, archive.StatusOK, 0, "")
	if want := "do-a do-b undo-b do-b undo-b do-d undo-d undo-a"; s.String() != want {
		t.Errorf("got %s, want %s", &s, want)
	}
}

func TestUndoFails(t *testing.T) {
	var s script
	broken := s.step("b", nil)
	broken.undo = func(context.Context, *steps.Run) error { s.add("undo-b"); return errors.New("it does not come off") }
	burst := s.step("c", nil)
	burst.undo = func(context.Context, *steps.Run) error { s.add("undo-c"); panic("burst") }
	result := run(t, planOf(s.step("a", nil), broken, burst))
	if want := "do-a do-b do-c undo-c undo-b undo-a"; s.String() != want {
		t.Errorf("got %s, want %s", &s, want)
	}
	result.ended(t, archive.StatusFailed, 1, "clean up after b: it does not come off")
	if !strings.Contains(result.Errors[0], "panic: burst") {
		t.Errorf("errors %q", result.Errors)
	}
	undone := only(journaled(t, result.Path), "undone")
	if told(undone) != "undone:c undone:b undone:a" || undone[1].Data.Error != "it does not come off" || undone[2].Data.Error != "" {
		t.Errorf("journaled %+v", undone)
	}
}

// A cleanup that failed may have left a profiler on: no other attempt begins.
func TestUndoFailsFinally(t *testing.T) {
	var s script
	window := s.step("w", backoff.Permanent(failure(steps.ExitWindow, false)))
	window.undo = func(context.Context, *steps.Run) error { s.add("undo-w"); return failure(steps.ExitServer, true) }
	result := run(t, planOf().round(1, window))
	result.ended(t, archive.StatusFailed, steps.ExitServer, "clean up after w")
	if s.String() != "do-w undo-w" {
		t.Errorf("got %s", &s)
	}
}

func TestAttempts(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts int
		misses   int
		final    bool
		status   archive.Status
		exit     int
		tried    int
	}{
		{"got at once", 3, 0, false, archive.StatusOK, 0, 1},
		{"missed twice, then got", 3, 2, false, archive.StatusOK, 0, 3},
		{"missed too often", 3, 3, false, archive.StatusWindowNotMet, steps.ExitWindow, 3},
		{"one only", 1, 1, false, archive.StatusWindowNotMet, steps.ExitWindow, 1},
		{"final", 3, 1, true, archive.StatusWindowNotMet, steps.ExitWindow, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tried := 0
			var places []event.Place
			window := &fake{id: "w", do: func(_ context.Context, run *steps.Run) (any, error) {
				places = append(places, run.Place)
				if tried++; tried <= c.misses {
					return note{"missed"}, backoff.Permanent(failure(steps.ExitWindow, c.final))
				}
				return note{"got"}, nil
			}}
			plan := planOf().round(1, window)
			plan.Attempts = c.attempts
			result := run(t, plan)
			want := ""
			if c.exit != 0 {
				want = "failure"
			}
			result.ended(t, c.status, c.exit, want)
			if tried != c.tried || len(places) != c.tried || places[tried-1].Attempt != c.tried || places[tried-1].Round != 1 {
				t.Errorf("tried %d times, want %d: %+v", tried, c.tried, places)
			}
			attempts := result.Manifest.Rounds[0].Attempts
			if len(attempts) != c.tried || (attempts[c.tried-1].Error == "") != (c.exit == 0) || attempts[c.tried-1].Number != c.tried {
				t.Errorf("the manifest has the attempts %+v", attempts)
			}
			failed := only(journaled(t, result.Path), "attempt_failed")
			if len(failed) != c.misses || len(failed) > 0 && failed[len(failed)-1].Data.Final != (c.exit != 0) {
				t.Errorf("journaled %+v", failed)
			}
		})
	}
}

// After a failure those plan steps of the attempt go on that keep what there is,
// and no others.
func TestKeepersGoOn(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		var s script
		collect := &keeper{fake: *s.step("collect", backoff.Permanent(failure(steps.ExitIncomplete, true))), keeps: keeps}
		verify := &keeper{fake: *s.step("verify", nil), keeps: keeps}
		plan := planOf().round(1, s.step("window", backoff.Permanent(failure(steps.ExitServer, true))), s.step("other", nil), collect, verify)
		run(t, plan).ended(t, archive.StatusFailed, steps.ExitServer, "failure")
		want := "do-window do-collect do-verify undo-verify undo-collect undo-window"
		if !keeps {
			want = "do-window undo-window"
		}
		if s.String() != want {
			t.Errorf("keeps %t: got %s, want %s", keeps, &s, want)
		}
	}
}

// What a plan step that failed could tell all the same is journaled and found by others.
func TestResultOfAFailure(t *testing.T) {
	var found []steps.Placed[note]
	failing := &fake{id: "a", do: func(context.Context, *steps.Run) (any, error) { return note{"half"}, permanent("broken") },
		undo: func(_ context.Context, run *steps.Run) error { found = steps.All[note](run.State); return nil }}
	result := run(t, planOf(failing))
	failed := only(journaled(t, result.Path), "step_failed")
	if len(found) != 1 || found[0].Value.Text != "half" || len(failed) != 1 || string(failed[0].Data.Result) != `{"text":"half"}` {
		t.Errorf("state %+v, journal %+v", found, failed)
	}
}

// A result that JSON cannot hold is an error of its plan step.
func TestUnserialisableResult(t *testing.T) {
	result := run(t, planOf(&fake{id: "a", do: func(context.Context, *steps.Run) (any, error) { return func() {}, nil }}))
	result.ended(t, archive.StatusFailed, 1, "encode result")
}

// What stands around a permanent error is told, too.
func TestPermanentErrorKeepsItsContext(t *testing.T) {
	inner := backoff.Permanent(failure(steps.ExitServer, true))
	result := run(t, planOf(&fake{id: "a", do: func(context.Context, *steps.Run) (any, error) {
		return nil, errors.Join(errors.New("beside"), &wrapped{"probe server", inner})
	}}))
	result.ended(t, archive.StatusFailed, steps.ExitServer, "beside\nprobe server: failure")
}

type wrapped struct {
	text string
	err  error
}

func (w *wrapped) Error() string { return w.text + ": " + w.err.Error() }
func (w *wrapped) Unwrap() error { return w.err }

// Whatever failed, the run is sealed and says why.
func TestFailedRunIsSealed(t *testing.T) {
	result := run(t, planOf(&fake{id: "probe", do: func(context.Context, *steps.Run) (any, error) {
		return nil, backoff.Permanent(failure(steps.ExitServer, true))
	}}).round(1, &fake{id: "w", do: func(context.Context, *steps.Run) (any, error) { t.Error("the round began"); return nil, nil }}))
	result.ended(t, archive.StatusFailed, steps.ExitServer, "failure")
	if _, err := os.Stat(filepath.Join(result.Path, "manifest.json")); err != nil || strings.HasSuffix(result.Path, ".partial") {
		t.Errorf("not sealed: %v", err)
	}
}

// A run that cannot be sealed keeps its directory, without a manifest.
func TestSealFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		before error
		exit   int
	}{
		{"alone", nil, steps.ExitIncomplete},
		{"after a window that was missed", failure(steps.ExitWindow, true), steps.ExitIncomplete},
		{"after a server that failed", failure(steps.ExitServer, true), steps.ExitServer},
	} {
		t.Run(c.name, func(t *testing.T) {
			var final string
			blocker := &fake{id: "a", do: func(_ context.Context, run *steps.Run) (any, error) {
				final = run.Dir.Final()
				err := os.MkdirAll(filepath.Join(final, "in the way"), 0o700)
				return nil, backoff.Permanent(errors.Join(err, c.before))
			}}
			if c.before == nil {
				do := blocker.do
				blocker.do = func(ctx context.Context, run *steps.Run) (any, error) { _, _ = do(ctx, run); return nil, nil }
			}
			plan := planOf(blocker)
			plan.Steps = append(plan.Steps, Planned{0, &steps.Store{Header: header("store", 0), Format: "dir"}})
			result := run(t, plan)
			if result.Manifest != nil || result.Exit != c.exit || !strings.Contains(strings.Join(result.Errors, "\n"), "seal run") {
				t.Errorf("exit %d, errors %q, manifest %v", result.Exit, result.Errors, result.Manifest)
			}
			if result.Path != final+".partial" {
				t.Errorf("path %s", result.Path)
			}
			if _, err := os.Stat(filepath.Join(result.Path, "journal.jsonl")); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without a seal in the plan, what is owed is undone all the same.
func TestUndoWithoutSeal(t *testing.T) {
	var s script
	plan := planOf(s.step("a", nil))
	plan.Steps = plan.Steps[:1]
	run(t, plan).ended(t, archive.StatusOK, 0, "")
	if s.String() != "do-a undo-a" {
		t.Errorf("got %s", &s)
	}
}

func TestStore(t *testing.T) {
	for _, format := range []string{"dir", "tar.zst"} {
		plan := planOf()
		plan.Steps = append(plan.Steps, Planned{0, &steps.Store{Header: header("store", 0), Format: format}})
		result := run(t, plan)
		result.ended(t, archive.StatusOK, 0, "")
		if info, err := os.Stat(result.Path); err != nil || info.IsDir() != (format == "dir") {
			t.Errorf("%s: %s: %v", format, result.Path, err)
		}
	}
}

// A run that is sealed and cannot be stored is incomplete, and its manifest says
// so, on disk too.
func TestStoreFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		before error
		status archive.Status
		exit   int
		errors int
	}{
		{"alone", nil, archive.StatusIncomplete, steps.ExitIncomplete, 1},
		{"after a server that failed", failure(steps.ExitServer, true), archive.StatusFailed, steps.ExitServer, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := planOf(&fake{id: "a", do: func(context.Context, *steps.Run) (any, error) {
				if c.before == nil {
					return nil, nil
				}
				return nil, backoff.Permanent(c.before)
			}})
			plan.Steps = append(plan.Steps, Planned{0, &steps.Store{Header: header("store", 0), Format: "tar.zst"}})
			result := run(t, plan, func(o *Options) { o.Readers = []event.Reader{inTheWay(t)} })
			result.ended(t, c.status, c.exit, "pack run: ")
			if result.Manifest == nil || len(result.Errors) != c.errors {
				t.Fatalf("errors %q, manifest %v", result.Errors, result.Manifest)
			}
			onDisk, err := archive.ReadManifest(result.Path)
			if err != nil {
				t.Fatal(err)
			}
			if onDisk.Status != c.status || !slices.Equal(onDisk.Errors, result.Errors) {
				t.Errorf("the manifest on disk says %s and %q", onDisk.Status, onDisk.Errors)
			}
			if diffs, err := archive.Verify(t.Context(), result.Path); err != nil || len(diffs) != 0 {
				t.Errorf("the run differs from its manifest: %v, %v", diffs, err)
			}
		})
	}
}

// inTheWay puts a folder where a run is to be packed as soon as it is sealed.
func inTheWay(t *testing.T) event.Reader {
	var final string
	return reader(func(e event.Entry) error {
		switch ev := e.Event.(type) {
		case event.RunStarted:
			final = ev.Dir
		case event.StepFinished:
			if ev.Step == "seal" {
				if err := os.Mkdir(final+".tar.zst", 0o700); err != nil {
					t.Error(err)
				}
			}
		}
		return nil
	})
}

// An archive that cannot be written is told before anything begins.
func TestNoRunAtAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var s script
	_, err := Run(t.Context(), planOf(s.step("a", nil)), options(t, func(o *Options) { o.Archive = filepath.Join(file, "runs") }))
	if err == nil || !strings.Contains(err.Error(), "run job: create run directory") || s.String() != "" {
		t.Errorf("got %v after %q", err, &s)
	}
}

// A view that fails ends nothing: it is not asked again, and the manifest says so.
func TestViewFails(t *testing.T) {
	var s script
	asked := 0
	result := run(t, planOf(s.step("a", nil), s.step("b", nil)), func(o *Options) {
		o.Readers = []event.Reader{reader(func(event.Entry) error { asked++; return errors.New("broken pipe") })}
	})
	result.ended(t, archive.StatusOK, 0, "")
	if asked != 1 || s.String() != "do-a do-b undo-b undo-a" || len(result.Manifest.Warnings) != 1 ||
		!strings.Contains(result.Manifest.Warnings[0], "broken pipe") {
		t.Errorf("asked %d times, %s, warnings %q", asked, &s, result.Manifest.Warnings)
	}
}
