package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	missing := missingRanks(read)
	dropAmbiguousRanks(&result)
	result.SkewNS = skew(result.Windows)
	v.options(&result, read)
	if v.ExpectRanks == 0 && len(missing) > 0 && len(errs) == 0 {
		errs = append(errs, incomplete("verify: %s; collect { expect { ranks = N } } says how many there have to be", strings.Join(missing, "; ")))
	}
	if err := v.judge(run, window, &result); err != nil {
		errs = append(errs, err)
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
	f.Rank = scan.Rank
	result.Files = append(result.Files, f)
	w := v.window(f, scan, window)
	if v.Form != "manual" && w.Reason == "" {
		if err := v.cut(ctx, run, f, scan, &w, result); err != nil {
			return scan, err
		}
	}
	result.Windows = append(result.Windows, w)
	return scan, nil
}

// window describes what a trace holds before it is cut.
func (v *Verify) window(f archive.File, scan *trace.Summary, window WindowResult) archive.Window {
	opened := openedFor(window, f)
	w := archive.Window{Target: f.Target, Endpoint: f.Endpoint, Rank: scan.Rank, Attempt: f.Attempt, File: f.Path,
		Strategy: opened.Strategy, Evidence: string(scan.Evidence),
		Asked: v.asked()}
	if w.Evidence == "" {
		w.Evidence = "none"
	}
	w.Got = gotOf(scan.Passes)
	w.Reason = v.refusal(scan)
	if v.Form != "manual" {
		return w
	}
	// All endpoints count from the first start's answer.
	w.Got.DurationNS = opened.StopSent.Sub(window.opened()).Nanoseconds()
	if w.Reason == "" {
		w.Reason = v.manualReason(opened, w.Got)
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
func openedFor(window WindowResult, f archive.File) EndpointWindow {
	var found []EndpointWindow
	for _, e := range window.Endpoints {
		if e.Target == f.Target && (f.Endpoint == nil || e.Endpoint == *f.Endpoint) {
			found = append(found, e)
		}
	}
	how := ended(found)
	for _, e := range found {
		if e.Ended == how {
			return e
		}
	}
	return EndpointWindow{}
}

// refusal says why the evidence of a trace will not do.
func (v *Verify) refusal(scan *trace.Summary) string {
	if scan.Evidence == trace.NoEvidence {
		return "no engine step can be found in the trace (no annotation, no scope, no operator that occurs once a pass): was there traffic?"
	}
	if v.Evidence != "" && slices.Index(evidenceOrder, string(scan.Evidence)) > slices.Index(evidenceOrder, v.Evidence) {
		return fmt.Sprintf("the trace holds only %s as evidence, window.evidence asks for %s", scan.Evidence, v.Evidence)
	}
	return ""
}

// manualReason says why a window by hand is not what was asked; empty if it is.
// It is exact within 5 % or 50 ms of the duration, whichever is more.
func (v *Verify) manualReason(e EndpointWindow, got archive.Got) string {
	asked := time.Duration(v.Duration)
	switch {
	case got.Steps == 0:
		return "no engine step was recorded: was there traffic?"
	case v.Until != "" && e.Ended == EndedTimeout:
		return "nobody ended the window before its timeout"
	case e.Ended == EndedInterrupted, e.Ended == EndedAborted:
		return "the window was " + e.Ended
	case e.Ended == EndedLimit:
		return "the window was ended early, by its limits"
	case v.Until != "":
		return ""
	}
	open := time.Duration(got.DurationNS)
	if (open - asked).Abs() > max(asked/20, 50*time.Millisecond) {
		return fmt.Sprintf("it was open for %s, %s were asked for", open.Round(time.Millisecond), asked)
	}
	return ""
}

// cut trims a trace to the engine steps asked for, and reads the cut file again:
// what that one holds is what counts.
func (v *Verify) cut(ctx context.Context, run *Run, f archive.File, scan *trace.Summary, w *archive.Window, result *VerifyResult) error {
	chosen, err := trace.Select(scan.Passes, v.selection())
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
	again, err := trace.ScanWith(ctx, dst, trace.ScanOptions{Evidence: scan.Evidence})
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

// gotOf tells the passes of a trace as the manifest has them. The duration is from
// the begin of the first engine step to the end of the last.
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
	if n := len(got.EngineSteps); n > 0 {
		last := got.EngineSteps[n-1]
		got.DurationNS = last.StartNS + last.DurationNS - got.EngineSteps[0].StartNS
	}
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

// missingRanks names the ranks of a process group of which no trace was collected:
// each trace tells how many its group has.
func missingRanks(read []scanned) []string {
	type group struct {
		target, endpoint string
		size             int
	}
	var order []group
	present := map[group]map[int]bool{}
	for _, r := range read {
		if r.scan.Rank == nil || r.scan.WorldSize == nil || *r.scan.WorldSize < 2 {
			continue
		}
		g := group{target: r.file.Target, size: *r.scan.WorldSize}
		if r.file.Endpoint != nil {
			g.endpoint = " at " + *r.file.Endpoint
		}
		if present[g] == nil {
			present[g] = map[int]bool{}
			order = append(order, g)
		}
		present[g][*r.scan.Rank] = true
	}
	var missing []string
	for _, g := range order {
		if absent := absentOf(present[g], g.size); absent != "" {
			missing = append(missing, fmt.Sprintf("%s%s: there is no trace of rank %s of %d", g.target, g.endpoint, absent, g.size))
		}
	}
	return missing
}

// absentOf lists the numbers below n that are not in a set, the first few of them.
func absentOf(present map[int]bool, n int) string {
	const most = 16
	var absent []string
	for i := 0; i < n && len(absent) <= most; i++ {
		if !present[i] {
			absent = append(absent, strconv.Itoa(i))
		}
	}
	if len(absent) > most {
		absent[most] = "…"
	}
	return strings.Join(absent, ", ")
}

// options sets what all traces show, and what any shows unasked.
func (v *Verify) options(result *VerifyResult, read []scanned) {
	if len(read) == 0 {
		return
	}
	all := archive.Options{Shapes: true, Memory: true, Stack: true, FLOPs: true}
	asked := options(v.Record)
	for _, r := range read {
		s := r.scan.Options
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
func (v *Verify) judge(run *Run, window WindowResult, result *VerifyResult) error {
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
	if len(missed) == 0 {
		return nil
	}
	// What ended it early, or did not end it at all, another attempt would meet again.
	final := window.Ended == EndedLimit || v.Until != "" && window.Ended == EndedTimeout
	return &Failure{Status: archive.StatusWindowNotMet, Exit: ExitWindow, Final: final,
		Err: fmt.Errorf("the window asked for was not got: %s", strings.Join(missed, "; "))}
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
		if !slices.EqualFunc(lead.Got.EngineSteps, w.Got.EngineSteps, sameStep) {
			windows[i].Exact = false
			windows[i].Reason = fmt.Sprintf("its engine steps are not those of rank %d", *lead.Rank)
		}
	}
}

// sameStep tells whether two ranks may have recorded the same engine step, by what
// their evidence tells of it.
func sameStep(a, b archive.Step) bool {
	same := func(x, y *int) bool { return x == nil || y == nil || *x == *y }
	return a.Name == b.Name && a.Class == b.Class && same(a.Requests, b.Requests) && same(a.Tokens, b.Tokens)
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
