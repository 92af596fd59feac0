//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// arena is a server, and the folders of the runs that use it: all that they may leave
// behind is in them.
type arena struct {
	*victim
	dir  string
	file string   // the job file, absolute
	vars []string // beside trace_dir and endpoint
	// reach is the endpoint that runs are given: the server's own, or a proxy's.
	reach string
}

func newArena(t *testing.T, v *victim, file string) *arena {
	t.Helper()
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return &arena{victim: v, dir: t.TempDir(), file: abs, reach: v.endpoint}
}

// job is the command that runs a job.
func (a *arena) job(t *testing.T, job string) *exec.Cmd {
	t.Helper()
	return a.command(t, "run", a.file, "--job", job)
}

// command is profjob as it works in the arena, with the job file's variables. Its
// temporary files go to a folder of their own, and its processes bear a mark.
func (a *arena) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	for _, v := range append([]string{"endpoint=" + a.reach, "trace_dir=" + a.traceDir}, a.vars...) {
		args = append(args, "--var", v)
	}
	for _, sub := range []string{"tmp", "state"} {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(profjob(t), args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(a.dir, "tmp"), "PROFJOB_STATE_DIR="+filepath.Join(a.dir, "state"),
		"PROFJOB_VAR_secret="+gateSecret, a.mark())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// mark is in the environment of every process that the arena's runs have started.
func (a *arena) mark() string { return "PROFJOB_E2E_ARENA=" + a.dir }

// processes are those that the runs have started and that are still there.
func (a *arena) processes() (left []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err == nil && bytes.Contains(data, []byte(a.mark())) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
			left = append(left, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return left
}

// show logs what the runs have left, for a test that has failed.
func (a *arena) show(t *testing.T) {
	t.Helper()
	_ = filepath.WalkDir(filepath.Join(a.dir, "runs"), func(path string, entry os.DirEntry, err error) error {
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

// clear makes room for the next run.
func (a *arena) clear(t *testing.T) {
	t.Helper()
	for _, dir := range []string{filepath.Join(a.dir, "runs"), filepath.Join(a.dir, "tmp")} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name := range a.listed(t) { // the directory stays: real servers make it once
		if err := os.RemoveAll(filepath.Join(a.traceDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path := range a.finished(t) { // of the gate
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
