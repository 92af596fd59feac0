//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"profjob/internal/archive"
)

// What must hold after a run, whatever it died of and however its server misbehaved:
// profiler and gate off, no process, no temporary file, the run sealed or to be
// resumed, every trace that the server has finished kept and hashed, an exit code
// that is documented.

// waitGone waits until no process of the runs is left: neither guard nor server.
func (a *arena) waitGone(t *testing.T) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if len(a.processes()) == 0 {
			return
		}
	}
	t.Errorf("processes are left: %v", a.processes())
}

// awaitOff waits until neither a session of the profiler nor one of the gate is on,
// by the server's own account, and then has a stop prove it for the profiler.
func (a *arena) awaitOff(t *testing.T) time.Time {
	t.Helper()
	for began := time.Now(); a.sessionOn(t) || a.gateBusy(t); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 40*time.Second || t.Failed() {
			t.Error("the profiler or the gate is still on")
			break
		}
	}
	off := time.Now()
	a.stopProves(t)
	return off
}

// stopProves has a stop prove that the profiler was off. What one that was on writes
// because of it is removed: it is of no run.
func (a *arena) stopProves(t *testing.T) {
	t.Helper()
	wrote := a.stopWrites(t)
	for _, name := range wrote {
		_ = os.Remove(filepath.Join(a.traceDir, name))
	}
	if len(wrote) > 0 {
		t.Errorf("the profiler was still on: a stop wrote %v", wrote)
	}
}

// noTemporaryFiles looks at the folder for temporary files.
func (a *arena) noTemporaryFiles(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(a.dir, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sock") { // of the control socket, which the next run clears away
			t.Errorf("left in the folder for temporary files: %s", e.Name())
		}
	}
}

// resumed is what resume made of the runs that were unfinished.
type resumed struct {
	at      string // where the last was cut off; "": none was unfinished
	sealed  int
	nothing int // killed before its first event was on disk
}

// resume finishes what is unfinished.
func (a *arena) resume(t *testing.T) (r resumed) {
	t.Helper()
	for _, path := range a.unfinished(t) {
		r.at = position(path)
		cmd := a.command(t, "resume", path, "-o", "json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // its exit code says how it went
		switch code := cmd.ProcessState.ExitCode(); {
		case code == 6 && nothingBegun(path):
			r.nothing++
			_ = os.RemoveAll(path)
		case code == 0 || code == 130: // it had only to be sealed, or was cut off
			r.sealed++
		default:
			t.Errorf("resume ended with exit code %d\n%s\n%s", code, stdout.String(), stderr.String())
		}
	}
	if left := a.unfinished(t); len(left) > 0 {
		t.Errorf("still unfinished: %v", left)
	}
	return r
}

func (a *arena) unfinished(t *testing.T) []string {
	t.Helper()
	partial, err := filepath.Glob(filepath.Join(a.dir, "runs/*/*.partial"))
	if err != nil {
		t.Fatal(err)
	}
	return partial
}

// documented tells of an exit code whether it says how a run ended; 1 is for what
// nobody has thought of, and 2 for wrong job files.
func documented(code int) bool {
	switch code {
	case 0, 4, 5, 6, 130:
		return true
	}
	return false
}

// nothingBegun tells of a run that was killed before its first event was on disk.
func nothingBegun(path string) bool {
	data, err := os.ReadFile(filepath.Join(path, "journal.jsonl"))
	return os.IsNotExist(err) || err == nil && !bytes.Contains(data, []byte("\n"))
}

// manifests are those of all runs. Every file that they name must be there, with the
// hash that they say.
func (a *arena) manifests(t *testing.T) (all []archive.Manifest) {
	t.Helper()
	entries, err := archive.List(filepath.Join(a.dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Err != nil || e.Manifest == nil {
			t.Errorf("%s has no manifest: %v", e.Path, e.Err)
			continue
		}
		for _, f := range e.Manifest.Files {
			sum, err := archive.HashFile(filepath.Join(e.Path, filepath.FromSlash(f.Path)))
			if err != nil || sum.SHA256 != f.SHA256 || sum.Size != f.Size {
				t.Errorf("%s is not what the manifest says: %v", f.Path, err)
			}
		}
		all = append(all, *e.Manifest)
	}
	return all
}

// kept tells how many whole traces of workers the runs have kept. Those that the
// server has finished, but for the ones named, must be among them.
func (a *arena) kept(t *testing.T, others map[string]bool) int {
	t.Helper()
	kept := map[string]bool{}
	n := 0
	for _, m := range a.manifests(t) {
		for _, f := range m.Files {
			kept[f.SHA256] = true
			if f.Kind == archive.KindTrace && f.TrimmedFrom == "" {
				n++
			}
		}
	}
	for path := range a.finished(t) {
		sum, err := archive.HashFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !kept[sum.SHA256] && !others[path] {
			t.Errorf("%s, which the server has finished, is in no run", path)
		}
	}
	return n
}
