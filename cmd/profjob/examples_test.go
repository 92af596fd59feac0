package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples makes sure that every example is valid and in the usual form, and
// that a plan can be made of it. The script examples.txtar runs them.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	script, err := os.ReadFile("testdata/script/examples.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, args := range [][]string{{"validate", file}, {"fmt", "--check", file}, {"plan", "--offline", file}} {
				var stdout, stderr strings.Builder
				a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, args: args}
				if code := a.run(t.Context()); code != 0 {
					t.Errorf("profjob %s: exit code %d:\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
				}
			}
			if !strings.Contains(string(script), "run "+filepath.Base(file)) {
				t.Errorf("examples.txtar does not run %s", filepath.Base(file))
			}
		})
	}
}
