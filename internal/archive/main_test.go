package archive

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runIDs of the tests, oldest first.
const (
	runA = "20261123T031500Z-aaaaaa"
	runB = "20261124T031500Z-bbbbbb"
	runC = "20261124T061500Z-cccccc"
)

// contents are the files of the tests' runs.
var contents = map[string]string{
	"plan.json":                      "{}\n",
	"journal.jsonl":                  "{\"seq\":1}\n",
	"input/nightly.hcl":              "job \"decode\" {}\n",
	"logs/server.log":                "ready\n",
	"guard.log":                      "armed\n",
	"analysis/round-01-server.json":  "[]\n",
	"rounds/01/attempt-1/load.json":  "{}\n",
	"rounds/01/attempt-1/load.jsonl": "",
	"rounds/01/attempt-1/metrics/server/10.0.0.7-8000-start.prom":              "up 1\n",
	"rounds/01/attempt-2/traces/server/10.0.0.7-8000/rank0.pt.trace.json":      strings.Repeat("{\"traceEvents\": []}\n", 5000),
	"rounds/01/attempt-2/traces/server/10.0.0.7-8000/größe 2.pt.trace.json.gz": "\x1f\x8b",
}

// newRun makes an unsealed run with the contents in it.
func newRun(t *testing.T, root, job, runID string) *Dir {
	t.Helper()
	d, err := Create(root, job, runID)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range contents {
		path = d.Join(filepath.FromSlash(path))
		mustDo(t, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600))
	}
	return d
}

func manifestOf(job, runID string) *Manifest {
	at := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	return &Manifest{FormatVersion: ManifestVersion, RunID: runID, Job: job, Status: StatusOK,
		StartedAt: at, FinishedAt: at.Add(time.Minute), PlanDigest: "sha256:00", Profjob: Tool{Version: "0.1.0"}, Host: "host"}
}

// sealedRun makes a sealed run.
func sealedRun(t *testing.T, root, job, runID string) (*Dir, *Manifest) {
	t.Helper()
	d, m := newRun(t, root, job, runID), manifestOf(job, runID)
	if err := Seal(context.Background(), d, m, nil); err != nil {
		t.Fatal(err)
	}
	return d, m
}

// packedRun makes a run that is one file, and gives its path.
func packedRun(t *testing.T, root, job, runID string) (string, *Manifest) {
	t.Helper()
	d, m := sealedRun(t, root, job, runID)
	path, err := Pack(context.Background(), d, m)
	if err != nil {
		t.Fatal(err)
	}
	return path, m
}

// tree lists all files below a directory, with slashes, sorted.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	all := []string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		all = append(all, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func isThere(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// wantError fails unless the error holds all of the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want %q in it", err, part)
		}
	}
}

// mustDo fails on an error of preparing a test.
func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
