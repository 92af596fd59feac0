package analysis

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"profjob/internal/trace"
)

// shared finds a file of ../shared/traces beside the checkout; it skips the test where
// the folder is missing.
func shared(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "traces", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the shared traces are missing beside the checkout: %v", err)
	}
	return path
}

// sharedTraces are all traces of ../shared/traces.
func sharedTraces(t testing.TB) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(shared(t, "."), func(path string, d os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".json.gz") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 20 {
		t.Fatalf("%d traces, want 20 or more", len(paths))
	}
	return paths
}

// eachShared runs a test on every shared trace.
func eachShared(t *testing.T, test func(t *testing.T, path string)) {
	if testing.Short() {
		t.Skip("reads all shared traces: under the race detector that takes minutes")
	}
	root := shared(t, ".")
	for _, path := range sharedTraces(t) {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { test(t, path) })
	}
}

func columns(t testing.TB, path string) *trace.Columns {
	t.Helper()
	c, err := trace.ReadColumns(t.Context(), path)
	var damaged *trace.Error
	if err != nil && !errors.As(err, &damaged) {
		t.Fatal(err)
	}
	return c
}
