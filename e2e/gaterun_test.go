//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/gate"
)

// gateJobs has profjob record windows of every kind through a server's gate, one
// job after the other on one server that nobody starts again, and reads each trace
// with nothing of profjob's own.
func gateJobs(t *testing.T, s server, asked []gate.ArmRequest, ranks int, args ...string) (rows []string) {
	t.Helper()
	var list strings.Builder
	for i, q := range asked {
		fmt.Fprintf(&list, "  w%02d = { threshold = %d, steps = %d, phase = %q, record = %s }\n", i, q.Window.Threshold, q.Window.Steps, q.Window.Phase,
			hclStrings(strings.FieldsFunc(options(q.Record), func(r rune) bool { return r == '+' })))
	}
	list.WriteString("  x0 = { kind = \"steps\", steps = 4, delay = 5 }\n  x1 = { kind = \"manual\" }\n")
	file := filepath.Join(t.TempDir(), "windows.hcl")
	if err := os.WriteFile(file, []byte("windows = {\n"+list.String()+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PROFJOB_VAR_secret", gateSecret)
	r := run(t, "jobs/gate.hcl", append([]string{"--var", "endpoint=" + s.endpoint, "--var-file", file, "--var", fmt.Sprintf("ranks=%d", ranks)}, args...)...)
	if r.exit != 0 || len(r.manifests) != len(asked)+2 {
		t.Errorf("exit %d, %d of %d jobs\n%s", r.exit, len(r.manifests), len(asked)+2, r.stderr)
	}
	for _, m := range r.manifests {
		rows = append(rows, checkGateJob(t, s, m, asked, ranks)...)
	}
	return rows
}

func checkGateJob(t *testing.T, s server, m archive.Manifest, asked []gate.ArmRequest, ranks int) (rows []string) {
	t.Helper()
	var q *gate.ArmRequest
	if i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(m.Job, `tokens["w`), `"]`)); err == nil && i < len(asked) {
		q = &asked[i]
	}
	all := windows(m)
	if len(all) != ranks {
		t.Errorf("%s: %d windows, %d ranks: %v", m.Job, len(all), ranks, m.Errors)
	}
	for _, w := range all {
		why := w.Reason
		if q != nil && why == "" {
			why = notAsAsked(filepath.Join(m.Dir, filepath.FromSlash(w.File)), *q)
		}
		if why != "" || !w.Exact || w.Strategy != "gate" || w.Evidence != "annotation" {
			t.Errorf("%s: exact %t, %s by %s, %s", m.Job, w.Exact, w.Strategy, w.Evidence, why)
		}
		record := "-"
		if q != nil {
			record = options(q.Record)
		}
		first := ""
		if len(w.Got.EngineSteps) > 0 {
			first = w.Got.EngineSteps[0].Name
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d %s\t%s\t%d\t%d\t%d\t%s\t%t", s.version, m.Job, w.Asked.Kind, w.Asked.Threshold, w.Asked.Phase,
			record, deref(w.Core), deref(w.Rank), w.Got.Steps, first, w.Exact))
	}
	return rows
}

func deref(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

// notAsAsked reads a trace without anything of profjob's and says in what it is not
// the window asked for; "" if it is.
func notAsAsked(path string, q gate.ArmRequest) string {
	tr, err := readPlain(path)
	if err != nil {
		return err.Error()
	}
	if got := (gate.Record{Shapes: tr.Shapes == 1, Memory: tr.Memory == 1, Stack: tr.Stack == 1, FLOPs: tr.FLOPs == 1}); got != q.Record {
		return fmt.Sprintf("the trace has the options %+v", got)
	}
	steps, err := tr.steps()
	if err != nil {
		return err.Error()
	}
	if len(steps) != q.Window.Steps {
		return fmt.Sprintf("encoding/json finds %d engine steps of %d", len(steps), q.Window.Steps)
	}
	if i := slices.IndexFunc(steps, func(s plainStep) bool { return s.name == "" }); i >= 0 {
		return fmt.Sprintf("step %d has no annotation", i)
	}
	first := steps[0]
	if first.tokens < q.Window.Threshold || q.Window.Phase != gate.Any && first.class() != string(q.Window.Phase) {
		return fmt.Sprintf("the first step is %s of %d tokens", first.class(), first.tokens)
	}
	return ""
}

// printRuns prints what profjob recorded through the gates.
func printRuns(t *testing.T, rows []string) {
	t.Helper()
	printTable(t, "server\tjob\twindow\tof\trecord\tcore\trank\tsteps\tfirst\texact", rows)
}

// gateKilled kills profjob while a gate is armed for a window that never opens, alone
// and together with its guard, and measures until when the gate is armed, and what a
// decode step takes before, meanwhile and after.
func gateKilled(t *testing.T, s server, c *gate.Client) (rows []string) {
	t.Helper()
	t.Setenv("PROFJOB_VAR_secret", gateSecret)
	before := stepTime(t, s)
	dir := t.TempDir()
	killed := armAndKill(t, s, c, dir, false)
	waitBusy(t, c, false, 5*time.Second)
	rows = append(rows, fmt.Sprintf("%s\tprofjob\t%.1f s\t%s\t\t%s", s.version, time.Since(killed).Seconds(), before, stepTime(t, s)))

	killed = armAndKill(t, s, c, dir, true)
	armed := stepTime(t, s)
	waitBusy(t, c, false, time.Minute)
	off := time.Since(killed)
	if off < 20*time.Second {
		t.Errorf("disarmed after %s: not by its lease", off)
	}
	after := stepTime(t, s)
	for began := time.Now(); after > before*3/2 && time.Since(began) < time.Minute; { // whatever else the machine does
		after = min(after, stepTime(t, s))
	}
	if after > before*3/2 {
		t.Errorf("a step took %s before and takes %s after", before, after)
	}
	return append(rows, fmt.Sprintf("%s\tprofjob and its guard\t%.1f s\t%s\t%s\t%s", s.version, off.Seconds(), before, armed, after))
}

// armAndKill has a run arm the gate, and kills it, and its guard before it if asked to.
func armAndKill(t *testing.T, s server, c *gate.Client, dir string, guardToo bool) (killed time.Time) {
	t.Helper()
	job, err := filepath.Abs("jobs/gate.hcl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(profjob(t), "run", job, "--var", "endpoint="+s.endpoint, "--var", `windows={never={threshold=2000}}`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PROFJOB_STATE_DIR="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitBusy(t, c, true, time.Minute)
	if guardToo {
		if err := syscall.Kill(guardOf(t, dir, cmd.Process.Pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	return time.Now()
}

// guardOf reads the number of a run's guard from its log.
func guardOf(t *testing.T, dir string, run int) int {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "runs/*/*.partial/guard.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(data), fmt.Sprintf("guard of process %d, itself ", run))
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			pid, err := strconv.Atoi(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no guard of %d in %v", run, logs)
	return 0
}

func waitBusy(t *testing.T, c *gate.Client, busy bool, within time.Duration) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		h, err := c.Hello(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (h.Workers[0].Busy != "") == busy {
			return
		}
		if time.Since(began) > within {
			t.Fatalf("busy is %q after %s", h.Workers[0].Busy, within)
		}
	}
}

// stepTime is the time of a decode step of one request: the difference of the best of
// several completions with and without 200 steps more. What else the machine does makes
// either longer, never shorter.
func stepTime(t *testing.T, s server) time.Duration {
	t.Helper()
	const steps = 200
	took := func(tokens int) time.Duration {
		began := time.Now()
		complete(t.Context(), t, s, 8, tokens)
		return time.Since(began)
	}
	without, with := took(1), took(1+steps)
	for range 4 {
		without, with = min(without, took(1)), min(with, took(1+steps))
	}
	return ((with - without) / steps).Round(time.Microsecond)
}

// gateBadInput asks for what the gate cannot give: each is refused with a clear
// text, and nothing is left armed.
func gateBadInput(t *testing.T, s server, c *gate.Client) {
	t.Helper()
	ask := func(secret, window string, exit int, want string) {
		t.Helper()
		t.Setenv("PROFJOB_VAR_secret", secret)
		r := run(t, "jobs/gate.hcl", "--var", "endpoint="+s.endpoint, "--var", "windows={bad={"+window+"}}")
		if r.exit != exit {
			t.Errorf("%s: exit %d, want %d", window, r.exit, exit)
		}
		contains(t, r.stderr, want)
		h, err := c.Hello(t.Context())
		if err != nil || h.Workers[0].Busy != "" {
			t.Errorf("%s: still armed: %+v, %v", window, h, err)
		}
	}
	ask(gateSecret, "threshold=0", 2, "threshold must be")
	ask(gateSecret, "threshold=-3", 2, "threshold must be")
	ask(gateSecret, "threshold=2049", 4, "schedules at most 2048 in one")
	ask(gateSecret, "steps=10001", 4, "at most 10000 engine steps")
	ask("another-secret", "steps=2", 4, "gate.secret must be what the server's environment has")
	if _, err := c.Arm(t.Context(), gate.ArmRequest{Session: "other", Window: gate.Window{Steps: 1, Threshold: 2000}}); err != nil {
		t.Fatal(err)
	}
	r := run(t, "jobs/gate.hcl", "--var", "endpoint="+s.endpoint)
	if r.exit != 4 {
		t.Errorf("two sessions: exit %d", r.exit)
	}
	if _, err := c.Disarm(t.Context(), "other"); err != nil {
		t.Error(err)
	}
}

// TestGateLaunched has profjob launch a server for windows by tokens: it gets the
// gate by itself.
func TestGateLaunched(t *testing.T) {
	var rows []string
	defer func() { printRuns(t, rows) }()
	for _, version := range []string{"0.15.1", "0.11.0", "0.32.0"} {
		if version != "0.15.1" && !full() {
			continue
		}
		port := freePort(t)
		command, env := serveCommand(t, version, port)
		r := run(t, "jobs/launch-gate.hcl", "--var", "endpoint=http://127.0.0.1:"+port, "--var", "command="+hclStrings(command), "--var", "env="+hclMap(env))
		m := r.one(t, 0)
		if len(windows(m)) != 2 {
			t.Errorf("%d windows: %v", len(windows(m)), m.Errors)
		}
		for _, w := range windows(m) {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d %s\tshapes\t%d\t%d\t%d\t%s\t%t", version, m.Job, w.Asked.Kind, w.Asked.Threshold, w.Asked.Phase,
				deref(w.Core), deref(w.Rank), w.Got.Steps, w.Got.EngineSteps[0].Name, w.Exact))
			if why := notAsAsked(filepath.Join(m.Dir, filepath.FromSlash(w.File)), gate.ArmRequest{
				Window: gate.Window{Steps: 4, Threshold: 3, Phase: gate.Decode}, Record: gate.Record{Shapes: true}}); why != "" || w.Strategy != "gate" {
				t.Errorf("%s: %s by %s", version, why, w.Strategy)
			}
		}
		if listens("127.0.0.1:" + port) {
			t.Errorf("%s: the server still listens", version)
		}
	}
}

// healthy tells whether a server still serves.
func (s server) healthy(t *testing.T) {
	t.Helper()
	resp, err := http.Get(s.endpoint + "/health")
	if err != nil {
		t.Errorf("%v\n%s", err, tail(s.log))
		return
	}
	_ = resp.Body.Close() // only the status counts
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/health answers %d", resp.StatusCode)
	}
}
