package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"profjob/internal/archive"
	"profjob/internal/control"
	"profjob/internal/event"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
	"profjob/internal/view"
	"profjob/runner"
	"profjob/spec"
	"profjob/steps"
)

// runOptions are the flags of `profjob run`.
type runOptions struct {
	jobFlags
	output   string
	failFast bool
	wait     time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var opts runOptions
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run the jobs of a file",
		Long: `Run the jobs of a file in their order: warm up, record the window, collect, verify,
and seal each as a run directory with a manifest. A job that fails does not stop
the later ones unless --fail-fast is given.

Progress goes to stderr, results to stdout. With -o json stdout gets an array of
manifests and nothing else; with -o jsonl, the events as they happen.

The first interrupt (Ctrl-C, SIGTERM, SIGHUP) ends the window and keeps what there
is. The second only stops the profiler. The third leaves at once.

No two runs profile one server: an endpoint that another run holds is named, with
whose it is, or waited for with --wait. A run that is killed is ended by its guard,
and finished by "profjob resume".

Exit codes: 0 every window as asked; 2 job file or usage wrong; 4 server not
reachable, held by another run, cannot profile, or died; 5 a window was not got; 6 a file is missing or
could not be kept; 130 interrupted; 1 anything else. Of several jobs, the worst.`,
		Example: `  profjob run examples/quickstart.hcl
  profjob run nightly.hcl --var endpoint=http://10.0.0.7:8000 --job decode-64
  profjob run nightly.hcl -o json | jq '.[].status'`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRun(cmd.Context(), opts, args[0]) },
	}
	opts.addFlags(c)
	c.Flags().BoolVar(&opts.failFast, "fail-fast", false, "stop at the first job that fails")
	c.Flags().DurationVar(&opts.wait, "wait", 0, "how long to wait for an endpoint that another run of profjob holds")
	outputFlag(c, &opts.output, "text", "json", "jsonl")
	return c
}

func (a *app) runRun(ctx context.Context, opts runOptions, path string) error {
	c, err := a.loadOrSay(ctx, &opts.jobFlags, path)
	if err != nil {
		return err
	}
	if err := checkTLS(c.jobs); err != nil {
		return err
	}
	interrupts := &steps.Interrupts{}
	defer a.watchSignals(interrupts)()
	var manifests []*archive.Manifest
	var codes []int
	for i, job := range c.jobs {
		result, err := a.runOne(ctx, opts, c, job, c.plans[i], interrupts)
		if err != nil { // the run could not even begin: the later jobs may
			a.sayError(err)
			result.Exit = exitOf(err)
		}
		codes = append(codes, result.Exit)
		if result.Manifest != nil {
			manifests = append(manifests, result.Manifest)
		}
		if interrupts.Count() > 0 || (opts.failFast && result.Exit != steps.ExitOK) {
			a.tellLeftOut(c.jobs[i+1:])
			break
		}
	}
	if interrupts.Count() > 0 { // also one that came when the run was sealed already: later jobs were left out
		codes = append(codes, steps.ExitInterrupted)
	}
	if opts.output == "json" {
		if err := a.printManifests(manifests); err != nil {
			return failed(steps.ExitFailed, err)
		}
	}
	if code := worst(codes); code != steps.ExitOK {
		return said(code)
	}
	return nil
}

// tellLeftOut names the jobs that were not run.
func (a *app) tellLeftOut(jobs []*spec.Job) {
	var names []string
	for _, j := range jobs {
		names = append(names, j.Address)
	}
	if len(names) > 0 {
		a.notes.say("not run: " + strings.Join(names, ", "))
	}
}

// worst gives the exit code that stands for several jobs.
func worst(codes []int) int {
	order := []int{steps.ExitInterrupted, steps.ExitFailed, steps.ExitServer, steps.ExitIncomplete, steps.ExitWindow, 3, 7}
	for _, c := range order {
		if slices.Contains(codes, c) {
			return c
		}
	}
	return steps.ExitOK
}

func (a *app) printManifests(manifests []*archive.Manifest) error {
	if manifests == nil {
		manifests = []*archive.Manifest{}
	}
	out, err := json.MarshalIndent(manifests, "", "  ")
	if err != nil {
		return fmt.Errorf("print manifests: %w", err)
	}
	_, err = fmt.Fprintln(a.stdout, string(out))
	return err
}

// runOne runs one job and says on stdout how it ended.
func (a *app) runOne(ctx context.Context, opts runOptions, c *compiled, job *spec.Job, plan *runner.Plan, interrupts *steps.Interrupts) (runner.Result, error) {
	root, err := archiveRoot(job)
	if err != nil {
		return runner.Result{}, failed(steps.ExitFailed, err)
	}
	stopControl, err := a.listen(c.file, job, interrupts)
	if err != nil {
		a.log.Warn("profjob stop will not find this run", "error", err)
	}
	defer stopControl()
	jobFile, err := filepath.Abs(c.file.Path)
	if err != nil {
		return runner.Result{}, failed(steps.ExitFailed, err)
	}
	readers, closeViews := a.views(opts.output)
	a.offerEnter(job, interrupts)
	began := time.Now()
	o, err := runnerOptions(interrupts, readers)
	if err != nil {
		closeViews()
		return runner.Result{}, failed(steps.ExitFailed, err)
	}
	o.JobDir, o.Archive, o.Inputs, o.Secrets, o.JobFile, o.Wait = job.Dir, root, kept(c.file.Sources), job.Secrets, jobFile, opts.wait
	result, err := runner.Run(ctx, plan, o)
	closeViews()
	if err != nil {
		return runner.Result{}, failed(steps.ExitIncomplete, err)
	}
	return result, a.tellEnd(opts.output, result, time.Since(began))
}

// runnerOptions are those that every run of this process has.
func runnerOptions(interrupts *steps.Interrupts, readers []event.Reader) (runner.Options, error) {
	executable, err := os.Executable()
	if err != nil {
		return runner.Options{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		return runner.Options{}, err
	}
	state, err := control.StateDir(os.Getenv)
	if err != nil {
		return runner.Options{}, err
	}
	return runner.Options{Version: version(), Executable: executable, Host: host, Interrupts: interrupts, Readers: readers,
		Locks: filepath.Join(state, "locks"), Clock: steps.SystemClock{}, Files: func(dir string) hostfs.FS { return local.New(dir) }}, nil
}

// tellEnd says how a run ended, where people read it.
func (a *app) tellEnd(output string, result runner.Result, took time.Duration) error {
	if output != "text" {
		return nil
	}
	if err := view.Ended(a.stdout, result.Status, display(result.Path), result.Manifest, took); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}

// archiveRoot is where the job's runs are kept: as its archive block says, else
// ./runs of the working directory, where `profjob runs` looks, too.
func archiveRoot(job *spec.Job) (string, error) {
	switch p := job.Archive.Path; {
	case p == "":
		return filepath.Abs(defaultArchive)
	case filepath.IsAbs(p):
		return filepath.Clean(p), nil
	default:
		return filepath.Join(job.Dir, p), nil
	}
}

const defaultArchive = "runs"

// views gives the readers of a run's events for an output form.
func (a *app) views(output string) (readers []event.Reader, closeViews func()) {
	nothing := func() {}
	switch {
	case output == "jsonl":
		return []event.Reader{view.NewJSONLines(a.stdout)}, nothing
	case isTerminal(a.stderr) && os.Getenv("TERM") != "dumb":
		t := view.NewTerminal(a.stderr)
		restore := a.notes.through(t)
		return []event.Reader{t}, func() {
			restore()
			t.Close()
		}
	}
	return []event.Reader{view.NewLines(a.stderr)}, nothing
}

// display shortens a path that lies below the working directory.
func display(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return "./" + rel
}
