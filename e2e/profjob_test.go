//go:build e2e

// Package e2e runs profjob against real servers: vLLM on CPU, in the versions
// whose profiling differs. The tests need python3 and the package registry;
// they install into a cache folder of their own.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"profjob/internal/archive"
)

// profjob is the program as `make build` made it.
func profjob(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PROFJOB_BIN")
	if path == "" {
		path = "../bin/profjob"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("no profjob: run make build first: %v", err)
	}
	return abs
}

// ran is how a `profjob run` ended.
type ran struct {
	exit      int
	stderr    string
	manifests []archive.Manifest
}

// run runs a job file of this repository in a directory of the test's own.
func run(t *testing.T, file string, args ...string) ran {
	t.Helper()
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, profjob(t), append([]string{"run", abs, "-o", "json"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PROFJOB_STATE_DIR="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	r := ran{exit: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
	if err != nil && r.exit < 0 {
		t.Fatalf("run %s: %v\n%s", file, err, r.stderr)
	}
	if r.exit != 2 {
		if err := json.Unmarshal(stdout.Bytes(), &r.manifests); err != nil {
			t.Fatalf("run %s: stdout is no array of manifests: %v\n%s\n%s", file, err, stdout.String(), r.stderr)
		}
	}
	return r
}

// one gives the manifest of a run of one job, and checks what holds for every
// sealed run: its files are there with the hashes that it says.
func (r ran) one(t *testing.T, wantExit int) archive.Manifest {
	t.Helper()
	if r.exit != wantExit {
		t.Fatalf("exit %d, want %d\n%s", r.exit, wantExit, r.stderr)
	}
	if len(r.manifests) != 1 {
		t.Fatalf("%d manifests, want 1\n%s", len(r.manifests), r.stderr)
	}
	m := r.manifests[0]
	for _, f := range m.Files {
		sum, err := archive.HashFile(filepath.Join(m.Dir, filepath.FromSlash(f.Path)))
		if err != nil {
			t.Fatal(err)
		}
		if sum.SHA256 != f.SHA256 || sum.Size != f.Size {
			t.Errorf("%s is not what the manifest says", f.Path)
		}
	}
	return m
}

// windows gives the windows of all rounds.
func windows(m archive.Manifest) []archive.Window {
	var all []archive.Window
	for _, r := range m.Rounds {
		all = append(all, r.Windows...)
	}
	return all
}

// full tells whether the long part was asked for.
func full() bool { return os.Getenv("PROFJOB_E2E_FULL") != "" }

func vars(s server, more ...string) []string {
	args := []string{"--var", "endpoint=" + s.endpoint, "--var", "trace_dir=" + s.traceDir}
	for _, v := range more {
		args = append(args, "--var", v)
	}
	return args
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%q is not in:\n%s", want, text)
	}
}
