//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"profjob/internal/archive"
)

// versions are those whose profiling differs: by the environment and without
// annotations, by the deprecated environment, by flags and with bounds a request.
var versions = []struct {
	version  string
	evidence string
	strategy string
}{
	{"0.11.0", "structure", "observed"},
	{"0.15.1", "annotation", "observed"},
	{"0.32.0", "annotation", "bounded"},
}

// TestVLLM runs job files against real servers and prints what was asked and got.
func TestVLLM(t *testing.T) {
	profjob(t) // without it no server need be started
	var table table
	defer func() { table.print(t) }()
	t.Run("embedded", func(t *testing.T) { sameFile(t, embeddedServer(t), "annotation", "bounded", &table) })
	for _, v := range versions {
		t.Run(v.version, func(t *testing.T) {
			venv(t, v.version)
			t.Run("running", func(t *testing.T) {
				s := startServer(t, v.version, nil)
				sameFile(t, s, v.evidence, v.strategy, &table)
				running(t, s, &table)
			})
			t.Run("options", func(t *testing.T) {
				s := startServer(t, v.version, []string{"SHAPES=1", "MEMORY=1", "STACK=1", "FLOPS=1"})
				allOptions(t, s, &table)
			})
			t.Run("unconfigured", func(t *testing.T) {
				unconfigured(t, startServer(t, v.version, []string{"NO_PROFILER=1"}))
			})
			t.Run("launch", func(t *testing.T) { launched(t, v.version, &table) })
			if full() {
				eachOption(t, v.version, &table)
			}
		})
	}
}

// embeddedServer is profjob's own engine as a server that runs already.
func embeddedServer(t *testing.T) server {
	t.Helper()
	s := server{version: "embedded", traceDir: filepath.Join(t.TempDir(), "traces"), log: filepath.Join(t.TempDir(), "log")}
	port := freePort(t)
	s.endpoint = "http://127.0.0.1:" + port
	cmd := exec.Command(profjob(t), "engine", "--listen", "127.0.0.1:"+port, "--trace-dir", s.traceDir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it is ended by a signal
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone
		<-exited
	})
	s.await(t, exited)
	return s
}

// sameFile runs the example as it is, but for the endpoint and the trace directory.
func sameFile(t *testing.T, s server, evidence, strategy string, table *table) {
	m := run(t, "../examples/vllm.hcl", vars(s)...).one(t, 0)
	table.add(s.version, "examples/vllm.hcl", m)
	exact(t, m, 5)
	w := windows(m)[0]
	if w.Evidence != evidence || w.Strategy != strategy {
		t.Errorf("evidence %s by %s, want %s by %s", w.Evidence, w.Strategy, evidence, strategy)
	}
	if r := m.Record; r.Seen == nil || *r.Seen != (archive.Options{}) || len(r.Extra) > 0 {
		t.Errorf("record %+v, want nothing asked, seen or extra", r)
	}
}

// exact checks that each window is what was asked, and cut to it.
func exact(t *testing.T, m archive.Manifest, steps int) {
	t.Helper()
	if m.Status != archive.StatusOK {
		t.Errorf("status %s: %v", m.Status, m.Errors)
	}
	for _, w := range windows(m) {
		if !w.Exact || w.Got.Steps != steps || len(w.Got.Annotations) != steps {
			t.Errorf("rank %v: %d steps of %d, exact %t: %s", w.Rank, w.Got.Steps, steps, w.Exact, w.Reason)
		}
	}
}

// running holds for a server that runs already, with all record options off.
func running(t *testing.T, s server, table *table) {
	for _, steps := range []string{"1", "20"} {
		t.Run("steps="+steps, func(t *testing.T) {
			m := run(t, "jobs/matrix.hcl", append(vars(s, "steps="+steps), "--job", "steps")...).one(t, 0)
			table.add(s.version, "steps", m)
		})
	}
	t.Run("delay", func(t *testing.T) {
		m := run(t, "jobs/matrix.hcl", append(vars(s, "steps=3", "delay=10"), "--job", "steps")...).one(t, 0)
		table.add(s.version, "steps", m)
		exact(t, m, 3)
	})
	t.Run("thin", func(t *testing.T) {
		m := run(t, "jobs/matrix.hcl", append(vars(s, "steps=6"), "--job", "thin")...).one(t, 0)
		table.add(s.version, "thin", m)
		exact(t, m, 6)
	})
	if s.version != "0.11.0" { // its traces tell neither class nor, without shapes, tokens
		t.Run("tokens", func(t *testing.T) {
			byTokens(t, s, table, 4, "decode", nil)
			byTokens(t, s, table, 16, "mixed", nil)
		})
	}
	t.Run("manual", func(t *testing.T) {
		m := run(t, "jobs/matrix.hcl", append(vars(s), "--job", "manual")...).one(t, 0)
		table.add(s.version, "manual", m)
		w := windows(m)[0]
		off := (time.Duration(w.Got.DurationNS) - time.Second).Abs()
		if !w.Exact || off > 50*time.Millisecond || w.Got.Steps < 1 {
			t.Errorf("exact %t, off by %s, %d steps: %s", w.Exact, off, w.Got.Steps, w.Reason)
		}
	})
	t.Run("option it cannot give", func(t *testing.T) {
		r := run(t, "jobs/matrix.hcl", append(vars(s, `record=["shapes"]`), "--job", "steps")...)
		m := r.one(t, 4)
		contains(t, r.stderr, "without shapes")
		contains(t, strings.ToLower(r.stderr), "record_shapes")
		if m.Status != archive.StatusFailed {
			t.Errorf("status %s", m.Status)
		}
	})
}

// byTokens asks for three engine steps from the first of a phase with so many tokens on.
func byTokens(t *testing.T, s server, table *table, threshold int, phase string, record []string) {
	t.Helper()
	args := vars(s, "steps=3", fmt.Sprintf("threshold=%d", threshold), "phase="+phase, "record="+hclStrings(record))
	m := run(t, "jobs/matrix.hcl", append(args, "--job", "tokens")...).one(t, 0)
	table.add(s.version, fmt.Sprintf("tokens, %s", phase), m)
	exact(t, m, 3)
	if why := notObserved(m, windows(m)[0], askedWindow{threshold: threshold, steps: 3, phase: phase}); why != "" {
		t.Error(why)
	}
	first := windows(m)[0].Got.EngineSteps[0]
	if first.Tokens == nil || *first.Tokens < threshold || phase != "any" && first.Class != phase {
		t.Errorf("the first step is %s with %v tokens, want %s with at least %d", first.Class, first.Tokens, phase, threshold)
	}
}

// allOptions holds for a server that records everything.
func allOptions(t *testing.T, s server, table *table) {
	m := run(t, "jobs/matrix.hcl", append(vars(s, `record=["shapes","memory","stack","flops"]`), "--job", "steps")...).one(t, 0)
	table.add(s.version, "all options", m)
	exact(t, m, 5)
	all := archive.Options{Shapes: true, Memory: true, Stack: true, FLOPs: true}
	if m.Record.Seen == nil || *m.Record.Seen != all || len(m.Record.Extra) > 0 {
		t.Errorf("record %+v, want all asked and seen", m.Record)
	}
	byTokens(t, s, table, 16, "any", []string{"shapes", "memory", "stack", "flops"})
	m = run(t, "jobs/matrix.hcl", append(vars(s), "--job", "steps")...).one(t, 0)
	if len(m.Record.Extra) != 4 {
		t.Errorf("extra %v, want all four", m.Record.Extra)
	}
}

// unconfigured holds for a server without a profiler.
func unconfigured(t *testing.T, s server) {
	r := run(t, "jobs/matrix.hcl", append(vars(s), "--job", "steps")...)
	m := r.one(t, 4)
	contains(t, r.stderr, "profiling is not configured")
	want := "--profiler-config"
	if s.version == "0.11.0" {
		want = "VLLM_TORCH_PROFILER_DIR="
	}
	contains(t, r.stderr, want)
	if m.Status != archive.StatusFailed || len(m.Errors) == 0 {
		t.Errorf("status %s, errors %v", m.Status, m.Errors)
	}
}

// launched has profjob start the server with what its version needs.
func launched(t *testing.T, version string, table *table) {
	port := freePort(t)
	command, env := serveCommand(t, version, port)
	m := run(t, "jobs/launch.hcl", "--var", "endpoint=http://127.0.0.1:"+port, "--var", "trace_dir="+filepath.Join(t.TempDir(), "traces"),
		"--var", "command="+hclStrings(command), "--var", "env="+hclMap(env)).one(t, 0)
	table.add(version, "launched", m)
	exact(t, m, 4)
	if m.Record.Seen == nil || *m.Record.Seen != m.Record.Asked {
		t.Errorf("record %+v, want all that was asked", m.Record)
	}
	if listens("127.0.0.1:" + port) {
		t.Error("the server was left running")
	}
}

// eachOption sets one option at a time.
func eachOption(t *testing.T, version string, table *table) {
	for _, option := range []string{"shapes", "memory", "stack", "flops"} {
		t.Run(option, func(t *testing.T) {
			s := startServer(t, version, []string{strings.ToUpper(option) + "=1"})
			m := run(t, "jobs/matrix.hcl", append(vars(s, `record=["`+option+`"]`), "--job", "steps")...).one(t, 0)
			table.add(version, option, m)
			exact(t, m, 5)
			if m.Record.Seen == nil || *m.Record.Seen != m.Record.Asked {
				t.Errorf("record %+v, want %s alone", m.Record, option)
			}
		})
	}
}
