package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"profjob/internal/view"
	"profjob/steps"
)

// app is the program with what it talks to.
type app struct {
	stdin  io.Reader
	stdout io.Writer // results
	stderr io.Writer // diagnostics, progress and logs
	args   []string
	notes  *notes // remarks and logs: stderr, or through a run's view
	log    hclog.Logger
}

// exitError ends the program with a code. Where err is nil everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// said ends the program with a code after everything has been said.
func said(code int) error { return &exitError{code: code} }

// usage ends the program because of how it was called.
func usage(format string, args ...any) error {
	return &exitError{code: steps.ExitUsage, err: fmt.Errorf(format, args...)}
}

// failed ends the program with a code and says why.
func failed(code int, err error) error { return &exitError{code: code, err: err} }

// run parses the command line, runs the command and gives the exit code.
func (a *app) run(ctx context.Context) int {
	a.notes = &notes{to: a.stderr}
	root := a.rootCommand()
	root.SetArgs(a.args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return steps.ExitOK
	}
	a.sayError(err)
	return exitOf(err)
}

// exitOf gives the exit code that an error stands for; one that is not ours is
// cobra's, about how the program was called.
func exitOf(err error) int {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return steps.ExitUsage
}

// sayError shows an error on stderr, unless everything has been said.
func (a *app) sayError(err error) {
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return
	}
	cells := strings.Split(strings.TrimRight(err.Error(), "\n"), "\t") // cobra's suggestions have tabs
	for i := range cells {
		cells[i] = view.Printable(cells[i])
	}
	fmt.Fprintf(a.stderr, "Error: %s\n", strings.Join(cells, "\t")) //nolint:errcheck // nobody is left to tell
}

// printf writes a result. What would do something to a terminal is taken out of it:
// names and answers come from servers and from others' files.
func (a *app) printf(format string, args ...any) error {
	_, err := io.WriteString(a.stdout, view.Printable(fmt.Sprintf(format, args...)))
	return err
}

func (a *app) rootCommand() *cobra.Command {
	var logLevel string
	root := &cobra.Command{
		Use:   "profjob",
		Short: "Profile exactly one window of an LLM inference server's work, and prove it",
		Long: `profjob runs profiling jobs that HCL files describe: it warms a server up, records
exactly the window asked for, collects the trace files, proves from them what was
recorded, and seals it all in a run directory.

Start with:  profjob run examples/quickstart.hcl

Exit codes: 0 as asked; 2 job file or usage wrong; 4 server not reachable, cannot
profile, or died; 5 the window asked for was not got; 6 a file is missing or could
not be kept; 130 interrupted; 1 anything else.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			level := hclog.LevelFromString(logLevel)
			if level == hclog.NoLevel {
				return usage("--log-level %q: one of trace, debug, info, warn, error, off", logLevel)
			}
			a.log = hclog.New(&hclog.LoggerOptions{Name: "profjob", Level: level, Output: a.notes})
			return nil
		},
	}
	root.PersistentFlags().StringVar(&logLevel, "log-level", "warn", "trace, debug, info, warn, error or off; logs go to stderr")
	root.CompletionOptions.DisableDefaultCmd = true
	for _, c := range a.commands() {
		root.AddCommand(c)
	}
	return root
}

// commands is the table of commands: each is a file of its own.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.runCommand(), a.resumeCommand(), a.planCommand(), a.validateCommand(), a.fmtCommand(), a.probeCommand(), a.envCommand(), a.gateCommand(),
		a.stopCommand(), a.runsCommand(), a.showCommand(), a.analyzeCommand(), a.trimCommand(), a.reportCommand(), a.openCommand(), a.engineCommand(), a.versionCommand(), a.completionCommand(), a.guardCommand(),
	}
}

// outputFlag adds -o with the forms that a command has, the first of them the default.
func outputFlag(c *cobra.Command, into *string, forms ...string) {
	c.Flags().StringVarP(into, "output", "o", forms[0], "output: "+strings.Join(forms, ", "))
	c.PreRunE = func(*cobra.Command, []string) error {
		for _, f := range forms {
			if *into == f {
				return nil
			}
		}
		return usage("--output %q: one of %s", *into, strings.Join(forms, ", "))
	}
}

// isTerminal tells whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth gives the columns of a terminal, 0 where the stream is none.
func terminalWidth(stream any) int {
	f, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
