package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/gate"
	"profjob/internal/view"
	"profjob/spec"
	"profjob/steps"
)

// probeOptions are the flags of `profjob probe`.
type probeOptions struct {
	jobFlags
	output string
	engine string
}

func (a *app) probeCommand() *cobra.Command {
	var opts probeOptions
	c := &cobra.Command{
		Use:   "probe FILE|URL…",
		Short: "Say what servers are: engine, version, profiling, strategies",
		Long: `Ask the servers of a job file, or those at the URLs given, what they are. Nothing on
them is changed, and no engine step is added.

Exit codes: 0 all answered and can be profiled; 2 job file or usage wrong; 4 one
cannot be reached, is no such server, or has no profiler configured.`,
		Example: `  profjob probe http://127.0.0.1:8000
  profjob probe nightly.hcl -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("probe wants one job file, or URLs, see profjob probe --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runProbe(cmd.Context(), opts, args) },
	}
	opts.addFlags(c)
	c.Flags().StringVar(&opts.engine, "engine", "vllm", "kind of the servers at the URLs")
	outputFlag(c, &opts.output, "text", "json", "jsonl")
	return c
}

// probed is what `profjob probe` tells of one endpoint.
type probed struct {
	Target   string       `json:"target,omitempty"`
	Endpoint string       `json:"endpoint"`
	Info     *engine.Info `json:"info"`
	Gate     *probedGate  `json:"gate,omitempty"` // nil: the server has none
	Serves   []string     `json:"strategies"`
	Error    string       `json:"error,omitempty"`
}

// probedGate is what a server's gate tells: of itself, or why it does not.
type probedGate struct {
	*steps.GateInfo
	Error string `json:"error,omitempty"`
}

func (a *app) runProbe(ctx context.Context, opts probeOptions, args []string) error {
	all, err := a.probeAll(ctx, opts, args)
	if err != nil {
		return err
	}
	if err := showProbed(a.stdout, opts.output, all); err != nil {
		return failed(steps.ExitFailed, err)
	}
	for _, p := range all {
		if p.Error != "" || len(p.Serves) == 0 {
			return said(steps.ExitServer)
		}
	}
	return nil
}

func (a *app) probeAll(ctx context.Context, opts probeOptions, args []string) ([]probed, error) {
	isURL := func(a string) bool { return strings.Contains(a, "://") }
	switch {
	case !slices.ContainsFunc(args, isURL) && len(args) == 1:
	case slices.ContainsFunc(args, func(a string) bool { return !isURL(a) }):
		return nil, usage("probe wants one job file, or URLs like http://HOST:PORT")
	default:
		return probeURLs(ctx, opts.engine, args)
	}
	c, err := a.loadOrSay(ctx, &opts.jobFlags, args[0])
	if err != nil {
		return nil, err
	}
	var all []probed
	for _, job := range c.jobs {
		for _, t := range job.Targets {
			all = append(all, probeTarget(ctx, job, t, all)...)
		}
	}
	return all, nil
}

func probeURLs(ctx context.Context, engineName string, urls []string) ([]probed, error) {
	kind, ok := kinds.Find(engineName)
	if !ok {
		return nil, usage("--engine %q is not known: one of %s", engineName, strings.Join(slices.Sorted(maps.Keys(catalog())), ", "))
	}
	for _, u := range urls {
		if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
			return nil, usage("probe %s: a server's URL is written http://HOST:PORT", u)
		}
	}
	job := &spec.Job{}
	t := &spec.Target{Engine: kind.Name}
	var all []probed
	for _, u := range urls {
		all = append(all, probeOne(ctx, job, t, kind, strings.TrimRight(u, "/")))
	}
	return all, nil
}

// probeTarget asks the endpoints of a target that were not asked yet.
func probeTarget(ctx context.Context, job *spec.Job, t *spec.Target, before []probed) []probed {
	kind, _ := kinds.Find(t.Engine)
	var all []probed
	for _, e := range t.Endpoints {
		if !slices.ContainsFunc(before, func(p probed) bool { return p.Endpoint == e }) {
			all = append(all, probeOne(ctx, job, t, kind, e))
		}
	}
	return all
}

func probeOne(ctx context.Context, job *spec.Job, t *spec.Target, kind engine.Kind, endpoint string) probed {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p := probed{Target: t.Name, Endpoint: endpoint, Serves: []string{}}
	info, err := probeEndpoint(ctx, job, t, kind, endpoint)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	info.Notes = append(info.Notes, expired(job, t)...)
	p.Info = &info
	var told *steps.GateInfo
	if kind.Gate {
		told, p.Gate = probeGate(ctx, job, t, endpoint)
	}
	p.Serves = append(p.Serves, steps.Serving(info, told)...)
	return p
}

// probeGate asks a server's gate, with the job file's secret, or else that of this
// environment. Without either, only that there is a gate can be told.
func probeGate(ctx context.Context, job *spec.Job, t *spec.Target, endpoint string) (*steps.GateInfo, *probedGate) {
	secret := os.Getenv(gate.SecretEnv)
	if t.Gate != nil {
		secret = secretOf(job, t.Gate.Secret)
	}
	shown, err := accessOf(job, t)
	if err != nil {
		return nil, &probedGate{Error: err.Error()}
	}
	told, err := steps.AskGate(ctx, steps.Target{Name: t.Name, Engine: t.Engine, Endpoints: t.Endpoints, Gate: &steps.GateParams{}},
		endpoint, cmp.Or(secret, "none"), shown)
	switch {
	case err != nil && secret == "":
		return nil, &probedGate{Error: "it is there; it says more to those who set " + gate.SecretEnv}
	case err != nil:
		return nil, &probedGate{Error: err.Error()}
	case told == nil:
		return nil, nil
	}
	return told, &probedGate{GateInfo: told}
}

func showProbed(w io.Writer, output string, all []probed) error {
	switch output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if all == nil {
			all = []probed{}
		}
		return e.Encode(all)
	case "jsonl":
		e := json.NewEncoder(w)
		for _, p := range all {
			if err := e.Encode(p); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range all {
		if _, err := io.WriteString(w, view.Printable(probedText(p))); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no server to ask: the run starts those of this file")
		return err
	}
	return nil
}

// String tells of a gate in one line.
func (g *probedGate) String() string {
	if g.Error != "" {
		return g.Error
	}
	text := fmt.Sprintf("%s, workers: %d", g.Version, g.Workers)
	if g.MaxNumBatchedTokens > 0 {
		text += fmt.Sprintf(", at most %d tokens in an engine step", g.MaxNumBatchedTokens)
	}
	return text
}

func probedText(p probed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", p.Endpoint)
	if p.Error != "" {
		fmt.Fprintf(&b, "  error       %s\n", p.Error)
		return b.String()
	}
	i := p.Info
	fmt.Fprintf(&b, "  engine      %s %s (dialect %s)\n", i.Engine, i.Version, i.Dialect)
	fmt.Fprintf(&b, "  models      %s\n", strings.Join(i.Models, ", "))
	fmt.Fprintf(&b, "  profiling   %s\n", i.Profiling)
	if i.Profiling == engine.ProfilingNotConfigured && p.Gate == nil {
		fmt.Fprintf(&b, "              %s\n", steps.WhatToSet(steps.Target{Engine: i.Engine}, "", i.Version, steps.Record{}))
	}
	if i.TraceDir != "" {
		fmt.Fprintf(&b, "  trace_dir   %s\n", i.TraceDir)
	}
	if p.Gate != nil {
		fmt.Fprintf(&b, "  gate        %s\n", p.Gate)
	}
	if len(p.Serves) > 0 {
		fmt.Fprintf(&b, "  strategies  %s\n", strings.Join(p.Serves, ", "))
	}
	fmt.Fprintf(&b, "  evidence    %s\n", i.Evidence)
	for _, n := range i.Notes {
		fmt.Fprintf(&b, "  note        %s\n", n)
	}
	for _, k := range slices.Sorted(maps.Keys(i.Fingerprint)) {
		fmt.Fprintf(&b, "  %s = %s\n", k, i.Fingerprint[k])
	}
	return b.String()
}
