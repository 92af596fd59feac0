package runner

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"profjob/internal/archive"
	"profjob/internal/wire"
	"profjob/spec"
	"profjob/steps"
)

// defaultWarmupTimeout is for a job without a warmup block.
const defaultWarmupTimeout = 5 * time.Minute

// Compile makes the plan of a job. It is pure: no network, no clock, no files.
// What the plan cannot do is told as a diagnostic that points into the job file.
func Compile(job *spec.Job) (*Plan, hcl.Diagnostics) {
	if diags := refuse(job); diags.HasErrors() {
		return nil, diags
	}
	c := compiler{job: job, targets: planTargets(job), record: recordOf(job.Record)}
	p := &Plan{
		FormatVersion: PlanVersion,
		Job:           job.Address,
		Rounds:        job.Repeat,
		Attempts:      job.Window.Attempts,
		Retry: Retry{Attempts: job.Retry.Attempts, Initial: wire.Duration(job.Retry.Initial),
			Max: wire.Duration(job.Retry.Max), Multiplier: job.Retry.Multiplier},
		Steps: c.steps(),
	}
	digest, err := p.digest()
	if err != nil {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "No plan", Detail: err.Error(), Subject: job.DeclRange.Ptr()}}
	}
	p.Digest = digest
	return p, nil
}

// refuse names what no plan of this version can do.
func refuse(job *spec.Job) hcl.Diagnostics {
	var diags hcl.Diagnostics
	names := map[string]*spec.Target{}
	for _, t := range job.Targets {
		if other, ok := names[t.Name]; ok {
			diags = diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Two targets of one name in a job",
				Detail:  fmt.Sprintf("%s and %s would write into the same folder of the run. Give one of them another name.", other.Address(), t.Address()),
				Subject: t.DeclRange.Ptr()})
		}
		names[t.Name] = t
	}
	return slices.Concat(diags, refuseShared(job), refuseTraceDirs(job), refuseByItself(job))
}

// refuseByItself: what a server's own token logic cannot give, as far as it is known
// before the server is.
func refuseByItself(job *spec.Job) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, t := range job.Targets {
		target := PlanTarget(t)
		target.Gate = planGate(t, target, job.Window.Kind)
		var tokens *steps.TokensParams
		count := 0
		if w := job.Window.Tokens; w != nil {
			tokens, count = planTokens(w), w.Steps
		}
		if err := target.RefuseByItself(tokens, count, job.Repeat, job.Warmup != nil); err != nil {
			diags = diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "The server cannot record this window",
				Detail: fmt.Sprintf("%s: %s.", t.Address(), err), Subject: job.DeclRange.Ptr()})
		}
	}
	return diags
}

// refuseShared: a server that two targets name would be started twice, and each
// stop would end the other's window.
func refuseShared(job *spec.Job) hcl.Diagnostics {
	var diags hcl.Diagnostics
	owner := map[string]*spec.Target{}
	for _, t := range job.Targets {
		for _, e := range t.Endpoints {
			if other, ok := owner[e]; ok && other != t {
				diags = diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "An endpoint in two targets of a job",
					Detail:  fmt.Sprintf("%s and %s both name %s. A server has one profiler: name it once.", other.Address(), t.Address(), e),
					Subject: t.DeclRange.Ptr()})
				continue
			}
			owner[e] = t
		}
	}
	return diags
}

// refuseTraceDirs: nothing tells the files of two targets apart that write into one
// directory, or into one below the other's.
func refuseTraceDirs(job *spec.Job) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for i, t := range job.Targets {
		for _, other := range job.Targets[:i] {
			a, b := traceDir(job, other), traceDir(job, t)
			if a == "" || b == "" || other == t || !within(a, b) && !within(b, a) {
				continue
			}
			diags = diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Two targets of a job with one trace_dir",
				Detail: fmt.Sprintf("%s writes to %s and %s to %s: the traces of the two could not be told apart. Give each a directory of its own, beside the other's.",
					other.Address(), other.TraceDir, t.Address(), t.TraceDir),
				Subject: t.DeclRange.Ptr()})
		}
	}
	return diags
}

// traceDir is where a target writes, seen from the job file's folder; empty if the job file does not say.
func traceDir(job *spec.Job, t *spec.Target) string {
	if t.TraceDir == "" || filepath.IsAbs(t.TraceDir) {
		return t.TraceDir
	}
	return filepath.Join(job.Dir, t.TraceDir)
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// compiler lays out the plan steps of one job.
type compiler struct {
	job     *spec.Job
	targets []steps.Target
	record  steps.Record
}

func (c *compiler) steps() []Planned {
	var all []Planned
	once := func(s steps.Step) { all = append(all, Planned{0, s}) }
	if !c.anew() {
		for _, s := range c.ready(func(kind string) steps.Header { return header(kind, 0) }) {
			once(s)
		}
	}
	for round := 1; round <= c.job.Repeat; round++ {
		all = append(all, c.round(round)...)
	}
	if len(c.launched()) > 0 && !c.anew() {
		once(&steps.Shutdown{Header: header("shutdown", 0)})
	}
	once(&steps.Analyze{Header: header("analyze", 0), Record: c.record})
	once(&steps.Seal{Header: header("seal", 0), Record: c.record, Mode: planMode(c.job.Archive.Mode)})
	once(&steps.Store{Header: header("store", 0), Path: c.job.Archive.Path, Format: c.job.Archive.Format, Keep: archive.Keep(c.job.Archive.Keep)})
	return all
}

func (c *compiler) round(round int) []Planned {
	named := func(kind string) steps.Header { return header(fmt.Sprintf("round-%02d/%s", round, kind), round) }
	var all []Planned
	if c.anew() {
		for _, s := range c.ready(named) {
			all = append(all, Planned{round, s})
		}
	}
	return append(all,
		Planned{round, c.warmup(named("warmup"))},
		Planned{round, c.window(named("window"))},
		Planned{round, &steps.Collect{Header: named("collect"), Targets: c.targets, ExpectRanks: c.job.Collect.ExpectRanks,
			DeleteRemote: c.job.Collect.DeleteRemote, Timeout: wire.Duration(c.job.Collect.Timeout), MaxTraceSize: c.job.Limits.MaxTraceSize}},
		Planned{round, c.verify(named("verify"))})
}

// ready is what comes before a window: once, or in each attempt where the servers
// are launched anew for it.
func (c *compiler) ready(named func(kind string) steps.Header) []steps.Step {
	var all []steps.Step
	count := c.window(steps.Header{}).Count
	if launched := c.launched(); len(launched) > 0 {
		l := &steps.Launch{Header: named("launch"), Targets: launched, Record: c.record}
		if c.anew() {
			l.Tokens, l.Count = planTokens(c.job.Window.Tokens), count
		}
		all = append(all, l)
	}
	return append(all,
		&steps.Probe{Header: named("probe"), Targets: c.targets, Record: c.record, Strategies: c.strategies(), Count: count,
			Rounds: c.job.Repeat, Warmup: c.job.Warmup != nil, Evidence: c.job.Window.Evidence, Tokens: planTokens(c.job.Window.Tokens)},
		&steps.Preflight{Header: named("preflight"), Targets: c.targets, MinFreeDisk: c.job.Limits.MinFreeDisk, MaxTraceSize: c.job.Limits.MaxTraceSize})
}

// anew tells whether launched servers record by their own token logic, which does
// so once in the life of a process: each attempt has a launch of its own.
func (c *compiler) anew() bool {
	return c.job.Window.Kind == spec.WindowTokens && slices.ContainsFunc(c.launched(), steps.Target.RecordsByItself)
}

func (c *compiler) warmup(h steps.Header) *steps.Warmup {
	w := &steps.Warmup{Header: h, Targets: c.targets, Traffic: traffic(c.job.Load), Timeout: wire.Duration(defaultWarmupTimeout)}
	if from := c.job.Warmup; from != nil {
		w.Running, w.Stable, w.Requests = from.Running, wire.Duration(from.Stable), from.Requests
		w.Duration, w.Timeout = wire.Duration(from.Duration), wire.Duration(from.Timeout)
	}
	return w
}

func (c *compiler) window(h steps.Header) *steps.Window {
	from := c.job.Window
	w := &steps.Window{Header: h, Targets: c.targets, Form: string(from.Kind), Timeout: wire.Duration(from.Timeout), Record: c.record,
		MinFreeDisk: c.job.Limits.MinFreeDisk, MaxTraceSize: c.job.Limits.MaxTraceSize}
	if t := from.Tokens; t != nil {
		w.Count, w.Tokens = t.Steps, planTokens(t)
	}
	if s := from.Steps; s != nil {
		w.Count, w.Delay = s.Count, s.Delay
	}
	if m := from.Manual; m != nil {
		w.Duration, w.Until = wire.Duration(m.Duration), m.Until
	}
	return w
}

func (c *compiler) verify(h steps.Header) *steps.Verify {
	w := c.window(h)
	return &steps.Verify{Header: h, Targets: c.targets, Form: w.Form, Count: w.Count, Delay: w.Delay, Tokens: w.Tokens, Duration: w.Duration,
		Until: w.Until, Evidence: c.job.Window.Evidence, Record: c.record, KeepOriginal: c.job.Collect.KeepOriginal,
		ExpectRanks: c.job.Collect.ExpectRanks}
}

func (c *compiler) launched() []steps.Target {
	var all []steps.Target
	for _, t := range c.targets {
		if t.Launched() {
			all = append(all, t)
		}
	}
	return all
}

func header(id string, round int) steps.Header { return steps.Header{Name: id, Round: round} }

// strategies are those that may serve the window, in order of preference.
func (c *compiler) strategies() []string {
	own := ownStrategies(c.job.Window.Kind, c.targets)
	gated := func(t steps.Target) bool { return t.Gate != nil }
	other := func(t steps.Target) bool { return t.Gate == nil || !t.Gate.Only }
	switch {
	case !slices.ContainsFunc(c.targets, other):
		return []string{steps.StrategyGate}
	case slices.ContainsFunc(c.targets, gated):
		return append([]string{steps.StrategyGate}, own...)
	}
	return own
}

// ownStrategies are those by which a server's own profiler serves.
func ownStrategies(kind spec.WindowKind, targets []steps.Target) []string {
	switch {
	case kind == spec.WindowManual:
		return []string{steps.StrategyTimed}
	case kind == spec.WindowTokens && !slices.ContainsFunc(targets, steps.Target.RecordsByItself):
		// Nobody knows beforehand how many steps come before the first that qualifies.
		return []string{steps.StrategyObserved}
	}
	return []string{steps.StrategyBounded, steps.StrategyObserved}
}

func planTokens(t *spec.TokensWindow) *steps.TokensParams {
	if t == nil {
		return nil
	}
	return &steps.TokensParams{Threshold: t.Threshold, AtMost: t.AtMost, Phase: t.Phase, SkipRequests: t.SkipRequests, All: t.All}
}

func recordOf(r spec.Record) steps.Record {
	return steps.Record{Shapes: r.Shapes, Memory: r.Memory, Stack: r.Stack, FLOPs: r.FLOPs, Activities: r.Activities}
}

// planMode gives a mode as the plan has it: nothing where it is the usual one.
func planMode(mode fs.FileMode) string {
	if mode == 0 || mode == 0o600 {
		return ""
	}
	return fmt.Sprintf("%04o", mode)
}

func planTargets(job *spec.Job) []steps.Target {
	var all []steps.Target
	for _, t := range job.Targets {
		target := PlanTarget(t)
		target.Gate = planGate(t, target, job.Window.Kind)
		all = append(all, target)
	}
	return all
}

// planGate gives a target its gate: as the job file says, and a server that the
// run launches without that, for a window that nothing else can get at once.
func planGate(t *spec.Target, target steps.Target, kind spec.WindowKind) *steps.GateParams {
	switch {
	case t.Gate == nil && kind == spec.WindowTokens && target.Launched() && target.CanHaveGate():
		return &steps.GateParams{}
	case t.Gate == nil || !t.Gate.Enabled:
		return nil
	}
	g := &steps.GateParams{Only: t.Files.From == spec.FilesFromGate}
	if t.Gate.Secret != (spec.Secret{}) {
		secret := t.Gate.Secret
		g.Secret = &secret
	}
	return g
}

// PlanTarget gives a target as a plan has it, but for its gate, which the job's window
// has a say in.
func PlanTarget(t *spec.Target) steps.Target {
	out := steps.Target{Name: t.Name, Engine: t.Engine, Endpoints: t.Endpoints, TraceDir: t.TraceDir, Version: t.Version,
		Options: PlainOptions(t.Options)}
	if t.Auth.Bearer != (spec.Secret{}) {
		bearer := t.Auth.Bearer
		out.Bearer = &bearer
	}
	if t.Auth.APIKey != (spec.Secret{}) {
		out.APIKey = &steps.APIKey{Header: t.Auth.Header, Key: t.Auth.APIKey}
	}
	if t.TLS != nil {
		out.TLS = &steps.TLSParams{CA: t.TLS.CA, Cert: t.TLS.Cert, Key: t.TLS.Key, ServerName: t.TLS.ServerName}
	}
	if l := t.Launch; l != nil {
		out.Launch = &steps.LaunchParams{Command: l.Command, Env: l.Env, ReadyTimeout: wire.Duration(l.ReadyTimeout)}
	}
	return out
}

// PlainOptions turns an engine's own attributes into what JSON has, which is what
// clients and launches of the engine are told.
func PlainOptions(options map[string]cty.Value) map[string]any {
	if len(options) == 0 {
		return nil
	}
	out := make(map[string]any, len(options))
	for name, v := range options {
		raw, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			continue // spec gives only known values of plain types
		}
		var plain any
		if steps.Strict(raw, &plain) == nil {
			out[name] = plain
		}
	}
	return out
}

func traffic(l *spec.Load) *steps.TrafficParams {
	if l == nil {
		return nil
	}
	return &steps.TrafficParams{Name: l.Name, Concurrency: l.Concurrency, Rate: l.Rate, Burstiness: l.Burstiness,
		InputTokens: l.InputTokens, OutputTokens: l.OutputTokens, Dataset: l.Dataset, Endpoint: l.Endpoint,
		Model: l.Model, API: l.API, Seed: l.Seed}
}
