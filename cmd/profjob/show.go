package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"profjob/internal/archive"
	"profjob/internal/view"
	"profjob/steps"
)

// showOptions are the flags of `profjob show`.
type showOptions struct {
	output  string
	archive string
}

func (a *app) showCommand() *cobra.Command {
	var opts showOptions
	c := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Explain one run: what was asked, what was got, and its files",
		Long: `Explain one run. RUN is a path of a run, a run id or the beginning of one, or
"latest", which is also meant where nothing is given.

Exit codes: 0 shown; 2 no such run; 6 its manifest cannot be read.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runShow(opts, args) },
	}
	c.Flags().StringVar(&opts.archive, "archive", defaultArchive, "`directory` of the archive")
	outputFlag(c, &opts.output, "text", "json")
	return c
}

func (a *app) runShow(opts showOptions, args []string) error {
	name := "latest"
	if len(args) == 1 {
		name = args[0]
	}
	root, err := filepath.Abs(opts.archive)
	if err != nil {
		return failed(steps.ExitFailed, err)
	}
	e, err := archive.Find(root, name)
	if err != nil {
		return usage("show: %w", err)
	}
	if e.Partial {
		return failed(steps.ExitIncomplete, fmt.Errorf("show %s: the run goes on, or was cut off: it has no manifest; its journal is %s",
			e.RunID, filepath.Join(display(e.Path), "journal.jsonl")))
	}
	if e.Err != nil {
		return failed(steps.ExitIncomplete, fmt.Errorf("show: %w", e.Err))
	}
	if opts.output == "json" {
		data, err := e.Manifest.Encode()
		if err == nil {
			_, err = a.stdout.Write(data)
		}
		if err != nil {
			return failed(steps.ExitFailed, err)
		}
		return nil
	}
	if err := view.Run(a.stdout, display(e.Path), e.Manifest); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}
