package view

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"profjob/runner"
	"profjob/steps"
)

func plans() []*runner.Plan {
	step := func(round int, s steps.Step) runner.Planned { return runner.Planned{Round: round, Step: s} }
	window := func(id string, round int) *steps.Window {
		return &steps.Window{Header: steps.Header{Name: id, Round: round}, Form: "steps", Count: 5}
	}
	return []*runner.Plan{
		{FormatVersion: 1, Job: `decode["b64"]`, Rounds: 2, Attempts: 3, Retry: runner.Retry{Attempts: 4}, Digest: "sha256:0f", Steps: []runner.Planned{
			step(1, window("round-01/window", 1)), step(2, window("round-02/window", 2)), step(0, &steps.Shutdown{Header: steps.Header{Name: "shutdown"}})}},
		{FormatVersion: 1, Job: "once", Rounds: 1, Attempts: 1, Retry: runner.Retry{Attempts: 1}, Digest: "sha256:f0", Steps: []runner.Planned{step(1, window("round-01/window", 1))}},
	}
}

func choices() []Choice {
	job := plans()[0].Job
	return []Choice{
		{Job: job, Target: "server", Endpoint: "http://10.0.0.7:8000", Engine: "vllm", Version: "0.11.0", Strategy: "observed", Evidence: "annotation", Why: "the server counts no engine steps"},
		{Job: job, Target: "server", Endpoint: "http://10.0.0.8:8000", Error: "connection refused"},
		{Job: job, Target: "own", Why: "the run starts it"},
	}
}

func estimates() []Estimate {
	return []Estimate{
		{Job: plans()[0].Job, Estimate: &steps.Estimate{RunID: "20261124T031500Z-1f3c9a", Unit: "engine steps", Archive: 120 << 20,
			Targets: []steps.TargetEstimate{{Target: "server", Ranks: 8, Had: 4, Before: 20 << 20, Recorded: 12.5, Expected: 25, Window: 80 << 20}}},
			Warnings: []string{"there is no room"}},
		{Job: "once", Error: "the archive cannot be read"},
		{Job: "none"},
	}
}

func TestPlans(t *testing.T) {
	golden(t, "plans.txt", written(t, func(b *strings.Builder) error { return Plans(b, plans(), choices(), estimates()) }))
	offline := written(t, func(b *strings.Builder) error { return Plans(b, plans(), nil, nil) })
	if strings.Contains(offline, "as the servers are now") {
		t.Errorf("it tells of servers that nobody has asked:\n%s", offline)
	}
}

func TestPlansJSON(t *testing.T) {
	var got struct {
		FormatVersion int               `json:"format_version"`
		Plans         []json.RawMessage `json:"plans"`
		Probe         []Choice          `json:"probe"`
		Estimates     []json.RawMessage `json:"estimates"`
	}
	text := written(t, func(b *strings.Builder) error { return PlansJSON(b, plans(), choices(), estimates()) })
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.FormatVersion != 1 || len(got.Plans) != 2 || len(got.Probe) != 3 || len(got.Estimates) != 3 {
		t.Errorf("format_version %d, %d plans, %d choices", got.FormatVersion, len(got.Plans), len(got.Probe))
	}
	// Whether a server was asked makes no difference to a plan.
	offline := written(t, func(b *strings.Builder) error { return PlansJSON(b, plans(), nil, nil) })
	before, _, found := strings.Cut(text, `"probe": [`)
	if !found || !strings.HasPrefix(offline, before) || !strings.Contains(offline, `"probe": []`) {
		t.Errorf("offline:\n%s", offline)
	}
	if none := written(t, func(b *strings.Builder) error { return PlansJSON(b, nil, nil, nil) }); strings.Contains(none, "null") {
		t.Errorf("a null stands for an array:\n%s", none)
	}
}

func TestTextsTellThatTheyCannotBeWritten(t *testing.T) {
	for name, err := range map[string]error{
		"plans":      Plans(&brokenWriter{}, plans(), nil, nil),
		"plans json": PlansJSON(&brokenWriter{}, plans(), nil, nil),
		"runs":       Runs(&brokenWriter{}, entries()),
		"runs json":  RunsJSON(&brokenWriter{}, entries()),
		"runs jsonl": RunsJSONLines(&brokenWriter{}, entries()),
		"run":        Run(&brokenWriter{}, "", manifest()),
		"ended":      Ended(&brokenWriter{}, "ok", "", nil, 0),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
