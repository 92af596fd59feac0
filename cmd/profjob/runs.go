package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"profjob/internal/archive"
	"profjob/internal/view"
	"profjob/spec"
	"profjob/steps"
)

// runsOptions are the flags of `profjob runs`.
type runsOptions struct {
	jobFlags
	output  string
	archive string
}

func (a *app) runsCommand() *cobra.Command {
	var opts runsOptions
	c := &cobra.Command{
		Use:   "runs [FILE]",
		Short: "List the runs of an archive",
		Long: `List the runs of an archive, oldest first, unfinished ones among them. The archive is
that of the job file, or the one named with --archive, or ./runs.

Exit codes: 0 listed; 2 job file or usage wrong; 6 the archive cannot be read.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRuns(cmd.Context(), opts, args) },
	}
	opts.addFlags(c)
	c.Flags().StringVar(&opts.archive, "archive", defaultArchive, "`directory` of the archive")
	outputFlag(c, &opts.output, "text", "json", "jsonl")
	return c
}

func (a *app) runRuns(ctx context.Context, opts runsOptions, args []string) error {
	entries, err := a.findRuns(ctx, opts, args)
	if err != nil {
		return err
	}
	for i := range entries {
		if opts.output == "text" {
			entries[i].Path = display(entries[i].Path)
		}
	}
	show := map[string]func() error{
		"text":  func() error { return view.Runs(a.stdout, entries) },
		"json":  func() error { return view.RunsJSON(a.stdout, entries) },
		"jsonl": func() error { return view.RunsJSONLines(a.stdout, entries) },
	}[opts.output]
	if err := show(); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}

func (a *app) findRuns(ctx context.Context, opts runsOptions, args []string) ([]archive.Entry, error) {
	if len(args) == 0 {
		root, err := filepath.Abs(opts.archive)
		if err != nil {
			return nil, failed(steps.ExitFailed, err)
		}
		return list(root, dirsOf(opts.jobs))
	}
	c, err := a.loadOrSay(ctx, &opts.jobFlags, args[0])
	if err != nil {
		return nil, err
	}
	return ofJobs(c.jobs)
}

// dirsOf gives the folders of jobs by their addresses; nil, which is all, for none.
func dirsOf(addresses []string) map[string]bool {
	if len(addresses) == 0 {
		return nil
	}
	dirs := map[string]bool{}
	for _, a := range addresses {
		dirs[archive.JobDir(a)] = true
	}
	return dirs
}

// ofJobs lists the runs of jobs, each archive once.
func ofJobs(jobs []*spec.Job) ([]archive.Entry, error) {
	dirs := map[string]map[string]bool{} // folders of jobs by archive
	var roots []string
	for _, j := range jobs {
		root, err := archiveRoot(j)
		if err != nil {
			return nil, failed(steps.ExitFailed, err)
		}
		if dirs[root] == nil {
			dirs[root] = map[string]bool{}
			roots = append(roots, root)
		}
		dirs[root][archive.JobDir(j.Address)] = true
	}
	var all []archive.Entry
	for _, root := range roots {
		found, err := list(root, dirs[root])
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func list(root string, only map[string]bool) ([]archive.Entry, error) {
	found, err := archive.List(root)
	if err != nil {
		return nil, failed(steps.ExitIncomplete, err)
	}
	var all []archive.Entry
	for _, e := range found {
		if only == nil || only[e.JobDir] {
			all = append(all, e)
		}
	}
	return all, nil
}
