package steps

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"profjob/internal/access"
	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/gate"
	"profjob/spec"
)

// StrategyGate is the strategy of a server that has profjob's plugin: it records
// between two engine steps.
const StrategyGate = "gate"

// GateParams say that a target has the gate, or gets it as it is launched.
type GateParams struct {
	// Secret is nil where the run launches the server and makes one up.
	Secret *spec.Secret `json:"secret,omitempty"`
	// Only: nothing but the gate may record, since nothing else reaches the files.
	Only bool `json:"only,omitempty"`
}

// GateInfo is what a server's gate told of itself.
type GateInfo struct {
	Version    string   `json:"version"`
	Workers    int      `json:"workers"`
	Activities []string `json:"activities,omitempty"` // that every worker can record
	// MaxNumBatchedTokens is the most tokens that an engine step can have; 0: not told.
	MaxNumBatchedTokens int `json:"max_num_batched_tokens,omitempty"`
	// Root is where the gate's files go on the server, as its first worker names it,
	// and Host that worker's host.
	Root string `json:"root,omitempty"`
	Host string `json:"host,omitempty"`
}

// maxGateSteps is the most engine steps of a window that the gate takes.
const maxGateSteps = 10000

// AskGate asks the gate of an endpoint what it is. Both are nil where the target
// does without one, or the server has none and something else may serve.
func AskGate(ctx context.Context, t Target, endpoint, secret string, shown access.Access) (*GateInfo, error) {
	if t.Gate == nil {
		return nil, nil
	}
	c, err := gate.NewFor(endpoint, secret, shown)
	if err != nil {
		return nil, err
	}
	hello, err := c.Hello(ctx)
	switch {
	case errors.Is(err, gate.ErrAbsent) && t.Launched():
		return nil, fmt.Errorf("%w though it was launched with one: its command must pass PYTHONPATH, VLLM_PLUGINS and the variables PROFJOB_GATE_… "+
			"on to vLLM, or set enabled = false in the target's gate block to do without", gate.ErrAbsent)
	case errors.Is(err, gate.ErrAbsent) && t.Gate.Only:
		return nil, fmt.Errorf("%s: %w, through which its files were to come: %s", endpoint, gate.ErrAbsent, howToInstall)
	case errors.Is(err, gate.ErrAbsent):
		return nil, nil
	case errors.Is(err, gate.ErrProtocol):
		return nil, fmt.Errorf("%w: %s", err, howToInstall)
	case errors.Is(err, gate.ErrSecret):
		return nil, fmt.Errorf("%w: gate.secret must be what the server's environment has as %s", err, gate.SecretEnv)
	case err != nil:
		return nil, err
	}
	return gateInfo(hello), nil
}

const howToInstall = "write this version's with `profjob gate install DIR`, set what `profjob gate env DIR` prints, and start the server again"

func gateInfo(h *gate.Hello) *GateInfo {
	info := &GateInfo{Version: h.Gate, Workers: len(h.Workers)}
	for i, w := range h.Workers {
		if i == 0 {
			info.Activities, info.Root, info.Host = w.Activities, w.Root, w.Host
		}
		info.Activities = slices.DeleteFunc(slices.Clone(info.Activities), func(a string) bool { return !slices.Contains(w.Activities, a) })
		if n := w.MaxNumBatchedTokens; n > 0 && (info.MaxNumBatchedTokens == 0 || n < info.MaxNumBatchedTokens) {
			info.MaxNumBatchedTokens = n
		}
	}
	return info
}

// askGate asks the gate of a server of the run.
func (r *Run) askGate(ctx context.Context, s server) (*GateInfo, error) {
	if s.Target.Gate == nil {
		return nil, nil
	}
	secret, err := r.gateSecret(s.Target)
	if err != nil {
		return nil, err
	}
	shown, err := r.access(s.Target)
	if err != nil {
		return nil, err
	}
	return AskGate(ctx, s.Target, s.Endpoint, secret, shown)
}

// gateClient is the client of an endpoint's gate.
func (r *Run) gateClient(t Target, endpoint string) (*gate.Client, error) {
	secret, err := r.gateSecret(t)
	if err != nil {
		return nil, err
	}
	shown, err := r.access(t)
	if err != nil {
		return nil, err
	}
	return gate.NewFor(endpoint, secret, shown)
}

// gateSecret is the job file's, else the one that was made up for the launch.
func (r *Run) gateSecret(t Target) (string, error) {
	if t.Gate == nil {
		return "", fmt.Errorf("target %s has no gate", t.Name)
	}
	if t.Gate.Secret != nil {
		return r.secret(t.Gate.Secret)
	}
	if secret, ok := r.gateSecrets[t.Name]; ok {
		return secret, nil
	}
	return "", fmt.Errorf("the secret of the gate of %s ended with the server that it was made up for", t.Name)
}

// gateFiles is the folder of a launched server's gate for its files, in the run's scratch folder.
const gateFiles = "gate-files"

// installGate writes the plugin for a server that is about to be launched, and
// gives the variables by which it is loaded. set is the server's environment.
func (r *Run) installGate(t Target, set map[string]string) (map[string]string, error) {
	plugin, err := r.Dir.MkdirAll("scratch", t.Name, "gate")
	if err != nil {
		return nil, err
	}
	files, err := r.Dir.MkdirAll(archive.ScratchDir, t.Name, gateFiles)
	if err != nil {
		return nil, err
	}
	if err := gate.Install(plugin); err != nil {
		return nil, err
	}
	if t.Gate.Secret == nil {
		if r.gateSecrets == nil {
			r.gateSecrets = map[string]string{}
		}
		r.gateSecrets[t.Name] = rand.Text()
	}
	secret, err := r.gateSecret(t)
	if err != nil {
		return nil, err
	}
	return gate.Env(plugin, secret, files, set)
}

// sensitive are all values that must not be seen: those of the plan's references,
// and the secrets of gates that the run made up.
func (r *Run) sensitive() map[string]string {
	all := maps.Clone(r.Secrets)
	if all == nil {
		all = map[string]string{}
	}
	for target, secret := range r.gateSecrets {
		all["gate of "+target] = secret
	}
	return all
}

// byGate tells whether the gate records at a target.
func (r *Run) byGate(t Target) bool {
	probed, _ := Latest[ProbeResult](r.State)
	return probed.byGate(t)
}

func (p ProbeResult) byGate(t Target) bool {
	return slices.ContainsFunc(p.Endpoints, func(e Probed) bool { return e.Target == t.Name && e.Choice.Strategy == StrategyGate })
}

// judgeGate says whether a server's gate can give what the job asks for.
func (p *Probe) judgeGate(g *GateInfo) (Choice, error) {
	if p.Count > maxGateSteps {
		return Choice{}, fmt.Errorf("%w: the gate records at most %d engine steps, the window asks for %d", ErrNoStrategy, maxGateSteps, p.Count)
	}
	if err := p.Tokens.reachable(g.MaxNumBatchedTokens); err != nil {
		return Choice{}, err
	}
	if missing := lackingActivities(p.Record.Activities, g.Activities); len(missing) > 0 {
		return Choice{}, fmt.Errorf("%w: the gate cannot record %s on this server, which the record block asks for", ErrNoStrategy, strings.Join(missing, ", "))
	}
	return Choice{Strategy: StrategyGate, Why: fmt.Sprintf("gate %s sees every engine step and records between two of them", g.Version)}, nil
}

// EvidenceOf is the evidence of the traces that an endpoint will give: the gate
// annotates each step itself where the version does not.
func EvidenceOf(choice Choice, info engine.Info) string {
	if choice.Strategy == StrategyGate {
		return evidenceOrder[0]
	}
	return info.Evidence
}
