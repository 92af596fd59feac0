// Package runner turns a job into a plan and carries the plan out: in which
// order, how often, what is undone when, and what becomes of the run. What a
// plan step does is the business of package steps.
package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"profjob/internal/archive"
	"profjob/internal/wire"
	"profjob/steps"
)

// PlanVersion is the format_version that this build writes.
const PlanVersion = 1

// Plan is what a run will do: an ordered list of plan steps with their
// parameters, and references where secrets go. The same inputs give the same
// bytes.
type Plan struct {
	FormatVersion int       `json:"format_version"`
	Job           string    `json:"job"`
	Rounds        int       `json:"rounds"`
	Attempts      int       `json:"attempts"` // tries of a round whose window was missed
	Retry         Retry     `json:"retry"`
	Steps         []Planned `json:"steps"`
	// Digest is over everything above: "sha256:" and hex.
	Digest string `json:"digest"`
}

// Retry is how a plan step is tried again after a transient error.
type Retry struct {
	Attempts   int           `json:"attempts"` // tries in all
	Initial    wire.Duration `json:"initial"`
	Max        wire.Duration `json:"max"`
	Multiplier float64       `json:"multiplier"`
}

// Planned is one plan step with its place.
type Planned struct {
	Round int // 0 outside the rounds
	Step  steps.Step
}

type plannedJSON struct {
	ID     string          `json:"id"`
	Kind   string          `json:"kind"`
	Round  int             `json:"round,omitempty"`
	Params json.RawMessage `json:"params"`
}

// MarshalJSON writes id, kind, round and params.
func (p Planned) MarshalJSON() ([]byte, error) {
	params, err := json.Marshal(p.Step)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plannedJSON{p.Step.ID(), p.Step.Kind(), p.Round, params})
}

// UnmarshalJSON reads the plan step back by its kind.
func (p *Planned) UnmarshalJSON(data []byte) error {
	var raw plannedJSON
	if err := steps.Strict(data, &raw); err != nil {
		return err
	}
	step, err := steps.Decode(raw.Kind, raw.ID, raw.Round, raw.Params)
	if err != nil {
		return err
	}
	p.Round, p.Step = raw.Round, step
	return nil
}

// Encode writes the plan as it stands in plan.json.
func (p *Plan) Encode() ([]byte, error) {
	out, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode plan of %s: %w", p.Job, err)
	}
	return append(out, '\n'), nil
}

// maxPlan bounds the size of a plan that is read, in bytes.
const maxPlan = 64 << 20

// maxRounds bounds its rounds: a job file has at most a thousand.
const maxRounds = 1000

// DecodePlan reads a plan back and checks its digest. What this build does not
// know is refused: a plan that is followed in part is another plan.
func DecodePlan(data []byte) (*Plan, error) {
	if len(data) > maxPlan {
		return nil, fmt.Errorf("decode plan: %d bytes are more than the limit of %d", len(data), maxPlan)
	}
	var p Plan
	if err := steps.Strict(data, &p); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	if p.FormatVersion != PlanVersion {
		return nil, fmt.Errorf("decode plan: format_version %d, this profjob reads %d", p.FormatVersion, PlanVersion)
	}
	if p.Rounds < 0 || p.Rounds > maxRounds {
		return nil, fmt.Errorf("decode plan: %d rounds, the limit is %d", p.Rounds, maxRounds)
	}
	digest, err := p.digest()
	if err != nil {
		return nil, err
	}
	if digest != p.Digest {
		return nil, fmt.Errorf("decode plan: its digest is %s, it says %s", digest, p.Digest)
	}
	return &p, nil
}

// share lets those see the run, once it is sealed, whom the job file lets.
func (p *Plan) share(dir *archive.Dir) error {
	for _, planned := range p.Steps {
		if seal, ok := planned.Step.(*steps.Seal); ok {
			mode, err := seal.FileMode()
			if err != nil {
				return err
			}
			return dir.Share(mode)
		}
	}
	return nil
}

// NeedsSecrets tells whether the plan refers to sensitive values, whose values a
// run has to be given.
func (p *Plan) NeedsSecrets() bool {
	probe := p.Probe()
	return probe != nil && slices.ContainsFunc(probe.Targets, steps.Target.RefersToSecrets)
}

// Probe is the plan step that asks the servers what they are.
func (p *Plan) Probe() *steps.Probe {
	for _, s := range p.Steps {
		if probe, ok := s.Step.(*steps.Probe); ok {
			return probe
		}
	}
	return nil
}

func (p *Plan) digest() (string, error) {
	bare := *p
	bare.Digest = ""
	data, err := json.Marshal(bare)
	if err != nil {
		return "", fmt.Errorf("digest of the plan of %s: %w", p.Job, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return "", fmt.Errorf("digest of the plan of %s: %w", p.Job, err)
	}
	sum := sha256.Sum256(compact.Bytes())
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
