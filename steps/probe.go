package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/engine"
	"profjob/internal/gate"
)

// Probe asks every server what it is, refuses those that cannot give what the
// job asks for, and chooses the strategy by which each gets its window.
type Probe struct {
	Header
	noUndo
	Targets    []Target `json:"targets"`
	Record     Record   `json:"record"`
	Strategies []string `json:"strategies"`      // in order of preference
	Count      int      `json:"count,omitempty"` // engine steps of the window
	Rounds     int      `json:"rounds,omitempty"`
	Warmup     bool     `json:"warmup,omitempty"` // requests are sent before the window
	Evidence   string   `json:"evidence,omitempty"`
	// Tokens is what a window by tokens asks for; the evidence must be able to show it.
	Tokens *TokensParams `json:"tokens,omitempty"`
}

// ProbeResult has what the servers told.
type ProbeResult struct {
	Endpoints []Probed `json:"endpoints"`
	// Before is what lay in the trace directories of servers that may record by
	// themselves from the first request on, by target.
	Before map[string]Snapshot `json:"before,omitempty"`
}

// Probed is one endpoint and what it can do.
type Probed struct {
	Target   string      `json:"target"`
	Endpoint string      `json:"endpoint"`
	Info     engine.Info `json:"info"`
	Gate     *GateInfo   `json:"gate,omitempty"`
	Choice   Choice      `json:"choice"`
}

// Summary tells engines, versions and strategies.
func (r ProbeResult) Summary() string {
	var parts []string
	for _, e := range r.Endpoints {
		parts = append(parts, fmt.Sprintf("%s is %s %s: %s, evidence %s",
			e.Target, e.Info.Engine, e.Info.Version, e.Choice.Strategy, EvidenceOf(e.Choice, e.Info)))
	}
	return strings.Join(parts, "; ")
}

// Kind is the row in the table of kinds.
func (p *Probe) Kind() string { return "probe" }

// Do asks each endpoint in turn.
func (p *Probe) Do(ctx context.Context, run *Run) (any, error) {
	servers, err := run.servers(p.Targets)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	var result ProbeResult
	for _, s := range servers {
		probed, err := p.one(ctx, run, s)
		if err != nil {
			if old := run.expired(s.Target); len(old) > 0 {
				err = fmt.Errorf("%w (%s)", err, strings.Join(old, "; "))
			}
			return nil, fmt.Errorf("probe %s: %w", s.Target.Name, err)
		}
		result.Endpoints = append(result.Endpoints, probed)
		if err := result.remember(ctx, run, s.Target, probed.Choice); err != nil {
			return nil, err
		}
	}
	if err := p.alike(result); err != nil {
		return nil, backoff.Permanent(err)
	}
	return result, p.warnings(run, result)
}

// alike refuses a target of which the gate records at some endpoints only: its
// files would be looked for at two places.
func (p *Probe) alike(result ProbeResult) error {
	for _, e := range result.Endpoints {
		if e.Choice.Strategy != StrategyGate && result.byGate(p.Target(e.Target)) {
			return finalServerFailure("probe %s: %s has no gate, other endpoints of the target have: %s, or make two targets of them",
				e.Target, e.Endpoint, howToInstall)
		}
	}
	return nil
}

func (p *Probe) one(ctx context.Context, run *Run, s server) (Probed, error) {
	info, err := s.Client.Probe(ctx)
	if errors.Is(err, engine.ErrNotServer) {
		return Probed{}, backoff.Permanent(finalServerFailure("%w", err))
	}
	if err != nil {
		return Probed{}, finalServerFailure("%w", err)
	}
	told, err := run.askGate(ctx, s)
	switch {
	case errors.Is(err, gate.ErrAbsent), errors.Is(err, gate.ErrSecret), errors.Is(err, gate.ErrProtocol):
		return Probed{}, backoff.Permanent(finalServerFailure("%w", err))
	case err != nil:
		return Probed{}, finalServerFailure("%w", err)
	}
	choice, err := p.Judge(s.Target, run.traceDir(s.Target), info, told)
	if err != nil {
		return Probed{}, backoff.Permanent(finalServerFailure("%s (%s %s): %w", s.Endpoint, info.Engine, info.Version, err))
	}
	return Probed{Target: s.Target.Name, Endpoint: s.Endpoint, Info: info, Gate: told, Choice: choice}, nil
}

// Judge says whether a server that told info can give what the job asks for, and
// by which strategy. It is pure: `profjob plan` shows what a run would do. traceDir
// is where the target is to write, for the message that says what to set; it may
// be empty. told is what the server's gate says; nil: there is none.
func (p *Probe) Judge(target Target, traceDir string, info engine.Info, told *GateInfo) (Choice, error) {
	if told != nil {
		return p.judgeGate(told)
	}
	if info.Profiling == engine.ProfilingNotConfigured {
		return Choice{}, fmt.Errorf("%w; %s", engine.ErrNotConfigured, WhatToSet(target, traceDir, info.Version, p.Record))
	}
	if missing := missingOptions(p.Record, info.Record); len(missing) > 0 {
		return Choice{}, fmt.Errorf("the server was launched without %s, which the record block asks for; %s",
			strings.Join(missing, ", "), WhatToSet(target, traceDir, info.Version, p.Record))
	}
	return p.choose(target, info)
}

// choose gives the strategy that serves on a server.
func (p *Probe) choose(target Target, info engine.Info) (Choice, error) {
	allowed := p.Strategies
	var notes []string
	if target.kind().ByItself != nil {
		choice, fatal, err := p.byItself(target, info)
		notes = choice.Notes
		switch {
		case fatal:
			return Choice{}, err
		case choice.ByItself && slices.Contains(allowed, StrategyBounded):
			return choice, p.Tokens.evident(info, p.Record.Shapes)
		}
	}
	if p.Tokens != nil {
		// Nobody knows beforehand how many steps come before the first that qualifies.
		allowed = slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == StrategyBounded })
		if err := p.Tokens.decidable(info, p.Record.Shapes); err != nil {
			return Choice{}, err
		}
		if err := p.Tokens.reachable(mostTokens(info)); err != nil {
			return Choice{}, err
		}
	}
	choice, err := Choose(allowed, p.Evidence, info)
	choice.Notes = notes
	return choice, err
}

// Target gives the target of a name.
func (p *Probe) Target(name string) Target {
	for _, t := range p.Targets {
		if t.Name == name {
			return t
		}
	}
	return Target{}
}

// WhatToSet says what a server needs at its launch to record as asked.
func WhatToSet(t Target, traceDir, version string, record Record) string {
	if traceDir == "" {
		traceDir = "/path/for/traces"
	}
	setup, err := t.kind().Setup(engine.SetupRequest{Version: version, TraceDir: traceDir, Record: record, Options: t.Options})
	if err != nil {
		return err.Error()
	}
	parts := sortedEnv(setup.Env)
	for i, a := range setup.Args {
		if strings.ContainsAny(a, "{ \"") {
			setup.Args[i] = "'" + a + "'"
		}
	}
	parts = append(parts, strings.Join(setup.Args, " "))
	return "launch it with " + strings.TrimSpace(strings.Join(parts, " ")) + " (`profjob env` prints it for shell, Docker, Kubernetes and systemd)"
}

// missingOptions names what is asked for and not configured; none where the server does not tell.
func missingOptions(asked Record, configured *Record) []string {
	if configured == nil {
		return nil
	}
	return append(lacking(options(asked), options(*configured)), lackingActivities(asked.Activities, configured.Activities)...)
}

func (p *Probe) warnings(run *Run, result ProbeResult) error {
	versions := map[string]string{}
	var errs []error
	for _, e := range result.Endpoints {
		if t := p.Target(e.Target); t.Gate != nil && e.Gate == nil {
			errs = append(errs, run.warn("%s: the server has no gate, so that its own profiler records (%s): %s", e.Target, e.Choice.Strategy, howToInstall))
		}
		for _, note := range slices.Concat(e.Info.Notes, e.Choice.Notes) {
			errs = append(errs, run.warn("%s: %s", e.Target, note))
		}
		if v, ok := versions[e.Target]; ok && v != e.Info.Version {
			errs = append(errs, run.warn("%s: endpoints of different versions: %s and %s", e.Target, v, e.Info.Version))
		}
		versions[e.Target] = e.Info.Version
	}
	for _, t := range p.Targets {
		errs = append(errs, p.traceDirWarning(run, t, result))
		for _, text := range run.expired(t) {
			errs = append(errs, run.warn("%s: %s", t.Name, text))
		}
	}
	return errors.Join(errs...)
}

func (p *Probe) traceDirWarning(run *Run, t Target, result ProbeResult) error {
	asked := run.traceDir(t)
	for _, e := range result.Endpoints {
		if e.Target != t.Name || e.Gate != nil || e.Info.TraceDir == "" || asked == "" || e.Info.TraceDir == asked {
			continue
		}
		return run.warn("%s: the server says that it writes to %s, the job file says %s: the same directory under another name?",
			t.Name, e.Info.TraceDir, asked)
	}
	return nil
}
