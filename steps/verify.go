package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	Duration     wire.Duration `json:"duration"`
	Until        string        `json:"until,omitempty"`
	Evidence     string        `json:"evidence,omitempty"` // the weakest that will do
	Record       Record        `json:"record"`
	KeepOriginal bool          `json:"keep_original"`
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
		if w.Asked.Kind == "steps" {
			asked = fmt.Sprintf(" of %d", w.Asked.Steps)
		}
		parts = append(parts, fmt.Sprintf("%d%s engine steps by %s, %s", w.Got.Steps, asked, w.Evidence, exact))
	}
	return strings.Join(slices.Compact(parts), "; ")
}

// Kind is the row in the table of kinds.
func (v *Verify) Kind() string { return "verify" }

// Do verifies every worker's trace of the attempt.
func (v *Verify) Do(ctx context.Context, run *Run) (any, error) {
	window, ok := InAttempt[WindowResult](run.State, run.Place)
	collected, ok2 := InAttempt[CollectResult](run.State, run.Place)
	if !ok || !ok2 {
		return nil, errorPermanent(errors.New("verify: nothing was collected in this attempt"))
	}
	var result VerifyResult
	var seen []trace.Options
	for _, f := range collected.Files {
		if f.Kind != archive.KindTrace {
			continue
		}
		run.progress("reading "+filepath.Base(f.Path), int64(len(seen)), int64(count(collected.Files, archive.KindTrace)), "traces")
		options, err := v.file(ctx, run, f, window, &result)
		if err != nil {
			return result, errorPermanent(incomplete("verify %s: %w", f.Path, err))
		}
		seen = append(seen, options)
	}
	dropAmbiguousRanks(&result)
	result.SkewNS = skew(result.Windows)
	v.options(&result, seen)
	return result, errorPermanent(v.judge(run, &result))
}

// file verifies one trace and adds what it holds to the result.
func (v *Verify) file(ctx context.Context, run *Run, f archive.File, window WindowResult, result *VerifyResult) (trace.Options, error) {
	path := run.Dir.Join(filepath.FromSlash(f.Path))
	scan, err := trace.Scan(ctx, path)
	if err != nil {
		return trace.Options{}, err
	}
	f.Rank = scan.Rank
	result.Files = append(result.Files, f)
	w := v.window(run, f, scan, window)
	if v.Form == "steps" && w.Reason == "" {
		if err := v.cut(ctx, run, f, scan, &w, result); err != nil {
			return scan.Options, err
		}
	}
	result.Windows = append(result.Windows, w)
	return scan.Options, nil
}

// window describes what a trace holds before it is cut.
func (v *Verify) window(run *Run, f archive.File, scan *trace.Summary, window WindowResult) archive.Window {
	opened := openedFor(window, f)
	w := archive.Window{Target: f.Target, Endpoint: f.Endpoint, Rank: scan.Rank, Attempt: f.Attempt, File: f.Path,
		Strategy: opened.Strategy, Evidence: string(scan.Evidence),
		Asked: archive.Asked{Kind: v.Form, Steps: v.Count, Delay: v.Delay, DurationNS: int64(v.Duration), Until: v.Until}}
	if w.Evidence == "" {
		w.Evidence = "none"
	}
	w.Got = gotOf(scan.Passes)
	w.Got.DurationNS = opened.StopSent.Sub(opened.StartAnswered).Nanoseconds()
	w.Reason = v.refusal(scan)
	if w.Reason == "" && v.Form == "manual" {
		w.Reason = v.manualReason(opened, window, w.Got)
		w.Exact = w.Reason == ""
	}
	return w
}

// openedFor finds when the window of a file's endpoint was open; where several
// endpoints share a directory, the first of the target stands for them.
func openedFor(window WindowResult, f archive.File) EndpointWindow {
	for _, e := range window.Endpoints {
		if e.Target == f.Target && (f.Endpoint == nil || e.Endpoint == *f.Endpoint) {
			return e
		}
	}
	return EndpointWindow{}
}

// refusal says why the evidence of a trace will not do.
func (v *Verify) refusal(scan *trace.Summary) string {
	if scan.Evidence == trace.NoEvidence {
		return "no engine step can be found in the trace: no annotation, no scope, no operator that occurs once a pass"
	}
	if v.Evidence != "" && slices.Index(evidenceOrder, string(scan.Evidence)) > slices.Index(evidenceOrder, v.Evidence) {
		return fmt.Sprintf("the trace holds only %s as evidence, window.evidence asks for %s", scan.Evidence, v.Evidence)
	}
	return ""
}

// manualReason says why a window by hand is not what was asked; empty if it is.
// It is exact within 5 % or 50 ms of the duration, whichever is more.
func (v *Verify) manualReason(e EndpointWindow, window WindowResult, got archive.Got) string {
	if got.Steps == 0 {
		return "no engine step was recorded: was there traffic?"
	}
	if v.Until != "" {
		return ""
	}
	if window.Ended != EndedDuration {
		return "the window was " + window.Ended
	}
	asked := time.Duration(v.Duration)
	tolerance := max(asked/20, 50*time.Millisecond)
	if off := (time.Duration(got.DurationNS) - asked).Abs(); off > tolerance {
		return fmt.Sprintf("it was open for %s, %s were asked for", time.Duration(got.DurationNS).Round(time.Millisecond), asked)
	}
	return ""
}

// cut trims a trace to the engine steps asked for, and reads the cut file again:
// what that one holds is what counts.
func (v *Verify) cut(ctx context.Context, run *Run, f archive.File, scan *trace.Summary, w *archive.Window, result *VerifyResult) error {
	chosen, err := trace.Select(scan.Passes, trace.Window{Delay: v.Delay, Count: v.Count})
	if err != nil {
		w.Reason = err.Error()
		return nil
	}
	rel := cutName(f.Path)
	dst := run.Dir.Join(filepath.FromSlash(rel))
	src := run.Dir.Join(filepath.FromSlash(f.Path))
	if _, err := trace.Trim(ctx, src, dst, chosen); err != nil {
		return err
	}
	again, err := trace.Scan(ctx, dst)
	if err != nil {
		return fmt.Errorf("read the cut trace: %w", err)
	}
	sum, err := archive.HashFile(dst)
	if err != nil {
		return err
	}
	cut := f
	cut.Path, cut.Size, cut.SHA256, cut.TrimmedFrom = rel, sum.Size, sum.SHA256, f.Path
	result.Files = append(result.Files, cut)
	recorded := w.Got
	w.Got, w.File = gotOf(scan.Passes[chosen.First:chosen.Last+1]), rel
	w.Got.RecordedSteps, w.Got.IdlePasses, w.Got.Trimmed = recorded.RecordedSteps, recorded.IdlePasses, true
	w.Got.DurationNS = chosen.End - chosen.Start
	w.Reason = differences(w.Got, gotOf(again.Passes), v.Count)
	w.Exact = w.Reason == ""
	if v.KeepOriginal || !w.Exact {
		return nil
	}
	result.Files = slices.DeleteFunc(result.Files, func(o archive.File) bool { return o.Path == f.Path })
	result.Removed = append(result.Removed, f.Path)
	return os.Remove(src)
}

// differences compares the steps chosen with those that the cut file shows.
func differences(chosen, cut archive.Got, count int) string {
	if cut.Steps != count {
		return fmt.Sprintf("the cut trace shows %d engine steps", cut.Steps)
	}
	if !slices.Equal(chosen.Annotations, cut.Annotations) {
		return "the cut trace shows other engine steps than were chosen"
	}
	return ""
}

// cutName names the cut file beside the uncut one.
func cutName(p string) string {
	for _, ending := range []string{".pt.trace.json", ".trace.json"} {
		if i := strings.LastIndex(p, ending); i >= 0 {
			return p[:i] + ".window" + p[i:]
		}
	}
	return p + ".window"
}

// gotOf tells the passes of a trace as the manifest has them.
func gotOf(passes []trace.Pass) archive.Got {
	got := archive.Got{Annotations: []string{}, EngineSteps: []archive.Step{}}
	for i := range passes {
		p := &passes[i]
		if !p.IsStep() {
			got.IdlePasses++
			continue
		}
		if !p.Whole {
			continue
		}
		got.Steps++
		got.Annotations = append(got.Annotations, p.Name)
		got.EngineSteps = append(got.EngineSteps, archive.Step{Name: p.Name, Class: string(p.Class),
			Requests: known(p.Requests), Tokens: known(p.Tokens), StartNS: p.Start, DurationNS: p.End - p.Start})
	}
	got.RecordedSteps = got.Steps
	return got
}

func known(n int64) *int {
	if n == trace.NotKnown {
		return nil
	}
	v := int(n)
	return &v
}

// dropAmbiguousRanks takes back the rank of traces that share one: the ranks of a
// data-parallel vLLM all call themselves rank 0 (0.32.0).
func dropAmbiguousRanks(result *VerifyResult) {
	type key struct {
		target, endpoint string
		rank             int
	}
	seen := map[key]int{}
	of := func(w archive.Window) (key, bool) {
		if w.Rank == nil {
			return key{}, false
		}
		k := key{target: w.Target, rank: *w.Rank}
		if w.Endpoint != nil {
			k.endpoint = *w.Endpoint
		}
		return k, true
	}
	for _, w := range result.Windows {
		if k, ok := of(w); ok {
			seen[k]++
		}
	}
	ambiguous := map[string]bool{} // by file
	for i, w := range result.Windows {
		if k, ok := of(w); ok && seen[k] > 1 {
			result.Windows[i].Rank = nil
			ambiguous[w.File] = true
		}
	}
	for i, f := range result.Files {
		if ambiguous[f.Path] || ambiguous[cutName(f.Path)] {
			result.Files[i].Rank = nil
		}
	}
}

// skew is the time between the first and the last start of the windows.
func skew(windows []archive.Window) *int64 {
	var first, last int64
	n := 0
	for _, w := range windows {
		if len(w.Got.EngineSteps) == 0 {
			continue
		}
		start := w.Got.EngineSteps[0].StartNS
		if n == 0 || start < first {
			first = start
		}
		if n == 0 || start > last {
			last = start
		}
		n++
	}
	if n < 2 {
		return nil
	}
	d := last - first
	return &d
}

// options sets what all traces show, and what any shows unasked.
func (v *Verify) options(result *VerifyResult, seen []trace.Options) {
	if len(seen) == 0 {
		return
	}
	all := archive.Options{Shapes: true, Memory: true, Stack: true, FLOPs: true}
	asked := options(v.Record)
	for _, s := range seen {
		all = archive.Options{Shapes: all.Shapes && s.Shapes, Memory: all.Memory && s.Memory,
			Stack: all.Stack && s.Stack, FLOPs: all.FLOPs && s.FLOPs}
		for _, extra := range lacking(traceOptions(s), asked) {
			if !slices.Contains(result.Extra, extra) {
				result.Extra = append(result.Extra, extra)
			}
		}
	}
	result.Seen = &all
}

func traceOptions(o trace.Options) []option {
	return options(Record{Shapes: o.Shapes, Memory: o.Memory, Stack: o.Stack, FLOPs: o.FLOPs})
}

// judge turns what was got into the attempt's end.
func (v *Verify) judge(run *Run, result *VerifyResult) error {
	if len(result.Extra) > 0 {
		if err := run.warn("the server recorded %s, which the job did not ask for", strings.Join(result.Extra, ", ")); err != nil {
			return err
		}
	}
	if result.Seen != nil {
		seen := Record{Shapes: result.Seen.Shapes, Memory: result.Seen.Memory, Stack: result.Seen.Stack, FLOPs: result.Seen.FLOPs}
		if missing := lacking(options(v.Record), options(seen)); len(missing) > 0 {
			return finalServerFailure("the traces were recorded without %s, which the record block asks for: it is fixed when the server is launched; %s",
				strings.Join(missing, ", "), v.whatToSet(run))
		}
	}
	if len(result.Windows) == 0 {
		return windowNotMet("verify: no worker's trace was collected")
	}
	unlikeRanks(result.Windows)
	var missed []string
	for _, w := range result.Windows {
		if !w.Exact {
			missed = append(missed, fmt.Sprintf("%s: %s", windowName(w), w.Reason))
		}
	}
	if len(missed) > 0 {
		return windowNotMet("the window asked for was not got: %s", strings.Join(missed, "; "))
	}
	return nil
}

func (v *Verify) whatToSet(run *Run) string {
	probed, _ := Latest[ProbeResult](run.State)
	for _, e := range probed.Endpoints {
		return WhatToSet(v.Targets[0], run.traceDir(v.Targets[0]), e.Info.Version, v.Record)
	}
	return ""
}

// unlikeRanks marks ranks of one engine core (they have ranks of their own in one
// process group) whose engine steps differ from the first rank's.
func unlikeRanks(windows []archive.Window) {
	first := map[string]archive.Window{}
	for i, w := range windows {
		if w.Rank == nil || !w.Exact || w.Asked.Kind != "steps" {
			continue
		}
		core := w.Target
		if w.Endpoint != nil {
			core += " " + *w.Endpoint
		}
		lead, ok := first[core]
		if !ok {
			first[core] = w
			continue
		}
		if !slices.Equal(lead.Got.Annotations, w.Got.Annotations) {
			windows[i].Exact = false
			windows[i].Reason = fmt.Sprintf("its engine steps are not those of rank %d", *lead.Rank)
		}
	}
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
