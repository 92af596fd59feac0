package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/engine/setupfmt"
	"profjob/spec"
	"profjob/steps"
)

// envOptions are the flags of `profjob env`.
type envOptions struct {
	jobFlags
	format  string
	version string
}

func (a *app) envCommand() *cobra.Command {
	var opts envOptions
	var names []string
	for _, f := range setupfmt.Formats() {
		names = append(names, string(f))
	}
	c := &cobra.Command{
		Use:   "env FILE",
		Short: "Print what to set on a server so that a job can profile it",
		Long: `Print what a server needs at its launch so that it can record what the job asks for:
environment variables for versions that take those, flags for those that take
flags. The version is the one given, or the target's, or that of the command in
its launch block, or what the server answers that runs now.

Exit codes: 0 printed; 2 job file or usage wrong, or the version cannot record it;
4 the version cannot be found out.`,
		Example: `  eval "$(profjob env job.hcl --server-version 0.11.0)"
  profjob env job.hcl -o kubernetes`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runEnv(cmd.Context(), opts, args[0]) },
	}
	opts.addFlags(c)
	c.Flags().StringVar(&opts.version, "server-version", "", "`version` of the server")
	outputFlag(c, &opts.format, names...)
	return c
}

func (a *app) runEnv(ctx context.Context, opts envOptions, path string) error {
	c, err := a.loadOrSay(ctx, &opts.jobFlags, path)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for i, job := range c.jobs {
		for _, t := range job.Targets {
			if done[t.Address()] {
				continue
			}
			done[t.Address()] = true
			if err := a.envOf(ctx, opts, job, t, c.plans[i].Probe()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) envOf(ctx context.Context, opts envOptions, job *spec.Job, t *spec.Target, probe *steps.Probe) error {
	kind, _ := kinds.Find(t.Engine)
	if !kind.NeedsEndpoint && len(t.Endpoints) == 0 {
		return usage("env: %s needs nothing: the run starts it as the job wants it", t.Address())
	}
	gated := t.Gate != nil && t.Gate.Enabled
	if gated && t.TraceDir == "" {
		return a.writeSetup(opts, engine.Setup{Notes: []string{gateNote(t)}})
	}
	if t.TraceDir == "" {
		return usage("env: %s has no trace_dir: say where the server shall write its traces", t.Address())
	}
	request, err := launchRequest(job, t, probe)
	if err != nil {
		return failed(steps.ExitFailed, fmt.Errorf("env: %s: %w", t.Address(), err))
	}
	if request.Version, err = serverVersion(ctx, opts, job, t, kind, request); err != nil {
		return failed(steps.ExitServer, fmt.Errorf("env: %s: %w", t.Address(), err))
	}
	setup, err := kind.Setup(request)
	if err != nil {
		return usage("env: %s: %w", t.Address(), err)
	}
	if gated {
		setup.Notes = append(setup.Notes, gateNote(t)+"; what is printed here is for the server's own profiler, which serves where the gate does not")
	}
	return a.writeSetup(opts, setup)
}

func (a *app) writeSetup(opts envOptions, setup engine.Setup) error {
	if err := setupfmt.Write(a.stdout, setupfmt.Format(opts.format), setup); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}

// gateNote says where what the gate needs is printed.
func gateNote(t *spec.Target) string {
	return t.Address() + " is profiled through the gate: `profjob gate install DIR` writes it, `profjob gate env DIR` prints what to set"
}

// launchRequest asks for what a run that launches the server asks for, but for the
// version. Of a server without a launch block, command and environment are not known.
func launchRequest(job *spec.Job, t *spec.Target, probe *steps.Probe) (engine.SetupRequest, error) {
	target := probe.Target(t.Name)
	r := engine.SetupRequest{TraceDir: absolute(job, t.TraceDir), Record: probe.Record, Options: target.Options,
		Tokens: probe.OwnWindow(target)}
	if target.Launch == nil {
		return r, nil
	}
	run := &steps.Run{Secrets: job.Secrets}
	env, err := run.LaunchEnvironment(target)
	r.Command, r.Env = target.Launch.Command, env
	return r, err
}

// absolute resolves a path of a job file; empty stays empty.
func absolute(job *spec.Job, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(job.Dir, path)
}

// serverVersion finds out which version the server is.
func serverVersion(ctx context.Context, opts envOptions, job *spec.Job, t *spec.Target, kind engine.Kind, request engine.SetupRequest) (string, error) {
	switch {
	case opts.version != "":
		return opts.version, nil
	case t.Version != "":
		return t.Version, nil
	case t.Launch != nil && kind.Version != nil:
		return kind.Version(ctx, request.Command, request.Env, job.Dir)
	}
	var tried []string
	for _, e := range t.Endpoints {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		info, err := probeEndpoint(ctx, job, t, kind, e)
		cancel()
		if err == nil {
			return info.Version, nil
		}
		tried = append(tried, err.Error())
	}
	return "", errors.New("its version is not known: give --server-version, or version in the target, or start the server: " + strings.Join(tried, "; "))
}
