package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/view"
	"profjob/runner"
	"profjob/spec"
	"profjob/steps"
)

// jobFlags are those of every command that reads a job file.
type jobFlags struct {
	vars     []string
	varFiles []string
	jobs     []string
}

func (f *jobFlags) addFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.vars, "var", nil, "set a variable, `name=value`; may be given again")
	c.Flags().StringArrayVar(&f.varFiles, "var-file", nil, "read variables from a `file`; may be given again")
	c.Flags().StringArrayVar(&f.jobs, "job", nil, "only this `job` of the file; may be given again")
}

// inputs gives what the language needs beside the file.
func (f *jobFlags) inputs() (spec.Inputs, error) {
	in := spec.Inputs{VarFiles: f.varFiles, Vars: map[string]string{}, Environ: os.Environ(), Version: version()}
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return in, usage("--var %q: it wants name=value", v)
		}
		in.Vars[name] = value
	}
	return in, nil
}

// compiled is a job file with the plans of the jobs that were chosen.
type compiled struct {
	file  *spec.File
	jobs  []*spec.Job
	plans []*runner.Plan
	// warnings were shown already.
	diags *spec.Diagnostics
}

// load reads a job file and compiles the jobs that were chosen. Where something
// is wrong the diagnostics have it, and the error is nil only if there are none.
func (f *jobFlags) load(ctx context.Context, path string) (*compiled, error) {
	in, err := f.inputs()
	if err != nil {
		return nil, err
	}
	file, diags := spec.LoadFile(ctx, path, catalog(), in)
	c := &compiled{file: file, diags: diags}
	if diags.HasErrors() {
		return c, diags.Err()
	}
	if c.jobs, err = f.choose(file); err != nil {
		return nil, err
	}
	for _, job := range c.jobs {
		plan, more := runner.Compile(job)
		diags.Append(more...)
		c.plans = append(c.plans, plan)
	}
	return c, diags.Err()
}

// choose gives the jobs named with --job, or all.
func (f *jobFlags) choose(file *spec.File) ([]*spec.Job, error) {
	if len(file.Jobs) == 0 {
		return nil, usage("%s has no job", file.Path)
	}
	if len(f.jobs) == 0 {
		return file.Jobs, nil
	}
	var addresses []string
	for _, j := range file.Jobs {
		addresses = append(addresses, j.Address)
	}
	var chosen []*spec.Job
	for _, name := range f.jobs {
		n := len(chosen)
		for _, j := range file.Jobs {
			if (j.Address == name || j.Name == name) && !slices.Contains(chosen, j) {
				chosen = append(chosen, j)
			}
		}
		if len(chosen) == n {
			return nil, usage("--job %s: %s has %s", name, file.Path, strings.Join(addresses, ", "))
		}
	}
	return chosen, nil
}

// loadOrSay loads a job file and shows people what is wrong with it.
func (a *app) loadOrSay(ctx context.Context, f *jobFlags, path string) (*compiled, error) {
	c, err := f.load(ctx, path)
	if c == nil || c.diags == nil {
		return nil, err
	}
	if sayErr := a.sayDiagnostics(c.diags); sayErr != nil {
		return nil, failed(steps.ExitFailed, sayErr)
	}
	if err != nil {
		return nil, said(steps.ExitUsage)
	}
	return c, nil
}

// sayDiagnostics shows diagnostics with their snippets on stderr.
func (a *app) sayDiagnostics(d *spec.Diagnostics) error {
	var text strings.Builder
	colour, printable := false, view.Printable
	if isTerminal(a.stderr) && os.Getenv("NO_COLOR") == "" {
		colour, printable = true, view.PrintableInColour
	}
	if err := d.WriteText(&text, uint(max(0, terminalWidth(a.stderr))), colour); err != nil {
		return err
	}
	_, err := io.WriteString(a.stderr, printable(text.String()))
	return err
}

// catalog tells the language what the engines' target blocks may hold.
func catalog() spec.Catalog {
	c := spec.Catalog{}
	for _, k := range kinds.All() {
		c[k.Name] = spec.TargetSchema{Doc: k.Doc, NeedsEndpoint: k.NeedsEndpoint, Launchable: k.Launchable, Gate: k.Gate, Attributes: attributes(k)}
	}
	return c
}

func attributes(k engine.Kind) []spec.Attribute {
	var all []spec.Attribute
	for _, o := range k.Options {
		all = append(all, spec.Attribute{Name: o.Name, Type: o.Type, Default: o.Default, OneOf: o.OneOf, Doc: o.Doc})
	}
	return all
}

// oneFile is the argument of commands that take a job file.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("%s wants one job file, see %s --help", cmd.Name(), cmd.CommandPath())
	}
	return nil
}

// someFiles is the argument of commands that take any number of job files.
func someFiles(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("%s wants job files, see %s --help", cmd.Name(), cmd.CommandPath())
	}
	return nil
}

// kept are the input files in the form in which a run keeps them; a file that
// may not be kept is kept as its hash.
func kept(sources []spec.Source) []runner.Input {
	var all []runner.Input
	for i, s := range sources {
		name := strings.NewReplacer("../", "_/", "..", "_").Replace(strings.TrimLeft(s.Path, "/"))
		if slices.ContainsFunc(all, func(o runner.Input) bool { return o.Name == name }) {
			name = fmt.Sprintf("%d-%s", i, name)
		}
		if s.Redacted == nil {
			all = append(all, runner.Input{Name: name + ".sha256", Content: []byte(s.SHA256 + "\n")})
			continue
		}
		all = append(all, runner.Input{Name: name, Content: s.Redacted})
	}
	return all
}
