package steps

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
	"profjob/internal/trace"
	"profjob/internal/wire"
)

// Verify reads the traces that were collected, finds the engine steps in them,
// cuts each trace to the window that was asked for, and says whether it got it
// and with the record options that were asked for.
type Verify struct {
	Header
	noUndo
	Targets      []Target      `json:"targets"`
	Form         string        `json:"form"`
	Count        int           `json:"count,omitempty"`
	Delay        int           `json:"delay,omitempty"`
	Tokens       *TokensParams `json:"tokens,omitempty"`
	Duration     wire.Duration `json:"duration"`
	Until        string        `json:"until,omitempty"`
	Evidence     string        `json:"evidence,omitempty"` // the weakest that will do
	Record       Record        `json:"record"`
	KeepOriginal bool          `json:"keep_original"`
	ExpectRanks  int           `json:"expect_ranks,omitempty"` // 0: as many as the traces themselves say
}

// VerifyResult has the windows that were got, whether they are what was asked or not.
type VerifyResult struct {
	Windows []archive.Window `json:"windows"`
	// Files are the traces as they are known now, the cut ones among them.
	Files   []archive.File   `json:"files"`
	Removed []string         `json:"removed,omitempty"` // uncut files that were not to be kept
	Seen    *archive.Options `json:"seen"`              // record options that every trace shows
	Extra   []string         `json:"extra,omitempty"`   // options on unasked in any of them
	SkewNS  *int64           `json:"skew_ns"`           // from the first to the last start of a window
}

// Summary tells steps asked and got.
func (r VerifyResult) Summary() string {
	var parts []string
	for _, w := range r.Windows {
		exact := "exact"
		if !w.Exact {
			exact = "not exact: " + w.Reason
		}
		asked := ""
		if w.Asked.Steps > 0 {
			asked = fmt.Sprintf(" of %d", w.Asked.Steps)
		}
		parts = append(parts, fmt.Sprintf("%d%s engine steps by %s, %s", w.Got.Steps, asked, w.Evidence, exact))
	}
	return strings.Join(slices.Compact(parts), "; ")
}

// Kind is the row in the table of kinds.
func (v *Verify) Kind() string { return "verify" }

// Keeps tells whether the attempt has traces, which can be verified whatever
// else has failed.
func (v *Verify) Keeps(run *Run) bool {
	collected, _ := InAttempt[CollectResult](run.State, run.Place)
	return count(collected.Files, archive.KindTrace) > 0
}

// Do verifies every worker's trace of the attempt.
func (v *Verify) Do(ctx context.Context, run *Run) (any, error) {
	window, ok := InAttempt[WindowResult](run.State, run.Place)
	collected, ok2 := InAttempt[CollectResult](run.State, run.Place)
	if !ok || !ok2 {
		return nil, backoff.Permanent(errors.New("verify: nothing was collected in this attempt"))
	}
	var result VerifyResult
	var read []scanned
	var errs []error
	for _, f := range collected.Files {
		if f.Kind != archive.KindTrace {
			continue
		}
		run.progress("reading "+filepath.Base(f.Path), int64(len(read)), int64(count(collected.Files, archive.KindTrace)), "traces")
		scan, err := v.file(ctx, run, f, window, &result)
		if err != nil {
			errs = append(errs, incomplete("verify %s: %w", f.Path, err))
		}
		if scan != nil {
			read = append(read, scanned{f, scan})
		}
	}
	result.Windows = append(result.Windows, v.unmet(window, run.Place.Attempt)...)
	missing := missingTraces(read, window)
	dropAmbiguousRanks(&result)
	result.SkewNS = skew(result.Windows)
	unrecorded := v.options(&result, read)
	met := v.ExpectRanks > 0 && len(read) >= v.ExpectRanks
	if !met && len(read) > 0 && len(missing) > 0 && len(errs) == 0 {
		errs = append(errs, incomplete("verify: %s; collect { expect { ranks = N } } says how many there have to be", strings.Join(missing, "; ")))
	}
	if err := v.judge(run, window, &result, unrecorded); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 && !v.KeepOriginal {
		errs = append(errs, v.dropOriginals(run, &result))
	}
	return result, errorPermanent(errors.Join(errs...))
}

// scanned is a trace of a worker that could be read.
type scanned struct {
	file archive.File
	scan *trace.Summary
}

// file verifies one trace and adds what it holds to the result. The summary is nil
// where the trace could not be read.
func (v *Verify) file(ctx context.Context, run *Run, f archive.File, window WindowResult, result *VerifyResult) (*trace.Summary, error) {
	path := run.Dir.Join(filepath.FromSlash(f.Path))
	scan, err := trace.Scan(ctx, path)
	if err != nil {
		return nil, err
	}
	if worker := gateWorker(window, f); worker != nil {
		result.Files = append(result.Files, f)
		result.Windows = append(result.Windows, v.gateWindow(f, scan, window, worker))
		return scan, nil
	}
	f.Rank = scan.Rank
	result.Files = append(result.Files, f)
	w := v.window(f, scan, window)
	if v.Form != "manual" && w.Reason == "" {
		if err := v.cut(ctx, run, f, scan, &w, result); err != nil {
			return scan, err
		}
		if opened, _ := openedFor(window, f); v.Tokens != nil && !w.Exact {
			w.Reason += opened.howLong()
		}
	}
	result.Windows = append(result.Windows, w)
	return scan, nil
}

// window describes what a trace holds before it is cut.
func (v *Verify) window(f archive.File, scan *trace.Summary, window WindowResult) archive.Window {
	opened, asked := openedFor(window, f)
	w := archive.Window{Target: f.Target, Endpoint: f.Endpoint, Rank: scan.Rank, Attempt: f.Attempt, File: f.Path,
		Strategy: opened.Strategy, Evidence: string(scan.Evidence),
		Asked: v.asked()}
	if w.Evidence == "" {
		w.Evidence = "none"
	}
	w.Got = gotOf(scan.Passes)
	w.Reason = v.refusal(scan, asked)
	if v.Form != "manual" {
		return w
	}
	// All endpoints count from the first start's answer.
	w.Got.DurationNS = opened.StopSent.Sub(window.opened()).Nanoseconds()
	if w.Reason == "" {
		w.Reason = v.manualReason(opened, w.Got)
	}
	if w.Reason == "" {
		w.Reason = v.boundReason(opened, scan, time.Duration(w.Got.DurationNS))
	}
	if w.Reason == "" {
		w.Reason = recordedReason(scan, time.Duration(w.Got.DurationNS))
	}
	w.Exact = w.Reason == ""
	return w
}

// asked is the window of the job file as the manifest has it.
func (v *Verify) asked() archive.Asked {
	a := archive.Asked{Kind: v.Form, Steps: v.Count, Delay: v.Delay, DurationNS: int64(v.Duration), Until: v.Until}
	if t := v.Tokens; t != nil {
		a.Threshold, a.AtMost, a.Phase, a.All = t.Threshold, t.AtMost, t.Phase, t.All
	}
	return a
}

// selection is what the window looks for in a trace.
func (v *Verify) selection() trace.Window {
	if v.Tokens != nil {
		return v.Tokens.selection(v.Count)
	}
	return trace.Window{Delay: v.Delay, Count: v.Count}
}

// openedFor finds when the window of a file's endpoint was open; where several
// endpoints share a directory, that of the target that ended worst stands for them.
// asked is when the first of them was asked to record.
func openedFor(window WindowResult, f archive.File) (opened EndpointWindow, asked time.Time) {
	var found []EndpointWindow
	for _, e := range window.Endpoints {
		if e.Target == f.Target && (f.Endpoint == nil || e.Endpoint == *f.Endpoint) {
			found = append(found, e)
			if asked.IsZero() || e.StartSent.Before(asked) {
				asked = e.StartSent
			}
		}
	}
	how := ended(found)
	for _, e := range found {
		if e.Ended == how {
			return e, asked
		}
	}
	return EndpointWindow{}, asked
}

// judge turns what was got into the attempt's end.
func (v *Verify) judge(run *Run, window WindowResult, result *VerifyResult, unrecorded []string) error {
	if len(result.Extra) > 0 {
		if err := run.warn("the server recorded %s, which the job did not ask for", strings.Join(result.Extra, ", ")); err != nil {
			return err
		}
	}
	if len(unrecorded) > 0 {
		return finalServerFailure("the traces were recorded without %s, which the record block asks for: it is fixed when the server is launched; %s",
			strings.Join(unrecorded, ", "), v.whatToSet(run))
	}
	if len(result.Windows) == 0 {
		if v.once(window) || slices.ContainsFunc(window.Endpoints, func(e EndpointWindow) bool { return e.ByItself }) {
			return &Failure{Status: archive.StatusWindowNotMet, Exit: ExitWindow, Final: v.once(window), Err: errors.New(neverByItself)}
		}
		return windowNotMet("verify: no worker's trace was collected")
	}
	unlikeRanks(result.Windows)
	var missed []string
	for _, w := range result.Windows {
		if !w.Exact {
			missed = append(missed, fmt.Sprintf("%s: %s", windowName(w), w.Reason))
		}
	}
	if len(missed) == 0 {
		return nil
	}
	// What ended it early, or did not end it at all, another attempt would meet again.
	final := window.Ended == EndedLimit || v.once(window) || v.Until != "" && window.Ended == EndedTimeout
	if window.Limit != "" {
		missed = append(missed, "it was ended early: "+window.Limit)
	}
	return &Failure{Status: archive.StatusWindowNotMet, Exit: ExitWindow, Final: final,
		Err: fmt.Errorf("the window asked for was not got: %s", strings.Join(missed, "; "))}
}

// once tells whether a server has recorded by itself that nobody launches anew: it
// does so once in its life.
func (v *Verify) once(window WindowResult) bool {
	for _, e := range window.Endpoints {
		for _, t := range v.Targets {
			if t.Name == e.Target && e.ByItself && !t.Launched() {
				return true
			}
		}
	}
	return false
}

// windowName names a window for people.
func windowName(w archive.Window) string {
	name := w.Target
	if w.Endpoint != nil {
		name += " at " + *w.Endpoint
	}
	if w.Rank != nil {
		name += fmt.Sprintf(" rank %d", *w.Rank)
	}
	return name
}
