package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocsHCL makes sure that the job files that docs/omni.md shows are valid and in
// the usual form, and that plans can be made of them.
func TestDocsHCL(t *testing.T) {
	text, err := os.ReadFile("../../docs/omni.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PROFJOB_VAR_gate_secret", "a-secret-that-only-this-test-knows-0123456789")
	blocks := strings.Split(string(text), "```hcl\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the page has no HCL")
	}
	for i, block := range blocks {
		source, _, _ := strings.Cut(block, "```")
		file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.hcl", i+1))
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"validate", file}, {"fmt", "--check", file}, {"plan", "--offline", file}} {
			var stdout, stderr strings.Builder
			a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, args: args}
			if code := a.run(t.Context()); code != 0 {
				t.Errorf("profjob %s: exit code %d:\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
			}
		}
	}
}
