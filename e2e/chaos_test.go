//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
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

// TestChaos kills profjob with SIGKILL at random moments of real runs and checks,
// after each, what must hold whatever dies. PROFJOB_CHAOS is the number of kills.
func TestChaos(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("PROFJOB_CHAOS"))
	if err != nil {
		n = 12
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PROFJOB_CHAOS_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PROFJOB_CHAOS_SEED=%d", seed)
	c := newChaos(t, chaosEmbedded(t))
	for i := range n {
		if c.kill(t, rand.New(rand.NewPCG(seed, uint64(i))), i); t.Failed() {
			break
		}
	}
	c.print(t)
}

// chaosServer is a server whose profiler and gate the killed runs use.
type chaosServer struct {
	endpoint string
	traceDir string
	gateRoot string
	engine   string
}

// chaosEmbedded starts the embedded engine with a profiler and the gate.
func chaosEmbedded(t *testing.T) chaosServer {
	t.Helper()
	dir := t.TempDir()
	port := freePort(t)
	s := chaosServer{endpoint: "http://127.0.0.1:" + port, traceDir: filepath.Join(dir, "traces"), gateRoot: filepath.Join(dir, "gate"), engine: "embedded"}
	cmd := exec.Command(profjob(t), "engine", "--listen", "127.0.0.1:"+port, "--trace-dir", s.traceDir, "--step-floor", "2ms")
	cmd.Env = append(os.Environ(), gate.SecretEnv+"="+gateSecret, gate.RootEnv+"="+s.gateRoot)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 100 {
		if listens("127.0.0.1:" + port) {
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the embedded engine does not listen")
	return s
}

// chaos is a server, and where its runs go.
type chaos struct {
	server chaosServer
	dir    string
	// took is how long a whole run of each job takes: kills come within that time.
	took  map[string]time.Duration
	kills map[string]*killed
}

// killed is what became of the runs of one job.
type killed struct {
	kills, whole, resumed, nothing int // whole: it had ended before the kill
	offMost                        time.Duration
	traces                         int
	phases                         map[string]int
}

func newChaos(t *testing.T, s chaosServer) *chaos {
	t.Helper()
	c := &chaos{server: s, dir: t.TempDir(), took: map[string]time.Duration{}, kills: map[string]*killed{}}
	for _, job := range c.jobs() {
		began := time.Now()
		cmd := c.command(t, job)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", job, err, out)
		}
		c.took[job] = time.Since(began)
		c.kills[job] = &killed{phases: map[string]int{}}
	}
	c.clear(t)
	return c
}

func (c *chaos) jobs() []string {
	if c.server.engine == "vllm" {
		return []string{"steps", "manual"}
	}
	return []string{"steps", "manual", "gated", "launched"}
}

// command is a run of a job of jobs/chaos.hcl, whose temporary files go to a folder
// of their own.
func (c *chaos) command(t *testing.T, job string, args ...string) *exec.Cmd {
	t.Helper()
	file, err := filepath.Abs("jobs/chaos.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"run", file, "--job", job}
	}
	args = append(args, "--var", "endpoint="+c.server.endpoint, "--var", "trace_dir="+c.server.traceDir)
	for _, sub := range []string{"tmp", "state"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(profjob(t), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(c.dir, "tmp"), "PROFJOB_STATE_DIR="+filepath.Join(c.dir, "state"), "PROFJOB_VAR_secret="+gateSecret, "PROFJOB_CHAOS_MARK="+c.dir)
	return cmd
}

// kill kills one run and checks everything that must hold.
func (c *chaos) kill(t *testing.T, r *rand.Rand, i int) {
	t.Helper()
	jobs := c.jobs()
	job := jobs[i%len(jobs)]
	k := c.kills[job]
	cmd := c.command(t, job)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(r.Int64N(int64(c.took[job]))))
	// Every other time all of its process group, as a shell or a CI runner does.
	pid := cmd.Process.Pid
	if i%2 == 0 {
		pid = -pid
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	err := cmd.Wait()
	at := time.Now()
	k.kills++
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) && exit.Exited() {
		k.whole++
	}
	c.waitGone(t, job)
	off := c.awaitOff(t, job)
	k.offMost = max(k.offMost, off.Sub(at))
	finished := c.finishedTraces(t)
	c.resume(t, job, k)
	c.noTemporaryFiles(t, job)
	c.allKept(t, job, finished, k)
	if t.Failed() {
		t.Logf("kill %d of %s; its output:\n%s", i, job, out.String())
		c.show(t)
		return
	}
	c.clear(t)
}

// waitGone waits until no process of the run is left: neither guard nor server.
func (c *chaos) waitGone(t *testing.T, job string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if left := c.processes(); len(left) == 0 {
			return
		}
	}
	t.Errorf("%s: processes are left: %v", job, c.processes())
}

// processes are those that the runs have started, by what is in their environment.
func (c *chaos) processes() (left []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err == nil && bytes.Contains(data, []byte("PROFJOB_CHAOS_MARK="+c.dir)) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
			left = append(left, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return left
}

// awaitOff waits until neither the profiler nor the gate of the server is on.
func (c *chaos) awaitOff(t *testing.T, job string) time.Time {
	t.Helper()
	for began := time.Now(); time.Since(began) < 40*time.Second; time.Sleep(10 * time.Millisecond) {
		if !c.profilerOn(t) && !c.gateBusy(t) {
			return time.Now()
		}
	}
	t.Errorf("%s: the profiler or the gate is still on", job)
	return time.Now()
}

// profilerOn tells whether the server's profiler records: a start is then refused.
func (c *chaos) profilerOn(t *testing.T) bool {
	t.Helper()
	if status := post(t, c.server.endpoint+"/start_profile"); status != http.StatusOK {
		return true
	}
	before := c.listed(t)
	post(t, c.server.endpoint+"/stop_profile")
	for name := range c.listed(t) { // what this question itself has written
		if !before[name] {
			_ = os.Remove(filepath.Join(c.server.traceDir, name))
		}
	}
	return false
}

func (c *chaos) listed(t *testing.T) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(c.server.traceDir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, e := range entries {
		all[e.Name()] = true
	}
	return all
}

func (c *chaos) gateBusy(t *testing.T) bool {
	t.Helper()
	client, err := gate.New(c.server.endpoint, gateSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := client.Hello(t.Context())
	if err != nil {
		return false // a server without the gate
	}
	return slices.ContainsFunc(h.Workers, func(w gate.Worker) bool { return w.Busy != "" })
}

func post(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Post(url, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// finishedTraces are the hashes of what the server has written meanwhile.
func (c *chaos) finishedTraces(t *testing.T) (sums []string) {
	t.Helper()
	for name := range c.listed(t) {
		if !strings.HasSuffix(name, ".json.gz") || strings.Contains(name, "async_llm") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(c.server.traceDir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		sums = append(sums, hex.EncodeToString(sum[:]))
	}
	return sums
}

// resume finishes what is unfinished, and checks every run that there is.
func (c *chaos) resume(t *testing.T, job string, k *killed) {
	t.Helper()
	partial, err := filepath.Glob(filepath.Join(c.dir, "runs/*/*.partial"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range partial {
		k.phases[phase(path)]++
		cmd := c.command(t, job, "resume", path, "-o", "json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // its exit code says how it went
		switch code := cmd.ProcessState.ExitCode(); {
		case code == 0 || code == 130:
			k.resumed++
		case code == 6 && nothingBegun(path):
			k.nothing++
			_ = os.RemoveAll(path)
		default:
			t.Errorf("%s: resume ended with exit code %d\n%s\n%s", job, code, stdout.String(), stderr.String())
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "runs/*/*.partial")); len(left) > 0 {
		t.Errorf("%s: still unfinished: %v", job, left)
	}
}

// nothingBegun tells of a run that was killed before its first event was on disk.
func nothingBegun(path string) bool {
	data, err := os.ReadFile(filepath.Join(path, "journal.jsonl"))
	return os.IsNotExist(err) || err == nil && !bytes.Contains(data, []byte("\n"))
}

// phase is the plan step in which a run was killed.
func phase(path string) string {
	data, _ := os.ReadFile(filepath.Join(path, "journal.jsonl"))
	at := "begin"
	for _, line := range bytes.Split(data, []byte("\n")) {
		var e struct {
			Event string                `json:"event"`
			Data  struct{ Step string } `json:"data"`
		}
		if json.Unmarshal(line, &e) == nil && e.Event == "step_started" {
			_, at, _ = strings.Cut("/"+e.Data.Step, "/")
			at = at[strings.LastIndex(at, "/")+1:]
		}
	}
	return at
}

func (c *chaos) noTemporaryFiles(t *testing.T, job string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(c.dir, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sock") { // of the control socket, which the next run clears away
			t.Errorf("%s: left in the folder for temporary files: %s", job, e.Name())
		}
	}
}

// allKept checks that every file of every run has the hash that its manifest says,
// and that what the server finished is among them.
func (c *chaos) allKept(t *testing.T, job string, finished []string, k *killed) {
	t.Helper()
	entries, err := archive.List(filepath.Join(c.dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, e := range entries {
		if e.Err != nil || e.Manifest == nil {
			t.Errorf("%s: %s: %v", job, e.Path, e.Err)
			continue
		}
		for _, f := range e.Manifest.Files {
			sum, err := archive.HashFile(filepath.Join(e.Path, filepath.FromSlash(f.Path)))
			if err != nil || sum.SHA256 != f.SHA256 || sum.Size != f.Size {
				t.Errorf("%s: %s is not what the manifest says: %v", job, f.Path, err)
			}
			kept[f.SHA256] = true
		}
	}
	for _, sum := range finished {
		if !kept[sum] {
			t.Errorf("%s: a trace that the server finished is in no run", job)
		}
	}
	k.traces += len(finished)
}

func (c *chaos) show(t *testing.T) {
	t.Helper()
	_ = filepath.WalkDir(filepath.Join(c.dir, "runs"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Log(path)
		}
		if err == nil && (entry.Name() == "guard.log" || entry.Name() == "journal.jsonl") {
			data, _ := os.ReadFile(path)
			t.Log(string(data[max(0, len(data)-4000):]))
		}
		return nil
	})
}

func (c *chaos) clear(t *testing.T) {
	t.Helper()
	for _, dir := range []string{filepath.Join(c.dir, "runs"), filepath.Join(c.dir, "tmp"), c.server.traceDir} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *chaos) print(t *testing.T) {
	t.Helper()
	var rows []string
	for _, job := range c.jobs() {
		k := c.kills[job]
		var phases []string
		for _, p := range slices.Sorted(maps.Keys(k.phases)) {
			phases = append(phases, fmt.Sprintf("%s %d", p, k.phases[p]))
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.0f ms\t%s", c.server.engine, job, k.kills, k.whole, k.resumed, k.nothing, k.traces,
			1000*k.offMost.Seconds(), strings.Join(phases, ", ")))
	}
	printTable(t, "server\tjob\tkills\tended before\tresumed\tnothing begun\ttraces kept\toff after, at most\tkilled in", rows)
	if !t.Failed() {
		fmt.Println("invariants violated: 0 (profiler and gate off, no process, no temporary file, sealed or resumed, every finished trace kept and hashed)")
	}
}
