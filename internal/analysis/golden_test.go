package analysis

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/trace"
)

// TestGolden is the form that users and other programs read. The trace is one that the
// project recorded itself: vLLM 0.32.0 on CPU, four steps.
func TestGolden(t *testing.T) {
	s, err := ReadSet(t.Context(), []Input{{Path: filepath.Join("testdata", "four-steps.json.gz"), Name: "four-steps.json.gz"}}, trace.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetIndent("", "\t")
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "four-steps.analysis.json")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("run with -update if this is meant:\n%s", diff)
	}
}
