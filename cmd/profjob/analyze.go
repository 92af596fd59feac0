package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"profjob/internal/analysis"
	"profjob/internal/trace"
	"profjob/internal/view"
	"profjob/steps"
)

// analyzeOptions are the flags of `profjob analyze`.
type analyzeOptions struct {
	output   string
	archive  string
	evidence string
	top      int
	steps    bool
}

func (a *app) analyzeCommand() *cobra.Command {
	var opts analyzeOptions
	c := &cobra.Command{
		Use:   "analyze FILE|DIR|RUN…",
		Short: "Say what traces tell: engine steps by class, and where their time went",
		Long: `Say what traces tell: how long the engine steps of each class took, what the devices
did for them, and which operators and kernels the time went to. FILE is a trace
(.json, .json.gz, .json.zst), DIR a folder with some, RUN a run as show takes it,
packed ones too; of traces that were cut to their window the cut ones are read. Files
that are named together, and those of one folder, are taken for the ranks of one server,
and their collectives are held against each other.

Steps are numbered from 0, idle passes among them, as trim takes them. Of the device's
columns, busy and idle are parts of the time from the first to the last kernel that the
steps launched, and comm. is the part with collectives at work.

With -o json stdout gets an array of sets, the form that a run has below analysis/. Of a
damaged trace what could be read is shown.

Exit codes: 0 analysed; 2 usage wrong, or no such file or run; 6 a trace is damaged, has
no events, or the run has none; 130 interrupted.`,
		Example: `  profjob analyze trace.json.gz
  profjob analyze latest -o json | jq '.[].traces[].classes[] | {class, p50: .duration.p50_ns}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runAnalyze(cmd.Context(), opts, args) },
	}
	c.Flags().StringVar(&opts.archive, "archive", defaultArchive, "`directory` of the archive that a RUN is looked for in")
	c.Flags().StringVar(&opts.evidence, "evidence", "", "find the engine steps by this only: annotation, scope or structure")
	c.Flags().IntVar(&opts.top, "top", 10, "`number` of operators and kernels that are shown")
	c.Flags().BoolVar(&opts.steps, "steps", false, "list each engine step with its number")
	outputFlag(c, &opts.output, "text", "json")
	return c
}

func (a *app) runAnalyze(ctx context.Context, opts analyzeOptions, args []string) error {
	scan, err := scanOptions(opts.evidence)
	if err != nil {
		return err
	}
	if opts.top < 0 {
		return usage("--top %d: 0 or more", opts.top)
	}
	ctx, stop := untilTold(ctx) // what was unpacked is removed however it ends
	defer stop()
	found, err := a.findTraces(ctx, opts.archive, args)
	if err != nil {
		return err
	}
	defer found.close()
	show := a.analyzeText(opts)
	if opts.output == "json" {
		show = a.analyzeJSON(len(found.sets))
	}
	var errs []error
	damaged := false
	for i, in := range found.sets {
		set, err := in.read(ctx, scan)
		if ctx.Err() != nil {
			return traceError(ctx, err)
		}
		errs = append(errs, err)
		damaged = damaged || isDamaged(set)
		if err := show(i, set); err != nil {
			return failed(steps.ExitFailed, err)
		}
	}
	return ended(ctx, errors.Join(errs...), damaged)
}

// ended says how a command ends that has shown what could be read.
func ended(ctx context.Context, err error, damaged bool) error {
	switch {
	case err != nil:
		return traceError(ctx, err)
	case damaged:
		return said(steps.ExitIncomplete)
	}
	return nil
}

// isDamaged tells of a set with a trace that could not be read to its end.
func isDamaged(set *analysis.Set) bool {
	return slices.ContainsFunc(set.Traces, func(t analysis.Trace) bool { return t.Problem != "" })
}

// scanOptions reads --evidence.
func scanOptions(evidence string) (trace.ScanOptions, error) {
	switch e := trace.Evidence(evidence); e {
	case trace.NoEvidence, trace.Annotation, trace.Scope, trace.Structure:
		return trace.ScanOptions{Evidence: e}, nil
	}
	return trace.ScanOptions{}, usage("--evidence %q: one of annotation, scope, structure", evidence)
}

func (a *app) analyzeText(opts analyzeOptions) func(int, *analysis.Set) error {
	width := terminalWidth(a.stdout)
	return func(i int, s *analysis.Set) error {
		if i > 0 {
			if err := a.printf("\n"); err != nil {
				return err
			}
		}
		return view.Analysis(a.stdout, s, view.AnalysisOptions{Top: opts.top, Steps: opts.steps, Width: width})
	}
}

// analyzeJSON writes an array, one set after the other.
func (a *app) analyzeJSON(n int) func(int, *analysis.Set) error {
	return func(i int, s *analysis.Set) error {
		before, after := ",", ""
		if i == 0 {
			before = "["
		}
		if i == n-1 {
			after = "]\n"
		}
		if err := a.printf("%s", before); err != nil {
			return err
		}
		if err := json.NewEncoder(a.stdout).Encode(s); err != nil {
			return err
		}
		return a.printf("%s", after)
	}
}

// traceError ends a command that reads traces with the code that fits.
func traceError(ctx context.Context, err error) error {
	var content *trace.Error
	switch {
	case ctx.Err() != nil:
		return failed(steps.ExitInterrupted, errors.New("interrupted"))
	case errors.As(err, &content):
		return failed(steps.ExitIncomplete, err)
	}
	return failed(steps.ExitFailed, fmt.Errorf("%w", err))
}
