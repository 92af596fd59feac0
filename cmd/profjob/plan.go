package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
	"profjob/internal/view"
	"profjob/runner"
	"profjob/spec"
	"profjob/steps"
)

// planOptions are the flags of `profjob plan`.
type planOptions struct {
	jobFlags
	output  string
	offline bool
}

func (a *app) planCommand() *cobra.Command {
	var opts planOptions
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what the jobs of a file would do",
		Long: `Show the plan of each job: its plan steps, in order, with their parameters, and the
digest over them. The same inputs give the same plan, byte by byte. Beside it
stands what the digest leaves out: what a probe of the servers would choose
(--offline asks no server), and, where the archive has an earlier run of the job,
about how much the run will write, with a warning where that would go past the
job's limits.

Exit codes: 0 shown; 2 job file or usage wrong.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runPlan(cmd.Context(), opts, args[0]) },
	}
	opts.addFlags(c)
	c.Flags().BoolVar(&opts.offline, "offline", false, "ask no server")
	outputFlag(c, &opts.output, "text", "json")
	return c
}

func (a *app) runPlan(ctx context.Context, opts planOptions, path string) error {
	c, err := a.loadOrSay(ctx, &opts.jobFlags, path)
	if err != nil {
		return err
	}
	var choices []view.Choice
	if !opts.offline {
		for i, job := range c.jobs {
			choices = append(choices, choose(ctx, job, c.plans[i].Probe())...)
		}
	}
	var estimates []view.Estimate
	for i, job := range c.jobs {
		estimates = append(estimates, estimate(ctx, job, c.plans[i]))
	}
	show := view.Plans
	if opts.output == "json" {
		show = view.PlansJSON
	}
	if err := show(a.stdout, c.plans, choices, estimates); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}

// estimate says about how much a job's run will write, by an earlier one.
func estimate(ctx context.Context, job *spec.Job, plan *runner.Plan) view.Estimate {
	out := view.Estimate{Job: job.Address}
	root, err := archiveRoot(job)
	if err == nil {
		out.Estimate, err = plan.Estimate(root)
	}
	if err != nil {
		out.Error = err.Error()
		return out
	}
	rooms := steps.Rooms{Archive: root, Traces: map[string]string{}, Files: func(dir string) hostfs.FS { return local.New(dir) }}
	for _, t := range job.Targets {
		if plan.Probe().Target(t.Name).Gate == nil { // a gate has a folder of its own
			rooms.Traces[t.Name] = absolute(job, t.TraceDir)
		}
	}
	minFree, maxTrace := plan.Limits()
	out.Warnings = out.Estimate.Warnings(ctx, minFree, maxTrace, rooms)
	return out
}

// probeTimeout bounds the question to one server.
const probeTimeout = 10 * time.Second

// choose asks the servers of a job what a run would choose.
func choose(ctx context.Context, job *spec.Job, probe *steps.Probe) []view.Choice {
	var all []view.Choice
	for _, t := range job.Targets {
		kind, _ := kinds.Find(t.Engine)
		if t.Launch != nil || !kind.NeedsEndpoint && len(t.Endpoints) == 0 {
			all = append(all, view.Choice{Job: job.Address, Target: t.Name, Why: "the run starts it"})
			continue
		}
		for _, e := range t.Endpoints {
			all = append(all, chooseOne(ctx, job, t, kind, e, probe))
		}
	}
	return all
}

func chooseOne(ctx context.Context, job *spec.Job, t *spec.Target, kind engine.Kind, endpoint string, probe *steps.Probe) view.Choice {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c := view.Choice{Job: job.Address, Target: t.Name, Endpoint: endpoint}
	info, err := probeEndpoint(ctx, job, t, kind, endpoint)
	c.Engine, c.Version, c.Evidence = info.Engine, info.Version, info.Evidence
	if err != nil {
		c.Error = err.Error()
		return c
	}
	target := probe.Target(t.Name)
	told, err := askGate(ctx, job, t, target, endpoint)
	if err != nil {
		c.Error = err.Error()
		return c
	}
	choice, err := probe.Judge(target, absolute(job, t.TraceDir), info, told)
	if err != nil {
		c.Error = err.Error()
		return c
	}
	c.Strategy, c.Why, c.Evidence = choice.Strategy, choice.Why, steps.EvidenceOf(choice, info)
	for _, warning := range expired(job, t) {
		c.Why += "; WARNING: " + warning
	}
	if target.Gate != nil && told == nil {
		c.Why = "the server has no gate; " + c.Why
	}
	return c
}

// askGate asks the gate of a server that runs already.
func askGate(ctx context.Context, job *spec.Job, t *spec.Target, planned steps.Target, endpoint string) (*steps.GateInfo, error) {
	if planned.Gate == nil || planned.Gate.Secret == nil {
		return nil, nil
	}
	shown, err := accessOf(job, t)
	if err != nil {
		return nil, err
	}
	return steps.AskGate(ctx, planned, endpoint, secretOf(job, *planned.Gate.Secret), shown)
}

// probeEndpoint asks one endpoint what it is.
func probeEndpoint(ctx context.Context, job *spec.Job, t *spec.Target, kind engine.Kind, endpoint string) (engine.Info, error) {
	client, err := clientOf(job, t, kind, endpoint)
	if err != nil {
		return engine.Info{}, err
	}
	info, err := client.Probe(ctx)
	if old := expired(job, t); err != nil && len(old) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(old, "; "))
	}
	return info, err
}

// clientOf makes the client of a target's endpoint, as a run does.
func clientOf(job *spec.Job, t *spec.Target, kind engine.Kind, endpoint string) (engine.Client, error) {
	shown, err := accessOf(job, t)
	if err != nil {
		return nil, err
	}
	return kind.New(engine.Config{Endpoint: endpoint, Access: shown, Now: time.Now, Options: runner.PlainOptions(t.Options)})
}
