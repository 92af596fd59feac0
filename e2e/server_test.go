//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a real vLLM on CPU, started by e2e/vllm/serve.sh.
type server struct {
	version  string
	endpoint string
	traceDir string
	log      string
}

// readyWithin is how long a server may take: 15 to 60 s alone on two cores.
const readyWithin = 5 * time.Minute

// startServer starts a server of a version and ends it with the test. env are
// further assignments: SHAPES=1, NO_PROFILER=1.
func startServer(t *testing.T, version string, env []string, args ...string) server {
	t.Helper()
	dir := t.TempDir()
	s := server{version: version, traceDir: filepath.Join(dir, "traces"), log: filepath.Join(dir, "server.log")}
	port := freePort(t)
	s.endpoint = "http://127.0.0.1:" + port
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("vllm/serve.sh", append([]string{version, port, s.traceDir}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ends is of no interest: it is ended by a signal
	}()
	t.Cleanup(func() {
		endGroup(cmd.Process.Pid, exited)
		_ = log.Close() // the test is over
	})
	s.await(t, exited)
	return s
}

func endGroup(pid int, exited <-chan struct{}) {
	_ = syscall.Kill(-pid, syscall.SIGTERM) // it may be gone
	select {
	case <-exited:
	case <-time.After(20 * time.Second):
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-exited
}

func (s server) await(t *testing.T, exited <-chan struct{}) {
	t.Helper()
	began := time.Now()
	for time.Since(began) < readyWithin {
		resp, err := http.Get(s.endpoint + "/health")
		if err == nil {
			_ = resp.Body.Close() // only the status counts
			if resp.StatusCode == http.StatusOK {
				t.Logf("vLLM %s ready after %s", s.version, time.Since(began).Round(time.Second))
				return
			}
		}
		select {
		case <-exited:
			t.Fatalf("vLLM %s ended before it was ready:\n%s", s.version, tail(s.log))
		case <-time.After(250 * time.Millisecond):
		}
	}
	t.Fatalf("vLLM %s is not ready after %s:\n%s", s.version, readyWithin, tail(s.log))
}

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func listens(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was opened only to see whether someone listens
	return true
}

// venv gives the environment of a version, installed if it is not yet.
func venv(t *testing.T, version string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "vllm/install.sh", version)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("install vLLM %s: %v\n%s", version, err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// serveCommand is the server's command line without anything about profiling,
// and the environment that it needs on a machine without a GPU.
func serveCommand(t *testing.T, version, port string) (command []string, env map[string]string) {
	t.Helper()
	dir := venv(t, version)
	model, err := filepath.Abs("vllm/tiny")
	if err != nil {
		t.Fatal(err)
	}
	bind := "nobind"
	if strings.HasPrefix(version, "0.11.") {
		bind = "0-1"
	}
	command = []string{dir + "/bin/vllm", "serve", model, "--served-model-name", "tiny", "--load-format", "dummy",
		"--enforce-eager", "--dtype", "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "16",
		"--host", "127.0.0.1", "--port", port}
	env = map[string]string{"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
		"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "2", "VLLM_CPU_OMP_THREADS_BIND": bind,
		"TORCHDYNAMO_DISABLE": "1", "VLLM_CACHE_ROOT": dir + "/cache"}
	return command, env
}

func hclStrings(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func hclMap(m map[string]string) string {
	var pairs []string
	for k, v := range m {
		pairs = append(pairs, fmt.Sprintf("%q = %q", k, v))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}
