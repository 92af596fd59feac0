package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"profjob/internal/archive"
	"profjob/runner"
	"profjob/spec"
	"profjob/steps"
)

// resumeOptions are the flags of `profjob resume`.
type resumeOptions struct {
	jobFlags
	output  string
	archive string
}

func (a *app) resumeCommand() *cobra.Command {
	var opts resumeOptions
	c := &cobra.Command{
		Use:   "resume RUN [FILE]",
		Short: "Finish a run that was cut off, with what it had recorded",
		Long: `Finish a run that was killed: wait until its guard is done, stop what may still be on,
collect and verify what its last attempt recorded, and seal it, as interrupted. What
was not recorded is not recorded now; the manifest says what is missing. A run that
was only not sealed yet is sealed as it ended.

RUN is a path of a run, a run id or the beginning of one; "profjob runs" shows those
that are unfinished. Where servers want secrets, the job file that the run was made
from is read again for them, with the variables that are given here; FILE is another
place of it.

Exit codes: 0 it was complete and as asked; 130 sealed as interrupted; 2 no such run,
or usage wrong; 4 it goes on, or its servers cannot be reached; 5 and 6 as of
"profjob run"; 1 anything else.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runResume(cmd.Context(), opts, args) },
	}
	opts.addFlags(c)
	c.Flags().StringVar(&opts.archive, "archive", defaultArchive, "`directory` of the archive")
	outputFlag(c, &opts.output, "text", "json", "jsonl")
	return c
}

func (a *app) runResume(ctx context.Context, opts resumeOptions, args []string) error {
	run, err := a.unfinished(opts, args[0])
	if err != nil {
		return err
	}
	file := run.Started.JobFile
	if len(args) == 2 {
		file = args[1]
	}
	secrets, err := a.secretsFor(ctx, opts, run, file)
	if err != nil {
		return err
	}
	interrupts := &steps.Interrupts{}
	defer a.watchSignals(interrupts)()
	readers, closeViews := a.views(opts.output)
	o, err := runnerOptions(interrupts, readers)
	if err != nil {
		closeViews()
		return failed(steps.ExitFailed, err)
	}
	o.Secrets, o.JobFile = secrets, run.Started.JobFile
	began := time.Now()
	result, err := run.Resume(ctx, o)
	closeViews()
	if err != nil {
		return failed(steps.ExitServer, err)
	}
	if opts.output == "json" {
		var all []*archive.Manifest
		if result.Manifest != nil {
			all = append(all, result.Manifest)
		}
		if err := a.printManifests(all); err != nil {
			return failed(steps.ExitFailed, err)
		}
	}
	if err := a.tellEnd(opts.output, result, time.Since(began)); err != nil {
		return err
	}
	if result.Exit != steps.ExitOK {
		return said(result.Exit)
	}
	return nil
}

// unfinished opens the run that a name means.
func (a *app) unfinished(opts resumeOptions, name string) (*runner.Unfinished, error) {
	root, err := filepath.Abs(opts.archive)
	if err != nil {
		return nil, failed(steps.ExitFailed, err)
	}
	e, err := archive.Find(root, name)
	if err != nil {
		return nil, usage("resume: %w", err)
	}
	if !e.Partial {
		return nil, usage("resume: run %s is sealed: there is nothing to finish", e.RunID)
	}
	run, err := runner.OpenUnfinished(e.Path)
	if err != nil {
		return nil, failed(steps.ExitIncomplete, fmt.Errorf("resume: %w", err))
	}
	return run, nil
}

// secretsFor gives the values of the plan's references, from the job file.
func (a *app) secretsFor(ctx context.Context, opts resumeOptions, run *runner.Unfinished, file string) (map[string]string, error) {
	if !run.Plan.NeedsSecrets() {
		return nil, nil
	}
	c, err := a.loadOrSay(ctx, &opts.jobFlags, file)
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) && exit.err == nil {
			fmt.Fprintf(a.stderr, "The run's plan refers to sensitive values, which are taken from its job file, %s.\n", file) //nolint:errcheck // nobody is left to tell
		}
		return nil, err
	}
	i := slices.IndexFunc(c.file.Jobs, func(j *spec.Job) bool { return j.Address == run.Plan.Job })
	if i < 0 {
		return nil, usage("resume: %s has no job %s", file, run.Plan.Job)
	}
	return c.file.Jobs[i].Secrets, nil
}
