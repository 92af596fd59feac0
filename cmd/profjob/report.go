package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"profjob/internal/archive"
	"profjob/internal/durable"
	"profjob/internal/report"
	"profjob/internal/trace"
	"profjob/steps"
)

// reportOptions are the flags of `profjob report`.
type reportOptions struct {
	output  string
	archive string
	force   bool
}

func (a *app) reportCommand() *cobra.Command {
	var opts reportOptions
	c := &cobra.Command{
		Use:   "report FILE|DIR|RUN…",
		Short: "Write what traces tell as one HTML page",
		Long: `Write what traces tell as one HTML page, that needs no network and no other file: what
was asked and got, each engine step, where the time went, operators, kernels, ranks.
Every run has such a page, report.html, already; this makes one of other traces, or of
a run anew. FILE, DIR and RUN are as those of analyze.

Exit codes: 0 written; 2 no such file or run, or the page is there already; 6 a trace
is damaged (the page is written, and says so) or the page could not be kept.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runReport(cmd.Context(), opts, args) },
	}
	c.Flags().StringVarP(&opts.output, "output", "o", "report.html", "`file` to write")
	c.Flags().StringVar(&opts.archive, "archive", defaultArchive, "`directory` of the archive that a RUN is looked for in")
	c.Flags().BoolVar(&opts.force, "force", false, "replace the file that is there")
	return c
}

func (a *app) runReport(ctx context.Context, opts reportOptions, args []string) error {
	if _, err := os.Lstat(opts.output); !errors.Is(err, fs.ErrNotExist) && !opts.force {
		return usage("%s is there already: --force replaces it, -o names another", opts.output)
	}
	if around, err := archive.SealedAround(opts.output); err == nil && around != "" {
		return usage("%s lies in a run, which is sealed as it is: name another place with -o", opts.output)
	}
	ctx, stop := untilTold(ctx) // what was unpacked is removed however it ends
	defer stop()
	found, err := a.findTraces(ctx, opts.archive, args)
	if err != nil {
		return err
	}
	defer found.close()
	page := report.Page{Title: "Traces"}
	var errs []error
	damaged := false
	for _, in := range found.sets {
		set, err := in.read(ctx, trace.ScanOptions{})
		if ctx.Err() != nil || len(found.sets) == 1 && len(set.Traces) == 0 {
			return traceError(ctx, err)
		}
		errs = append(errs, err)
		damaged = damaged || isDamaged(set)
		page.Sets = append(page.Sets, set.Slim())
		if in.manifest != nil && page.Run == nil {
			page.Run, page.Title = report.RunOf(in.manifest), fmt.Sprintf("%s, run %s", in.manifest.Job, in.manifest.RunID)
			page.Run.Loads, _ = report.ReadLoads(in.manifest.Dir) // a packed run's are not read: the page is of the traces
		}
	}
	if len(found.sets) == 1 && len(found.sets[0].inputs) == 1 && page.Run == nil {
		page.Title = filepath.Base(found.sets[0].inputs[0].Path)
	}
	if err := writePage(opts.output, page); err != nil {
		return failed(steps.ExitIncomplete, err)
	}
	if err := a.printf("%s\n", display(opts.output)); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return ended(ctx, errors.Join(errs...), damaged)
}

func writePage(path string, page report.Page) error {
	return durable.WriteFile(path, func(w io.Writer) error { return report.Write(w, page) })
}
