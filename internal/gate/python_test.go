package gate

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

// TestPython runs the tests of the plugin's own logic, which need neither vLLM nor torch.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-B", "profjob_gate_test.py")
	cmd.Dir = "plugin"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestBench runs the benchmark once, for it to stay runnable; what it measures
// here says nothing, with a machine that does other things.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	cmd := exec.CommandContext(t.Context(), python, "-B", "bench.py")
	cmd.Dir = "plugin"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
