package runner

import (
	"os"
	"path/filepath"
	"testing"

	"profjob/spec"
)

// FuzzCompile: whatever the language takes for a job has a plan, or diagnostics that
// say why not; and the plan can be read again.
func FuzzCompile(f *testing.F) {
	paths, err := filepath.Glob("../examples/*.hcl")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no examples: %v", err)
	}
	for _, path := range append(paths, "testdata/jobs.hcl") {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, _ := spec.LoadBytes(t.Context(), "job.hcl", text, catalog(), spec.Inputs{Vars: map[string]string{}})
		if file == nil {
			return
		}
		for _, job := range file.Jobs {
			plan, diags := Compile(job)
			if (plan == nil) != diags.HasErrors() {
				t.Fatalf("%s: plan %v, diagnostics %v", job.Address, plan, diags)
			}
			if plan == nil {
				continue
			}
			if _, err := DecodePlan(encode(t, plan)); err != nil {
				t.Errorf("%s: %v", job.Address, err)
			}
		}
	})
}
