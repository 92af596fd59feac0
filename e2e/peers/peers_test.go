//go:build e2e

// Package peers holds profjob against the other tools that read traces: their totals
// for real files, and how long they take and how much memory. The tests need python3
// and the package registry, and install into a cache folder of their own.
package peers

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in docs/")

// python is that of the venv with HolisticTraceAnalysis.
func python(t *testing.T) string {
	t.Helper()
	install := exec.CommandContext(t.Context(), "./install.sh")
	install.Stderr = os.Stderr
	out, err := install.Output()
	if err != nil {
		t.Fatalf("install the peers: %v", err)
	}
	lines := strings.Fields(string(out))
	return filepath.Join(lines[len(lines)-1], "bin", "python")
}

// shared is the folder of real traces beside the checkout.
func shared(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/traces")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no traces beside the checkout: %v", err)
	}
	return dir
}
