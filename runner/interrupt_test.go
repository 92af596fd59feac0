package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/steps"
)

// until waits for the end of its context and notes it.
func (s *script) until(id string) *fake {
	f := s.step(id, nil)
	f.do = func(ctx context.Context, _ *steps.Run) (any, error) {
		s.add("do-%s", id)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), steps.ErrInterrupted) {
			return nil, backoff.Permanent(errors.New("ended by something else"))
		}
		s.add("end-%s", id)
		return nil, nil
	}
	return f
}

// Which interrupt ends what: the first a plan step that only prepares or records,
// the second one that keeps, the third the cleanup.
func TestInterruptLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s script
		interrupts := &steps.Interrupts{}
		signal := func() {
			synctest.Wait()
			s.add("signal-%d", interrupts.Signal())
		}
		window := s.until("window")
		window.undo = func(ctx context.Context, _ *steps.Run) error {
			s.add("undo-window")
			if ctx.Err() != nil {
				t.Error("the cleanup's context has ended before the third interrupt")
			}
			<-ctx.Done()
			s.add("end-undo")
			return nil
		}
		collect := &keeper{fake: *s.until("collect"), keeps: true}
		never := s.step("never", nil)
		plan := planOf(s.step("launch", nil)).round(1, window, collect, never).round(2, s.step("later", nil))
		go func() {
			for range 3 {
				signal()
			}
		}()
		result := run(t, plan, func(o *Options) { o.Interrupts = interrupts })
		want := "do-launch do-window signal-1 end-window do-collect signal-2 end-collect do-never undo-never undo-collect undo-window signal-3 end-undo undo-launch"
		if s.String() != want {
			t.Errorf("got  %s\nwant %s", &s, want)
		}
		if result.Status != archive.StatusInterrupted || result.Exit != steps.ExitInterrupted {
			t.Errorf("status %s, exit %d", result.Status, result.Exit)
		}
		if result.Manifest != nil || !strings.HasSuffix(result.Path, ".partial") {
			t.Errorf("the third interrupt leaves the run as it is, but it was sealed: %s", result.Path)
		}
		var counts []int
		for _, e := range only(journaled(t, result.Path), "interrupted") {
			counts = append(counts, e.Data.Count)
		}
		if len(counts) != 3 || counts[0] != 1 || counts[2] != 3 {
			t.Errorf("journaled the interrupts %v", counts)
		}
	})
}

// After the first interrupt what there is is kept, the run is sealed, and no other
// attempt, round or plan step begins.
func TestFirstInterrupt(t *testing.T) {
	for _, missed := range []error{nil, backoff.Permanent(failure(steps.ExitWindow, false))} {
		var s script
		interrupts := &steps.Interrupts{}
		window := s.step("window", nil)
		window.do = func(context.Context, *steps.Run) (any, error) {
			s.add("do-window")
			interrupts.Signal()
			return nil, nil
		}
		verify := &keeper{fake: *s.step("verify", missed), keeps: true}
		plan := planOf().round(1, window, verify).round(2, s.step("later", nil))
		result := run(t, plan, func(o *Options) { o.Interrupts = interrupts })
		result.ended(t, archive.StatusInterrupted, steps.ExitInterrupted, "interrupted")
		if s.String() != "do-window do-verify undo-verify undo-window" {
			t.Errorf("got %s", &s)
		}
		if result.Manifest == nil || len(result.Manifest.Rounds) != 1 || len(result.Manifest.Rounds[0].Attempts) != 1 {
			t.Errorf("manifest %+v", result.Manifest)
		}
	}
}

// After the second interrupt nothing more is kept, but what is owed is undone and
// the run is sealed.
func TestSecondInterrupt(t *testing.T) {
	var s script
	interrupts := &steps.Interrupts{}
	window := s.step("window", nil)
	window.do = func(ctx context.Context, _ *steps.Run) (any, error) {
		interrupts.Signal()
		interrupts.Signal()
		<-ctx.Done()
		return nil, backoff.Permanent(context.Cause(ctx))
	}
	window.undo = func(ctx context.Context, _ *steps.Run) error { s.add("undo-window"); return ctx.Err() }
	collect := &keeper{fake: *s.step("collect", nil), keeps: true}
	result := run(t, planOf().round(1, window, collect), func(o *Options) { o.Interrupts = interrupts })
	result.ended(t, archive.StatusInterrupted, steps.ExitInterrupted, "interrupted")
	if s.String() != "undo-window" && s.String() != "do-collect undo-collect undo-window" {
		t.Errorf("got %s", &s)
	}
	if result.Manifest == nil {
		t.Error("the run was not sealed")
	}
}

// The caller's own end counts as the first interrupt.
func TestCallerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s script
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		collect := &keeper{fake: *s.step("collect", nil), keeps: true}
		result, err := Run(ctx, planOf(s.step("a", nil)).round(1, s.until("window"), collect).round(2, s.step("later", nil)), options(t))
		if err != nil {
			t.Fatal(err)
		}
		result.ended(t, archive.StatusInterrupted, steps.ExitInterrupted, "interrupted")
		if want := "do-a do-window end-window do-collect undo-collect undo-window undo-a"; s.String() != want {
			t.Errorf("got  %s\nwant %s", &s, want)
		}
	})
}

// A caller that has ended before gets a sealed run that did nothing.
func TestCallerHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var s script
	result, err := Run(ctx, planOf(s.until("a"), s.step("b", nil)), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != archive.StatusInterrupted || result.Manifest == nil {
		t.Errorf("status %s, %v", result.Status, result.Errors)
	}
}

// An interrupt that a window has claimed is none of the run.
func TestClaimedInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupts := &steps.Interrupts{}
		window := &fake{id: "window", do: func(ctx context.Context, _ *steps.Run) (any, error) {
			end := make(chan struct{})
			defer interrupts.Claim(func() { close(end) })()
			select {
			case <-end:
				return note{"stopped"}, nil
			case <-ctx.Done():
				return nil, backoff.Permanent(context.Cause(ctx))
			}
		}}
		go func() {
			time.Sleep(time.Second)
			if n := interrupts.Signal(); n != 0 {
				t.Errorf("the signal was interrupt %d", n)
			}
		}()
		run(t, planOf().round(1, window), func(o *Options) { o.Interrupts = interrupts }).ended(t, archive.StatusOK, 0, "")
	})
}

// What comes while the run is being sealed does not change what the manifest says.
func TestInterruptAtTheSeal(t *testing.T) {
	interrupts := &steps.Interrupts{}
	result := run(t, planOf(&fake{id: "a"}), func(o *Options) {
		o.Interrupts = interrupts
		o.Readers = append(o.Readers, &atSeal{interrupts})
	})
	result.ended(t, archive.StatusOK, 0, "")
	if interrupts.Count() != 1 {
		t.Error("the test did not interrupt")
	}
}

// Three interrupts while the run is being sealed leave it as it is.
func TestInterruptedSeal(t *testing.T) {
	left := make(chan struct{})
	o := options(t, func(o *Options) {
		o.Readers = append(o.Readers, reader(func(e event.Entry) error {
			if i, ok := e.Event.(event.Interrupted); ok && i.Count == 3 {
				close(left)
			}
			return nil
		}))
	})
	r, err := begin(planOf(&fake{id: "a"}), o)
	if err != nil {
		t.Fatal(err)
	}
	r.run.CloseJournal = func() error {
		for range 3 {
			o.Interrupts.Signal()
		}
		<-left
		return r.journal.Close()
	}
	result := r.do(t.Context())
	if result.Status != archive.StatusInterrupted || result.Exit != steps.ExitInterrupted || result.Manifest != nil || !strings.HasSuffix(result.Path, ".partial") {
		t.Errorf("status %s, exit %d, %s: %q", result.Status, result.Exit, result.Path, result.Errors)
	}
}
