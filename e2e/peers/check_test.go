//go:build e2e

package peers

import (
	"path/filepath"
	"strings"
	"testing"

	"profjob/internal/analysis"
	"profjob/internal/trace"
)

// TestCheck compares what profjob says of device work with what HolisticTraceAnalysis
// and TraceLens say of the same files. A difference that no rule accounts for fails.
func TestCheck(t *testing.T) {
	dir, py, recorded := shared(t), python(t), traceLens(t)
	var rows []row
	for _, of := range []string{"hta", "tracelens"} {
		files, err := filepath.Glob(filepath.Join(dir, of, "*.json.gz"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no traces in %s: %v", filepath.Join(dir, of), err)
		}
		for _, file := range files {
			name := of + "/" + strings.TrimSuffix(filepath.Base(file), ".json.gz")
			t.Run(name, func(t *testing.T) {
				ours := analysed(t, file)
				theirs := holistic(t, py, file)
				rows = append(rows, compare(t, name, ours, theirs)...)
				if r, ok := recorded[filepath.Base(name)]; ok {
					rows = append(rows, r.compare(t, ours))
				}
			})
		}
	}
	if !t.Failed() {
		checkTable(t, markdown(rows))
	}
}

// analysed is what profjob says.
func analysed(t *testing.T, file string) *analysis.Trace {
	t.Helper()
	s, err := analysis.ReadSet(t.Context(), []analysis.Input{{Path: file}}, trace.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ours := &s.Traces[0]
	if ours.Problem != "" {
		t.Fatal(ours.Problem)
	}
	return ours
}
