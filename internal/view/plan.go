package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"profjob/internal/wire"
	"profjob/runner"
	"profjob/steps"
)

// Choice is what a probe of one endpoint would choose, beside the plan.
type Choice struct {
	Job      string `json:"job"`
	Target   string `json:"target"`
	Endpoint string `json:"endpoint,omitempty"`
	Engine   string `json:"engine,omitempty"`
	Version  string `json:"version,omitempty"`
	Strategy string `json:"strategy,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	Why      string `json:"why"`
	Error    string `json:"error,omitempty"`
}

// Estimate is about how much a job's run will write, beside the plan.
type Estimate struct {
	Job      string             `json:"job"`
	Estimate *steps.Estimate    `json:"estimate"` // null where no earlier run tells
	Warnings wire.Array[string] `json:"warnings"` // what would go past the limits of the job file
	Error    string             `json:"error,omitempty"`
}

// PlansJSON writes plans, and beside them what a probe would choose and what the runs
// will write, which no digest covers.
func PlansJSON(w io.Writer, plans []*runner.Plan, choices []Choice, estimates []Estimate) error {
	out, err := json.MarshalIndent(struct {
		FormatVersion int                      `json:"format_version"`
		Plans         wire.Array[*runner.Plan] `json:"plans"`
		Probe         wire.Array[Choice]       `json:"probe"`
		Estimates     wire.Array[Estimate]     `json:"estimates"`
	}{1, plans, choices, estimates}, "", "  ")
	if err != nil {
		return fmt.Errorf("show plans: %w", err)
	}
	_, err = fmt.Fprintln(w, string(out))
	return err
}

// Plans shows plans to people.
func Plans(w io.Writer, plans []*runner.Plan, choices []Choice, estimates []Estimate) error {
	var b strings.Builder
	for i, p := range plans {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "job %s\n  digest %s\n\n", p.Job, p.Digest)
		writeSteps(&b, p)
		writeChoices(&b, p.Job, choices)
		writeEstimates(&b, p.Job, estimates)
	}
	_, err := io.WriteString(w, Printable(b.String()))
	return err
}

func writeSteps(b *strings.Builder, p *runner.Plan) {
	shown := 0
	for _, s := range p.Steps {
		if s.Round > 1 {
			continue // each round is like the first
		}
		shown++
		fmt.Fprintf(b, "  %2d  %-20s %s\n", shown, s.Step.ID(), steps.Describe(s.Step))
	}
	if p.Rounds > 1 {
		fmt.Fprintf(b, "      rounds: %d, each with the plan steps of round-01\n", p.Rounds)
	}
	fmt.Fprintf(b, "\n  a plan step is tried %s, a round whose window was missed %s\n", times(p.Retry.Attempts), times(p.Attempts))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("up to %d times", n)
}

func writeChoices(b *strings.Builder, job string, choices []Choice) {
	first := true
	for _, c := range choices {
		if c.Job != job {
			continue
		}
		if first {
			b.WriteString("\n  as the servers are now:\n")
			first = false
		}
		fmt.Fprintf(b, "    %s\n", choiceLine(c))
	}
}

func writeEstimates(b *strings.Builder, job string, estimates []Estimate) {
	for _, e := range estimates {
		if e.Job != job || e.Estimate == nil && e.Error == "" {
			continue
		}
		b.WriteString("\n  by the last run of the job:\n")
		if e.Estimate != nil {
			fmt.Fprintf(b, "    %s\n", e.Estimate)
		}
		for _, text := range e.Warnings {
			fmt.Fprintf(b, "    warning: %s\n", text)
		}
		if e.Error != "" {
			fmt.Fprintf(b, "    %s\n", e.Error)
		}
	}
}

func choiceLine(c Choice) string {
	at := c.Target
	if c.Endpoint != "" {
		at += " at " + c.Endpoint
	}
	switch {
	case c.Error != "":
		return at + ": " + c.Error
	case c.Strategy == "":
		return at + ": " + c.Why
	}
	return fmt.Sprintf("%s: %s %s, strategy %s, evidence %s: %s", at, c.Engine, c.Version, c.Strategy, c.Evidence, c.Why)
}
