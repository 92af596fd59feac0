package steps

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"profjob/internal/access"
	"profjob/internal/load"
	"profjob/spec"
)

// TrafficParams is the load of a job as the plan has it.
type TrafficParams struct {
	Name         string          `json:"name"`
	Concurrency  int             `json:"concurrency,omitempty"`
	Rate         float64         `json:"rate,omitempty"`
	Burstiness   float64         `json:"burstiness,omitempty"`
	InputTokens  spec.TokenRange `json:"input_tokens"`
	OutputTokens spec.TokenRange `json:"output_tokens"`
	Dataset      string          `json:"dataset,omitempty"` // relative to the job file, or absolute
	Endpoint     string          `json:"endpoint,omitempty"`
	Model        string          `json:"model,omitempty"`
	API          string          `json:"api"`
	Seed         uint64          `json:"seed"`
}

// traffic is a load that runs, and the file that gets its records.
type traffic struct {
	run *load.Run
	dir string // of the attempt

	mu      sync.Mutex
	file    *os.File
	out     *bufio.Writer
	summary load.Accumulator
	err     error // the first error of writing
}

// startTraffic begins the load; it runs until stopTraffic.
func (r *Run) startTraffic(p TrafficParams, targets []Target) error {
	cfg, err := r.loadConfig(p, targets)
	if err != nil {
		return err
	}
	dir, err := r.Dir.MkdirAll(r.attemptDir())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "load.jsonl"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("load records: %w", err)
	}
	t := &traffic{dir: r.attemptDir(), file: f, out: bufio.NewWriter(f)}
	// The load outlives the plan step that starts it: its end is stopTraffic.
	t.run, err = load.Start(r.background(), cfg, t.record)
	if err != nil {
		return errors.Join(fmt.Errorf("load %s: %w", p.Name, err), f.Close(), os.Remove(f.Name()))
	}
	r.traffic = t
	return nil
}

func (r *Run) loadConfig(p TrafficParams, targets []Target) (load.Config, error) {
	cfg := load.Config{Model: p.Model, API: load.API(p.API), Concurrency: p.Concurrency, Rate: p.Rate, Burstiness: p.Burstiness,
		Input: load.TokenRange(p.InputTokens), Output: load.TokenRange(p.OutputTokens), Seed: p.Seed}
	if p.Dataset != "" {
		cfg.Dataset = r.absolute(p.Dataset)
	}
	asked := targets
	if p.Endpoint != "" {
		cfg.Endpoints = []string{p.Endpoint}
		asked = r.at(p.Endpoint, targets)
	} else {
		for _, t := range targets {
			cfg.Endpoints = append(cfg.Endpoints, r.endpoints(t)...)
		}
	}
	var err error
	if cfg.Access, err = r.loadAccess(asked); err != nil {
		return cfg, err
	}
	if cfg.Model == "" {
		cfg.Model = r.firstModel()
	}
	return cfg, nil
}

// at gives the targets that have an endpoint of the same scheme and host as the
// one of a load: what a target is shown is for its own endpoints, and not for whoever
// stands elsewhere.
func (r *Run) at(endpoint string, targets []Target) []Target {
	var all []Target
	for _, t := range targets {
		if slices.ContainsFunc(r.endpoints(t), func(e string) bool { return sameOrigin(e, endpoint) }) {
			all = append(all, t)
		}
	}
	return all
}

func sameOrigin(a, b string) bool {
	first, errA := url.Parse(a)
	second, errB := url.Parse(b)
	return errA == nil && errB == nil && first.Scheme == second.Scheme &&
		strings.EqualFold(first.Hostname(), second.Hostname()) && port(first) == port(second)
}

// port is a URL's port, also where it does not say it.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// loadAccess gives what the targets want to be shown. A load shows one thing to all.
func (r *Run) loadAccess(targets []Target) (access.Access, error) {
	var first access.Access
	for i, t := range targets {
		a, err := r.access(t)
		if err != nil {
			return access.Access{}, fmt.Errorf("target %s: %w", t.Name, err)
		}
		if i == 0 {
			first = a
			continue
		}
		if !a.Same(first) {
			return access.Access{}, fmt.Errorf("targets %s and %s have different %s, and a load has one for all: give them the same, or profile them in jobs of their own",
				targets[0].Name, t.Name, differing(first, a))
		}
	}
	return first, nil
}

// differing names what differs between two targets.
func differing(a, b access.Access) string {
	switch {
	case a.Bearer != b.Bearer:
		return "bearer tokens"
	case a.TLS != b.TLS:
		return "tls blocks"
	}
	return "API keys"
}

func (r *Run) firstModel() string {
	probed, _ := Latest[ProbeResult](r.State)
	for _, e := range probed.Endpoints {
		if len(e.Info.Models) > 0 {
			return e.Info.Models[0]
		}
	}
	return ""
}

// record takes one finished request; load calls it from one goroutine at a time.
func (t *traffic) record(rec load.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.Add(rec)
	line, err := json.Marshal(rec)
	if err == nil {
		_, err = t.out.Write(append(line, '\n'))
	}
	if t.err == nil {
		t.err = err
	}
}

// stopTraffic ends the load and writes its summary. It is idempotent.
func (r *Run) stopTraffic() error {
	t := r.traffic
	if t == nil {
		return nil
	}
	r.traffic = nil
	t.run.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.summary.Summary()
	sum.NotSent = t.run.Stats().NotSent
	summary, err := json.MarshalIndent(sum, "", "  ")
	if err == nil {
		err = r.Dir.WriteFile(t.dir+"/load.json", append(summary, '\n'))
	}
	if err := errors.Join(t.err, err, t.out.Flush(), t.file.Sync(), t.file.Close()); err != nil {
		return incomplete("load records: %w", err)
	}
	return nil
}
