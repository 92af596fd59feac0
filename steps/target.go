package steps

import (
	"fmt"
	"path/filepath"
	"slices"

	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/gate"
	"profjob/internal/wire"
	"profjob/spec"
)

// Target is a server as the plan has it.
type Target struct {
	Name      string         `json:"name"`
	Engine    string         `json:"engine"`
	Endpoints []string       `json:"endpoints,omitempty"` // empty: the launch says
	TraceDir  string         `json:"trace_dir,omitempty"` // relative to the job file, or absolute
	Version   string         `json:"version,omitempty"`   // as the job file says it
	Options   map[string]any `json:"options,omitempty"`
	Bearer    *spec.Secret   `json:"bearer,omitempty"`
	APIKey    *APIKey        `json:"api_key,omitempty"`
	TLS       *TLSParams     `json:"tls,omitempty"`
	Launch    *LaunchParams  `json:"launch,omitempty"`
	Gate      *GateParams    `json:"gate,omitempty"` // nil: the server has none, or it shall not be used
}

// LaunchParams is a server's launch block.
type LaunchParams struct {
	Command      []string               `json:"command"`
	Env          map[string]spec.Secret `json:"env,omitempty"`
	ReadyTimeout wire.Duration          `json:"ready_timeout"`
}

// Record are the record options of the plan.
type Record = engine.Record

// Launched tells whether the run starts the server by itself.
func (t Target) Launched() bool {
	return t.Launch != nil || !t.kind().NeedsEndpoint && len(t.Endpoints) == 0
}

// RefersToSecrets tells whether anything of the target is a sensitive value, which
// the plan only refers to.
func (t Target) RefersToSecrets() bool {
	var own []*spec.Secret
	own = append(own, t.Bearer)
	if t.APIKey != nil {
		own = append(own, &t.APIKey.Key)
	}
	if t.Gate != nil {
		own = append(own, t.Gate.Secret)
	}
	if slices.ContainsFunc(own, func(s *spec.Secret) bool { return s != nil && s.Ref != "" }) {
		return true
	}
	if t.Launch != nil {
		for _, v := range t.Launch.Env {
			if v.Ref != "" {
				return true
			}
		}
	}
	return false
}

// CanHaveGate tells whether servers of the target's kind can load the gate.
func (t Target) CanHaveGate() bool { return t.kind().Gate }

// kind gives the kind of the target's engine. The compiler refused unknown ones.
func (t Target) kind() engine.Kind {
	k, _ := kinds.Find(t.Engine)
	return k
}

// endpoints gives where the target is reached: as the launch says, else as the plan does.
func (r *Run) endpoints(t Target) []string {
	if s, ok := r.launchedServer(t); ok {
		return s.Endpoints
	}
	return t.Endpoints
}

// traceDir gives the absolute directory where the target writes; empty if nobody says.
func (r *Run) traceDir(t Target) string {
	if s, ok := r.launchedServer(t); ok && s.TraceDir != "" {
		return s.TraceDir
	}
	if t.TraceDir != "" {
		return r.absolute(t.TraceDir)
	}
	probed, _ := Latest[ProbeResult](r.State)
	for _, e := range probed.Endpoints {
		// A relative one is relative to the server's own working directory.
		if e.Target == t.Name && filepath.IsAbs(e.Info.TraceDir) {
			return e.Info.TraceDir
		}
	}
	return ""
}

func (r *Run) launchedServer(t Target) (Launched, bool) {
	result, _ := Latest[LaunchResult](r.State)
	for _, s := range result.Servers {
		if s.Target == t.Name {
			return s, true
		}
	}
	return Launched{}, false
}

// absolute resolves a path of the job file.
func (r *Run) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.JobDir, path)
}

// secret gives the value of a string that may be sensitive.
func (r *Run) secret(s *spec.Secret) (string, error) {
	if s == nil {
		return "", nil
	}
	if s.Ref == "" {
		return s.Value, nil
	}
	v, ok := r.Secrets[s.Ref]
	if !ok {
		return "", fmt.Errorf("the sensitive value %s was not given", s.Ref)
	}
	return v, nil
}

// server is one endpoint of a target, with the client that speaks to it.
type server struct {
	Target   Target
	Endpoint string
	Client   engine.Client

	gate    *gate.Client // nil: the target has no gate
	session string       // of the gate that is armed, or is about to be
}

// servers gives every endpoint of the targets, in the plan's order.
func (r *Run) servers(targets []Target) ([]server, error) {
	var all []server
	for _, t := range targets {
		shown, err := r.access(t)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Name, err)
		}
		for _, e := range r.endpoints(t) {
			c, err := r.client(t, engine.Config{Endpoint: e, Access: shown, Now: r.Clock.Now, Options: t.Options})
			if err != nil {
				return nil, fmt.Errorf("target %s: %w", t.Name, err)
			}
			s := server{Target: t, Endpoint: e, Client: c}
			if t.Gate != nil {
				if s.gate, err = r.gateClient(t, e); err != nil {
					return nil, fmt.Errorf("target %s: %w", t.Name, err)
				}
			}
			all = append(all, s)
		}
	}
	return all, nil
}

func (r *Run) client(t Target, cfg engine.Config) (engine.Client, error) {
	if r.newClient != nil {
		return r.newClient(t, cfg)
	}
	return t.kind().New(cfg)
}
