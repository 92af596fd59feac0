//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"profjob/internal/gate"
	"profjob/internal/gate/gatetest"
)

const gateSecret = "e2e-secret"

// gateServer is a server with the gate and without any profiler of its own.
func gateServer(t *testing.T, version string, env []string, args ...string) (server, *gate.Client) {
	t.Helper()
	venv(t, version)
	dir := t.TempDir()
	if err := gate.Install(dir); err != nil {
		t.Fatal(err)
	}
	installBreaker(t, dir)
	set, err := gate.Env(dir, gateSecret, filepath.Join(t.TempDir(), "root"), nil)
	if err != nil {
		t.Fatal(err)
	}
	env = append(env, "NO_PROFILER=1")
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	s := startServer(t, version, env, args...)
	c, err := gate.New(s.endpoint, gateSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// breaker is a second plugin, which makes the gate of the core 1 fail to start
// its profiler as long as the file E2E_BREAK is there.
const breaker = `
import os
import profjob_gate as gate


def register():
    start = gate.Session.start

    def broken(self):
        if self.who["core"] == 1 and os.path.exists(os.environ.get("E2E_BREAK", "")):
            raise RuntimeError("made to fail")
        start(self)
    gate.Session.start = broken
`

func installBreaker(t *testing.T, dir string) {
	t.Helper()
	info := filepath.Join(dir, "e2e_breaker-1.dist-info")
	if err := os.Mkdir(info, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "e2e_breaker.py"):    breaker,
		filepath.Join(info, "METADATA"):         "Metadata-Version: 2.1\nName: e2e-breaker\nVersion: 1\n",
		filepath.Join(info, "entry_points.txt"): "[vllm.general_plugins]\ne2e_breaker = e2e_breaker:register\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// secondCoreFails checks that a failure in the second engine core, of which
// collective_rpc alone would say nothing, is named and ends the session everywhere.
func secondCoreFails(t *testing.T, s server, c *gate.Client, breaks string) {
	t.Helper()
	if err := os.WriteFile(breaks, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := gate.ArmRequest{Session: "breaks", Window: gate.Window{Steps: 2000}, Limits: gate.Limits{Steps: 2000}}
	if _, err := c.Arm(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	defer load(t, s, r.Window)()
	got := settle(t, c, "breaks", 2*time.Minute)
	for _, w := range got.Workers {
		if want := map[int]string{0: "another worker failed", 1: "error"}[w.Core]; w.EndedBy != want || w.Core == 1 && !strings.Contains(string(w.Error), "made to fail") {
			t.Errorf("core %d: %s, %s: %s", w.Core, w.State, w.EndedBy, w.Error)
		}
	}
	if got.State != gate.Failed {
		t.Errorf("state %s", got.State)
	}
}

// TestGate asks the gates of real servers for windows, one after the other in
// one process each, and prints what was got.
func TestGate(t *testing.T) {
	var rows, jobs, kills []string
	defer func() {
		printGate(t, rows)
		printRuns(t, jobs)
		printTable(t, "server\tkill -9 of\tdisarmed after\tstep before\tarmed\tafter", kills)
	}()
	for _, version := range []string{"0.11.0", "0.15.1", "0.32.0"} {
		t.Run(version, func(t *testing.T) {
			s, c := gateServer(t, version, nil)
			hello(t, c, version, 1)
			gatetest.Run(t, gatetest.Server{Endpoint: s.endpoint, Secret: gateSecret, Complete: s.complete, VLLM: version, Hooks: hooks(version), Windows: 5})
			n, more := 10, 5
			if full() {
				n, more = 50, 50
			}
			for i, w := range gatetest.Requests(n) {
				rows = append(rows, oneWindow(t, s, c, fmt.Sprintf("w%d", i), w, 1)...)
			}
			jobs = append(jobs, gateJobs(t, s, gatetest.Requests(more), 1)...)
			gateBadInput(t, s, c)
			if full() || version == "0.32.0" {
				kills = append(kills, gateKilled(t, s, c)...)
			}
			s.healthy(t)
		})
	}
	t.Run("0.32.0 TP 2, two API servers", func(t *testing.T) {
		if !full() {
			t.Skip("in the long part")
		}
		s, c := gateServer(t, "0.32.0", []string{"OMP_NUM_THREADS=1"}, "--tensor-parallel-size", "2", "--api-server-count", "2",
			"--max-num-batched-tokens", "2048") // on CPU it takes that for each rank otherwise
		hello(t, c, "0.32.0", 2)
		for i, w := range gatetest.Requests(4) {
			rows = append(rows, oneWindow(t, s, c, fmt.Sprintf("w%d", i), w, 2)...)
		}
		jobs = append(jobs, gateJobs(t, s, gatetest.Requests(3), 2)...)
	})
	t.Run("0.32.0 DP 2", func(t *testing.T) {
		if !full() {
			t.Skip("in the long part")
		}
		breaks := filepath.Join(t.TempDir(), "break")
		s, c := gateServer(t, "0.32.0", []string{"OMP_NUM_THREADS=1", "E2E_BREAK=" + breaks}, "--data-parallel-size", "2")
		hello(t, c, "0.32.0", 2)
		for i, w := range gatetest.Requests(4) {
			rows = append(rows, oneWindow(t, s, c, fmt.Sprintf("w%d", i), w, 2)...)
		}
		jobs = append(jobs, gateJobs(t, s, gatetest.Requests(3), 2)...)
		secondCoreFails(t, s, c, breaks)
		t.Setenv("PROFJOB_VAR_secret", gateSecret)
		r := run(t, "jobs/gate.hcl", "--var", "endpoint="+s.endpoint)
		if r.exit != 4 {
			t.Errorf("a worker of the second core fails: exit %d", r.exit)
		}
		contains(t, r.stderr, "core 1 rank 0")
		contains(t, r.stderr, "made to fail")
	})
}

func printGate(t *testing.T, rows []string) {
	t.Helper()
	printTable(t, "server\tasked\trecord\tcore\trank\tsteps\tfirst\twaited\tstop ms\twrite ms\tbytes\texact", rows)
}

func printTable(t *testing.T, head string, rows []string) {
	t.Helper()
	if len(rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n"+head)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
}

func hello(t *testing.T, c *gate.Client, version string, workers int) {
	t.Helper()
	h, err := c.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(h.VLLM, version) || h.Gate != gate.Version || len(h.Workers) != workers {
		t.Errorf("hello: %+v", h)
	}
	for _, w := range h.Workers {
		if !slices.Equal(w.Hooks, hooks(version)) || w.MaxNumBatchedTokens != 2048 || w.Error != "" {
			t.Errorf("worker: %+v", w)
		}
	}
}

// hooks are the methods of a version's worker that the gate wraps.
func hooks(version string) []string {
	if version == "0.11.0" {
		return []string{"execute_model"} // it samples there
	}
	return []string{"execute_model", "sample_tokens"}
}

// oneWindow gets one window under load and checks every worker's file.
func oneWindow(t *testing.T, s server, c *gate.Client, session string, r gate.ArmRequest, workers int) []string {
	t.Helper()
	stop := load(t, s, r.Window)
	defer stop()
	r.Session, r.Lease = session, time.Minute
	if _, err := c.Arm(t.Context(), r); err != nil {
		t.Errorf("%s: %v", session, err)
		return nil
	}
	began := time.Now()
	status := settle(t, c, session, 3*time.Minute)
	waited := time.Since(began)
	if status.State != gate.Done || len(status.Workers) != workers {
		t.Errorf("%s: %s, %d workers: %+v", session, status.State, len(status.Workers), status.Workers)
	}
	var rows []string
	for _, w := range status.Workers {
		why := gatetest.Wrong(t, c, session, r, w)
		if why != "" {
			t.Errorf("%s core %d rank %d: %s", session, w.Core, w.Rank, why)
		}
		rows = append(rows, gateRow(s, r, w, waited, why))
	}
	gatetest.SameSteps(t, status.Workers)
	return rows
}

func gateRow(s server, r gate.ArmRequest, w gate.Worker, waited time.Duration, why string) string {
	asked := fmt.Sprintf("%d steps, %s of %d", r.Window.Steps, r.Window.Phase, r.Window.Threshold)
	first, size := "", int64(0)
	if len(w.Steps) > 0 {
		first = fmt.Sprintf("%s of %d", w.Steps[0].Class, w.Steps[0].Tokens)
	}
	for _, f := range w.Files {
		size += f.Size
	}
	exact := "yes"
	if why != "" {
		exact = why
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%.1f s\t%.0f\t%.0f\t%d\t%s", s.version, asked, options(r.Record), w.Core, w.Rank,
		len(w.Steps), first, waited.Seconds(), 1000*w.Cost.Stop, 1000*w.Cost.Write, size, exact)
}

func options(r gate.Record) string {
	var on []string
	for name, set := range map[string]bool{"shapes": r.Shapes, "memory": r.Memory, "stack": r.Stack, "flops": r.FLOPs} {
		if set {
			on = append(on, name)
		}
	}
	slices.Sort(on)
	return strings.Join(on, "+")
}

// settle asks until the session has ended.
func settle(t *testing.T, c *gate.Client, session string, within time.Duration) *gate.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		s, err := c.Status(ctx, session)
		if err != nil {
			t.Fatalf("%s: %v", session, err)
		}
		if s.State.Ended() {
			return s
		}
		select {
		case <-ctx.Done():
			s, err := c.Disarm(t.Context(), session)
			if err != nil {
				t.Fatal(err)
			}
			return s
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// load keeps requests going that make steps as the window wants them: lone
// prefills need a server that is idle before them.
func load(t *testing.T, s server, w gate.Window) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	clients := 4
	if w.Phase == gate.Prefill {
		clients = 1
	}
	for i := range clients {
		running.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			for ctx.Err() == nil {
				complete(ctx, t, s, 3+r.IntN(80), 4+r.IntN(30))
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// complete asks for one completion.
func complete(ctx context.Context, t *testing.T, s server, prompt, tokens int) {
	if err := s.complete(ctx, prompt, tokens); err != nil && ctx.Err() == nil {
		t.Errorf("%v\n%s", err, tail(s.log))
	}
}

// complete asks for one completion, with a prompt unlike any before: servers keep
// what they have read.
func (s server) complete(ctx context.Context, prompt, tokens int) error {
	ids := make([]int, prompt)
	for i := range ids {
		ids[i] = 5 + rand.IntN(200)
	}
	body, err := json.Marshal(map[string]any{"model": "tiny", "prompt": ids, "max_tokens": tokens, "ignore_eos": true, "temperature": 0})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint+"/v1/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("completion answered %d", resp.StatusCode)
	}
	return nil
}
