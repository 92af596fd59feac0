//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"profjob/internal/gate"
)

// victim is a server whose profiler and gate runs use that are killed, or that go
// through a proxy which misbehaves.
type victim struct {
	engine   string // embedded or vllm
	endpoint string
	traceDir string
	gateRoot string // where the gate's files are

	args []string // of the embedded engine, for another start of it
	env  []string
	cmd  *exec.Cmd
	gone <-chan struct{} // closed once it has ended
}

// embeddedVictim starts the embedded engine with a profiler and the gate.
func embeddedVictim(t *testing.T, args ...string) *victim {
	t.Helper()
	dir := t.TempDir()
	v := unstarted(t, dir, args...)
	if err := v.start(profjob(t)); err != nil {
		t.Fatal(err)
	}
	return v
}

// unstarted is an embedded engine that is yet to start.
func unstarted(t *testing.T, dir string, args ...string) *victim {
	t.Helper()
	port := freePort(t)
	v := &victim{engine: "embedded", endpoint: "http://127.0.0.1:" + port,
		traceDir: filepath.Join(dir, "traces"), gateRoot: filepath.Join(dir, "gate")}
	v.args = append([]string{"engine", "--listen", "127.0.0.1:" + port, "--trace-dir", v.traceDir, "--step-floor", "2ms"}, args...)
	v.env = append(os.Environ(), gate.SecretEnv+"="+gateSecret, gate.RootEnv+"="+v.gateRoot)
	t.Cleanup(func() { v.signal(syscall.SIGKILL) })
	return v
}

// begin starts a process; ended is closed once it has ended, and its state tells how.
func begin(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // its state tells
	}()
	return done, nil
}

// start starts the embedded engine, also where it has ended.
func (v *victim) start(program string) error {
	cmd := exec.Command(program, append(slices.Clone(v.args), "--end-with-stdin")...)
	cmd.Env = v.env
	if _, err := cmd.StdinPipe(); err != nil { // it ends with the tests, should they be cut off
		return err
	}
	gone, err := begin(cmd)
	if err != nil {
		return err
	}
	v.cmd, v.gone = cmd, gone
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if v.listens() {
			return nil
		}
	}
	return errors.New("the embedded engine does not listen")
}

func (v *victim) listens() bool { return listens(strings.TrimPrefix(v.endpoint, "http://")) }

// signal sends a signal to the embedded engine; one that ends it is waited for.
func (v *victim) signal(s syscall.Signal) {
	if v.cmd == nil {
		return
	}
	_ = v.cmd.Process.Signal(s) // it may have ended
	select {
	case <-v.gone:
	case <-time.After(10 * time.Second):
	}
}

// vllmVictim starts a real vLLM with a profiler and the gate.
func vllmVictim(t *testing.T, version string) *victim {
	t.Helper()
	venv(t, version)
	dir := t.TempDir()
	if err := gate.Install(dir); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	set, err := gate.Env(dir, gateSecret, root, nil)
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	s := startServer(t, version, env)
	return &victim{engine: "vllm", endpoint: s.endpoint, traceDir: s.traceDir, gateRoot: root}
}

// sessionOn tells whether a session of the server's own profiler is active, and
// changes nothing: the start that it asks for is refused in any case, by vLLM 0.32.0
// with 409 where a session is active, and only then with 400 for its bound
// (vllm/v1/engine/async_llm.py, start_profile).
func (v *victim) sessionOn(t *testing.T) bool {
	t.Helper()
	status := post(t, v.endpoint+pathStart, `{"max_iterations": -1}`)
	if status != http.StatusConflict && status != http.StatusBadRequest {
		t.Errorf("a start with a bound of -1 was answered with %d", status)
	}
	return status == http.StatusConflict
}

// stopWrites sends a stop and gives the traces that came of it: a profiler that was
// off writes none, whatever the version answers.
func (v *victim) stopWrites(t *testing.T) (files []string) {
	t.Helper()
	before := v.listed(t)
	if resp, err := http.Post(v.endpoint+pathStop, "", nil); err == nil { // a fault may cut it
		_ = resp.Body.Close() // files tell, not what it says
	}
	for name := range v.listed(t) {
		if !before[name] && strings.Contains(name, ".trace.json") {
			files = append(files, name)
		}
	}
	return files
}

// gateBusy tells whether a gate of the server is armed, records or writes.
func (v *victim) gateBusy(t *testing.T) bool {
	t.Helper()
	client, err := gate.New(v.endpoint, gateSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := client.Hello(t.Context())
	if err != nil {
		t.Errorf("the gate cannot be asked: %v", err)
		return true
	}
	for _, w := range h.Workers {
		if w.Busy != "" {
			return true
		}
	}
	return false
}

// listed are the names of all files in the trace directory.
func (v *victim) listed(t *testing.T) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(v.traceDir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, e := range entries {
		all[e.Name()] = true
	}
	return all
}

// finished are the complete traces of workers that the server and its gate have
// written, by path.
func (v *victim) finished(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, dir := range []string{v.traceDir, v.gateRoot} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".trace.json.gz") || strings.Contains(path, ".async_llm.") {
				return err
			}
			if _, err := readPlain(path); err == nil {
				all[path] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// complete has the server answer a request of so many tokens.
func (v *victim) complete(tokens string) error {
	body := `{"model": "tiny", "prompt": [5, 6, 7], "ignore_eos": true, "max_tokens": ` + tokens + `}`
	resp, err := http.Post(v.endpoint+pathCompletions, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	resp, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Errorf("%v", err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
