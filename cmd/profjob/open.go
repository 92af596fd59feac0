package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"profjob/internal/perfetto"
	"profjob/steps"
)

// openOptions are the flags of `profjob open`.
type openOptions struct {
	archive   string
	rank      int
	file      string
	ui        string
	port      int
	timeout   time.Duration
	noBrowser bool
}

func (a *app) openCommand() *cobra.Command {
	var opts openOptions
	c := &cobra.Command{
		Use:   "open RUN|FILE|DIR",
		Short: "Open a trace in the Perfetto UI",
		Long: `Open a trace in the Perfetto UI: serve it on this machine's loopback, at an address
that nobody can guess, print the link, open it in the browser, and end once the trace
was fetched. The trace goes from this machine into the browser and nowhere else.

RUN is a path of a run, a run id or the beginning of one, or "latest"; packed runs too.
Of the traces that it kept, or of a folder's, --rank or --file chooses one.

Over SSH, forward the port and open the link at home: ssh -L 9001:127.0.0.1:9001 HOST

Exit codes: 0 fetched; 2 usage wrong, nothing of that name, or several traces and none
chosen; 6 the run has no trace, or its files are damaged; 130 interrupted; 1 nobody
fetched it in time, or anything else.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("open wants a run or a trace, see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runOpen(cmd.Context(), opts, args[0]) },
	}
	c.Flags().StringVar(&opts.archive, "archive", defaultArchive, "`directory` of the archive")
	c.Flags().IntVar(&opts.rank, "rank", -1, "the trace of this `rank`")
	c.Flags().StringVar(&opts.file, "file", "", "the trace whose path ends in this `name`")
	c.Flags().StringVar(&opts.ui, "ui", perfetto.UI, "`address` of a Perfetto UI")
	c.Flags().IntVar(&opts.port, "port", perfetto.Port, "`port` to serve at; the public UI fetches from no other")
	c.Flags().DurationVar(&opts.timeout, "timeout", 10*time.Minute, "end where nobody has fetched it for so long")
	c.Flags().BoolVar(&opts.noBrowser, "no-browser", false, "only print the link")
	return c
}

func (a *app) runOpen(ctx context.Context, opts openOptions, arg string) error {
	if opts.timeout <= 0 {
		return usage("--timeout %s: it has to be more than 0", opts.timeout)
	}
	if opts.port < 0 || opts.port > 65535 {
		return usage("--port %d: one from 1 to 65535, or 0 for any that is free", opts.port)
	}
	// What was unpacked is removed however it ends.
	ctx, stop := untilTold(ctx)
	defer stop()
	found, err := a.findTraces(ctx, opts.archive, []string{arg})
	switch {
	case err != nil && ctx.Err() != nil:
		return failed(steps.ExitInterrupted, errors.New("open: interrupted"))
	case err != nil:
		return err
	}
	defer found.close()
	chosen, err := opts.choose(openable(found))
	if err != nil {
		return err
	}
	return a.serveTrace(ctx, opts, chosen)
}

// openTrace is a trace that can be opened.
type openTrace struct {
	path string // where it can be read
	name string // as it was given, or its path within the run
	rank *int   // where the run knows it
}

// openable are the traces that were found.
func openable(found *foundTraces) []openTrace {
	var all []openTrace
	for _, set := range found.sets {
		for _, in := range set.inputs {
			t := openTrace{path: in.Path, name: cmp.Or(in.Name, in.Path)}
			if set.manifest != nil {
				for _, f := range set.manifest.Files {
					if f.Path == in.Name {
						t.rank = f.Rank
					}
				}
			}
			all = append(all, t)
		}
	}
	return all
}

// serveTrace serves one trace until it was fetched.
func (a *app) serveTrace(ctx context.Context, opts openOptions, chosen openTrace) error {
	server, err := perfetto.Listen(chosen.path, strings.TrimSuffix(opts.ui, "/"), opts.port)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return failed(steps.ExitFailed, fmt.Errorf("open: %w: end what uses the port, another `profjob open` or `trace_processor --httpd`", err))
	case errors.Is(err, os.ErrNotExist):
		return usage("open: %w", err)
	case err != nil:
		return failed(steps.ExitFailed, fmt.Errorf("open: %w", err))
	}
	defer server.Close() //nolint:errcheck // Serve has ended it and reported
	if err := a.printf("%s\n%s\n", chosen.name, server.Link()); err != nil {
		return failed(steps.ExitFailed, err)
	}
	if !opts.noBrowser {
		if err := perfetto.OpenBrowser(server.Link(), os.Getenv); err != nil {
			a.notes.say(fmt.Sprintf("the browser could not be opened (%v): open the link yourself", err))
		}
	}
	a.notes.say("Served until it was fetched; Ctrl-C ends it.")
	switch err := server.Serve(ctx, opts.timeout); {
	case err == nil:
		a.notes.say("fetched")
		return nil
	case ctx.Err() != nil:
		return failed(steps.ExitInterrupted, errors.New("open: interrupted"))
	case errors.Is(err, perfetto.ErrTimeout):
		return failed(steps.ExitFailed, fmt.Errorf("open: %w within %s", err, opts.timeout))
	default:
		return failed(steps.ExitFailed, fmt.Errorf("open: %w", err))
	}
}

// choose gives the one trace that is meant.
func (o openOptions) choose(all []openTrace) (openTrace, error) {
	var fit []openTrace
	for _, f := range all {
		ranked := o.rank < 0 || f.rank != nil && *f.rank == o.rank
		if ranked && strings.HasSuffix(f.name, o.file) {
			fit = append(fit, f)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) == 0:
		return openTrace{}, usage("open: none of the traces is meant by --rank and --file:\n%s", listed(all))
	}
	return openTrace{}, usage("open: these are %d traces; --rank or --file chooses one:\n%s", len(fit), listed(fit))
}

// mostListed is how many traces a message lists.
const mostListed = 20

// listed has a line for each trace.
func listed(all []openTrace) string {
	var lines []string
	for i, f := range all {
		if i == mostListed {
			lines = append(lines, fmt.Sprintf("  … and %d more", len(all)-mostListed))
			break
		}
		line := "  " + f.name
		if f.rank != nil {
			line += fmt.Sprintf("  (rank %d)", *f.rank)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
