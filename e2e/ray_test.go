//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"profjob/internal/gate"
	"profjob/internal/gate/gatetest"
)

// rayServer is a vLLM whose two tensor parallel ranks run on two nodes of a real
// Ray cluster, each with a disk of its own: the folders head and other of lab.
type rayServer struct {
	server
	lab string
	// passThread: passes run in another thread than calls (the older executor),
	// so that only a pass can end a recording.
	passThread bool
}

// TestRay asks the gates of a server on a real two-node Ray cluster for windows.
// It talks to the API server on the head only: the nodes' disks are looked at
// to see that files are where they should be, never to get them.
func TestRay(t *testing.T) {
	if !full() {
		t.Skip("in the long part: set PROFJOB_E2E_FULL=1")
	}
	if os.Geteuid() != 0 {
		t.Skip("nodes need root")
	}
	for _, tool := range []string{"ip", "nsenter", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("nodes need iproute2 and util-linux: %v", err)
		}
	}
	var rows, jobs []string
	defer func() {
		printGate(t, rows)
		printRuns(t, jobs)
	}()
	for _, x := range []struct {
		name, version, backend string
		passThread             bool
		windows                int
	}{
		{"v2", "0.32.0", "1", false, 10},
		{"v1", "0.32.0", "0", true, 10},
		{"0.11.0", "0.11.0", "1", true, 5},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, c := startRay(t, x.version, "VLLM_USE_RAY_V2_EXECUTOR_BACKEND="+x.backend)
			s.passThread = x.passThread
			hello(t, c, x.version, 2)
			s.version += " Ray " + x.name
			s.firstPass(t)
			for i, w := range gatetest.Requests(x.windows) {
				rows = append(rows, s.window(t, c, fmt.Sprintf("w%d", i), w)...)
			}
			if x.version == "0.32.0" {
				jobs = append(jobs, gateJobs(t, s.server, gatetest.Requests(3), 2)...)
			}
			rows = append(rows, s.bigFiles(t, c)...)
			s.disarmedWhileRecording(t, c)
			s.leaseUnderLoad(t, c)
			s.leaseIdle(t, c)
			s.otherNodeFails(t, c)
			rows = append(rows, s.window(t, c, "after", gate.ArmRequest{Window: gate.Window{Steps: 5, Phase: gate.Any}})...)
			s.otherNodeKilled(t, c)
		})
	}
}

// startRay starts the cluster and the server, with the gate on both nodes, and
// ends both with the test.
func startRay(t *testing.T, version string, env ...string) (rayServer, *gate.Client) {
	t.Helper()
	dir := t.TempDir()
	if err := gate.Install(dir); err != nil {
		t.Fatal(err)
	}
	installOtherBreaker(t, dir)
	set, err := gate.Env(dir, gateSecret, "/mnt/gate", nil) // on each node a disk of its own
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	s := rayServer{server: server{version: version, endpoint: "http://10.77.0.2:8000"}, lab: rayCluster(t, version, env)}
	s.log = filepath.Join(t.TempDir(), "server.log")
	s.await(t, rayServe(t, s, env))
	c, err := gate.New(s.endpoint, gateSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// rayCluster starts a cluster and gives its lab folder.
func rayCluster(t *testing.T, version string, env []string) string {
	t.Helper()
	lab := t.TempDir()
	cmd := exec.Command("ray/cluster.sh", lab, version)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	stdin, err := cmd.StdinPipe() // it ends with this process, however that ends, and the cluster with it
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // it may have ended by itself
		_ = cmd.Wait()    // what it left, down.sh says
		if out, err := exec.Command("ray/down.sh", lab).CombinedOutput(); err != nil {
			t.Errorf("the cluster is not gone: %v: %s", err, out)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("no cluster: %q, %v\n%s", line, err, tail(filepath.Join(lab, "cluster.log")))
	}
	t.Logf("Ray cluster ready after %s", time.Since(began).Round(time.Second))
	return lab
}

func rayServe(t *testing.T, s rayServer, env []string) (exited <-chan struct{}) {
	t.Helper()
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ray/serve.sh", s.lab, s.version, "8000", "--max-num-batched-tokens", "2048")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is of no interest: it is ended by a signal
	}()
	t.Cleanup(func() {
		endGroup(cmd.Process.Pid, ended)
		_ = log.Close() // the test is over
	})
	return ended
}

// otherBreaker makes the gate of a node fail to start its profiler as long as
// the file break is on that node's disk.
const otherBreaker = `
import os
import profjob_gate as gate


def register():
    start = gate.Session.start

    def broken(self):
        if os.path.exists("/mnt/break"):
            raise RuntimeError("made to fail")
        start(self)
    gate.Session.start = broken
`

func installOtherBreaker(t *testing.T, dir string) {
	t.Helper()
	info := filepath.Join(dir, "ray_breaker-1.dist-info")
	if err := os.Mkdir(info, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "ray_breaker.py"):    otherBreaker,
		filepath.Join(info, "METADATA"):         "Metadata-Version: 2.1\nName: ray-breaker\nVersion: 1\n",
		filepath.Join(info, "entry_points.txt"): "[vllm.general_plugins]\nray_breaker = ray_breaker:register\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// firstPass makes the server do what it does once, for which the older executor
// needs up to a minute: nothing can be armed meanwhile.
func (s rayServer) firstPass(t *testing.T) {
	t.Helper()
	began := time.Now()
	complete(t.Context(), t, s.server, 5, 5)
	t.Logf("first completion after %s", time.Since(began).Round(time.Millisecond))
}

// window gets one window under load and checks both ranks' files, where they are
// and what is in them, and that the ranks recorded the same.
func (s rayServer) window(t *testing.T, c *gate.Client, session string, r gate.ArmRequest) []string {
	t.Helper()
	defer load(t, s.server, r.Window)()
	r.Session, r.Lease = session, time.Minute
	began := time.Now()
	if _, err := c.Arm(t.Context(), r); err != nil {
		t.Errorf("%s: %v", session, err)
		return nil
	}
	arming := time.Since(began)
	began = time.Now()
	status := settle(t, c, session, 3*time.Minute)
	waited := time.Since(began)
	if status.State != gate.Done || len(status.Workers) != 2 {
		t.Errorf("%s: %s, %d workers: %+v", session, status.State, len(status.Workers), status.Workers)
	}
	t.Logf("%s: armed in %s, over %s later", session, arming.Round(time.Millisecond), waited.Round(time.Millisecond))
	var rows []string
	for _, w := range status.Workers {
		why := s.misplaced(w)
		if why == "" {
			why = gatetest.Wrong(t, c, session, r, w)
		}
		if why != "" {
			t.Errorf("%s rank %d: %s", session, w.Rank, why)
		}
		rows = append(rows, gateRow(s.server, r, w, waited, why))
	}
	gatetest.SameSteps(t, status.Workers)
	sameBatches(t, session, status.Workers)
	return rows
}

// bigFiles gets a window with all that can be recorded, and says how fast each
// rank's file comes: the head's is read there, the other's through its worker.
func (s rayServer) bigFiles(t *testing.T, c *gate.Client) []string {
	t.Helper()
	r := gate.ArmRequest{
		Session: "big", Lease: time.Minute, Window: gate.Window{Steps: 10, Phase: gate.Any},
		Record: gate.Record{Shapes: true, Memory: true, Stack: true, FLOPs: true},
	}
	began := time.Now()
	if _, err := c.Arm(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	complete(t.Context(), t, s.server, 20, 20)
	got := settle(t, c, "big", 2*time.Minute)
	waited := time.Since(began)
	var rows []string
	for _, w := range got.Workers {
		for _, f := range w.Files {
			began := time.Now()
			if err := c.File(t.Context(), "big", f, io.Discard); err != nil {
				t.Errorf("big rank %d: %v", w.Rank, err)
			}
			t.Logf("rank %d: fetched %d bytes in %s", w.Rank, f.Size, time.Since(began).Round(time.Millisecond))
		}
		why := s.misplaced(w)
		if why == "" {
			why = gatetest.Wrong(t, c, "big", r, w)
		}
		if why != "" {
			t.Errorf("big rank %d: %s", w.Rank, why)
		}
		rows = append(rows, gateRow(s.server, r, w, waited, why))
	}
	gatetest.SameSteps(t, got.Workers)
	sameBatches(t, "big", got.Workers)
	return rows
}

// misplaced says what is wrong with where a rank's file is: on its own node's
// disk and nowhere else, with the hash that the rank told.
func (s rayServer) misplaced(w gate.Worker) string {
	nodes := []string{"head", "other"}
	if w.Rank > 1 || w.Host != nodes[w.Rank] {
		return fmt.Sprintf("rank %d is on %s", w.Rank, w.Host)
	}
	for _, f := range w.Files {
		data, err := os.ReadFile(filepath.Join(s.lab, w.Host, "gate", f.Name))
		if err != nil {
			return err.Error()
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(data)) != f.Size {
			return fmt.Sprintf("%s has %d bytes with SHA-256 %x, the rank says %d and %s", f.Name, len(data), sum, f.Size, f.SHA256)
		}
		if _, err := os.Stat(filepath.Join(s.lab, nodes[1-w.Rank], "gate", f.Name)); !os.IsNotExist(err) {
			return fmt.Sprintf("%s is on the disk of %s, too (%v)", f.Name, nodes[1-w.Rank], err)
		}
	}
	return ""
}

// sameBatches checks that the ranks recorded the same work, times aside.
func sameBatches(t *testing.T, session string, workers []gate.Worker) {
	t.Helper()
	var first []gate.Step
	for i, w := range workers {
		var got []gate.Step
		for _, x := range w.Steps {
			x.Start, x.End = 0, 0
			got = append(got, x)
		}
		if i > 0 && fmt.Sprint(first) != fmt.Sprint(got) {
			t.Errorf("%s: rank %d recorded %+v, rank %d %+v", session, workers[0].Rank, first, w.Rank, got)
		}
		first = got
	}
}

// endedEarly checks a session that ended before its window was full: on both
// ranks for that reason, with what was recorded until then in a file of each.
func (s rayServer) endedEarly(t *testing.T, c *gate.Client, session, reason string) []gate.Worker {
	t.Helper()
	got := settle(t, c, session, time.Minute)
	if got.State != gate.Disarmed {
		t.Errorf("%s: %s", session, got.State)
	}
	for _, w := range got.Workers {
		if w.EndedBy != reason || len(w.Steps) == 0 {
			t.Errorf("%s rank %d: %s, ended by %q with %d steps: %s", session, w.Rank, w.State, w.EndedBy, len(w.Steps), w.Error)
			continue
		}
		why := s.misplaced(w)
		if why == "" {
			why = gatetest.Wrong(t, c, session, gate.ArmRequest{Window: gate.Window{Steps: len(w.Steps), Phase: gate.Any}}, w)
		}
		if why != "" {
			t.Errorf("%s rank %d: %s", session, w.Rank, why)
		}
		t.Logf("%s rank %d: ended by %s with %d steps, passes %d to %d", session, w.Rank, w.EndedBy, len(w.Steps), w.Steps[0].Pass, w.Steps[len(w.Steps)-1].Pass)
	}
	gatetest.SameSteps(t, got.Workers)
	sameBatches(t, session, got.Workers)
	return got.Workers
}

func (s rayServer) disarmedWhileRecording(t *testing.T, c *gate.Client) {
	t.Helper()
	w := gate.Window{Steps: 1000}
	defer load(t, s.server, w)()
	if _, err := c.Arm(t.Context(), gate.ArmRequest{Session: "disarm", Window: w}); err != nil {
		t.Fatal(err)
	}
	s.records(t, c, "disarm")
	for range 2 {
		if _, err := c.Disarm(t.Context(), "disarm"); err != nil {
			t.Fatal(err)
		}
	}
	s.endedEarly(t, c, "disarm", "disarm")
}

// records waits until both ranks have recorded something.
func (s rayServer) records(t *testing.T, c *gate.Client, session string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got, err := c.Status(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		recording := 0
		for _, w := range got.Workers {
			if w.State == gate.Recording && w.Recorded >= 3 {
				recording++
			}
		}
		if recording == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not record: %+v", session, got)
		}
	}
}

// leaseUnderLoad lets a lease run out while steps go on.
func (s rayServer) leaseUnderLoad(t *testing.T, c *gate.Client) {
	t.Helper()
	w := gate.Window{Steps: 10000}
	defer load(t, s.server, w)()
	r := gate.ArmRequest{Session: "lease", Window: w, Lease: 3 * time.Second, Limits: gate.Limits{Steps: 10000}}
	if _, err := c.Arm(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	time.Sleep(6 * time.Second) // asking would renew it
	s.free(t, c)
	s.endedEarly(t, c, "lease", "lease")
}

// free checks that the server can be armed for another.
func (s rayServer) free(t *testing.T, c *gate.Client) {
	t.Helper()
	session := "free" + strconv.FormatInt(time.Now().UnixNano(), 10)
	if _, err := c.Arm(t.Context(), gate.ArmRequest{Session: session, Window: gate.Window{Steps: 1, Threshold: 2000}}); err != nil {
		t.Errorf("it is not free: %v", err)
		return
	}
	if _, err := c.Disarm(t.Context(), session); err != nil {
		t.Error(err)
	}
}

// leaseIdle lets a lease run out on a server that runs no passes any more. Until
// then each pass since the arming is recorded, the first as well.
func (s rayServer) leaseIdle(t *testing.T, c *gate.Client) {
	t.Helper()
	const idleSteps = 30
	r := gate.ArmRequest{Session: "idle", Window: gate.Window{Duration: time.Minute}, Lease: 4 * time.Second}
	if _, err := c.Arm(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	complete(t.Context(), t, s.server, 5, idleSteps)
	time.Sleep(6 * time.Second)
	if s.passThread {
		got, err := c.Status(t.Context(), "idle")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range got.Workers {
			if w.State != gate.Recording || w.Stopping != "lease" {
				t.Errorf("idle rank %d: %s, stopping %q", w.Rank, w.State, w.Stopping)
			}
		}
		complete(t.Context(), t, s.server, 5, 2)
	}
	for _, w := range s.endedEarly(t, c, "idle", "lease") {
		if len(w.Steps) != idleSteps || w.Steps[0].Class != "prefill" {
			t.Errorf("idle rank %d: want all %d steps, the prefill first: %+v", w.Rank, idleSteps, w.Steps)
		}
	}
	s.free(t, c)
}

// otherNodeFails checks that a failure of the gate on the other node is named
// and ends the session on the head, too.
func (s rayServer) otherNodeFails(t *testing.T, c *gate.Client) {
	t.Helper()
	breaks := filepath.Join(s.lab, "other", "break")
	if err := os.WriteFile(breaks, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := gate.Window{Steps: 1000}
	defer load(t, s.server, w)()
	if _, err := c.Arm(t.Context(), gate.ArmRequest{Session: "breaks", Window: w}); err != nil {
		t.Fatal(err)
	}
	got := settle(t, c, "breaks", time.Minute)
	for deadline := time.Now().Add(time.Minute); !got.Workers[0].State.Ended() && time.Now().Before(deadline); {
		got = settle(t, c, "breaks", time.Minute) // the head ends its recording at its next pass
	}
	if got.State != gate.Failed {
		t.Errorf("state %s", got.State)
	}
	for _, w := range got.Workers {
		if want := []string{"another worker failed", "error"}[w.Rank]; w.EndedBy != want || w.Rank == 1 && !strings.Contains(string(w.Error), "made to fail") {
			t.Errorf("rank %d: %s, %s: %s", w.Rank, w.State, w.EndedBy, w.Error)
		}
	}
	if err := os.Remove(breaks); err != nil {
		t.Fatal(err)
	}
}

// otherNodeKilled kills the worker on the other node while both record: the
// server dies of it, which whoever asks must be told, and soon.
func (s rayServer) otherNodeKilled(t *testing.T, c *gate.Client) {
	t.Helper()
	if _, err := c.Arm(t.Context(), gate.ArmRequest{Session: "killed", Window: gate.Window{Steps: 1000}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { longCompletion(ctx, s.endpoint) })
	defer running.Wait()
	defer cancel()
	s.records(t, c, "killed")
	got, err := c.Status(t.Context(), "killed")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range got.Workers {
		if w.Host != "other" {
			continue
		}
		if out, err := exec.Command("ray/on.sh", s.lab, w.Host, "kill", "-KILL", strconv.Itoa(w.PID)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	began := time.Now()
	for said := ""; ; time.Sleep(time.Second) {
		asked := time.Now()
		got, err := c.Status(t.Context(), "killed")
		switch {
		case err != nil:
			said = err.Error()
		case got.State == gate.Failed:
			said = fmt.Sprintf("%+v", got.Workers)
		}
		if said != "" {
			t.Logf("%s after a worker was killed, in %s: %s", time.Since(began).Round(time.Millisecond), time.Since(asked).Round(time.Millisecond), said)
			return
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatal("nothing says that a worker is dead")
		}
	}
}

// longCompletion asks for one and does not care how it ends.
func longCompletion(ctx context.Context, endpoint string) {
	body := `{"model":"tiny","prompt":[5,6,7],"max_tokens":2000,"ignore_eos":true}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/v1/completions", strings.NewReader(body))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // the server dies while it answers
	_ = resp.Body.Close()
}
