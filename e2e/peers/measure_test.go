//go:build e2e

package peers

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// profjob is the program as `make build` made it.
func profjob(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PROFJOB_BIN")
	if path == "" {
		path = "../../bin/profjob"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("no profjob: run make build first: %v", err)
	}
	return abs
}

// subject is a command that is measured.
type subject struct {
	argv  []string
	runs  int // in each round; 0: one
	walls []time.Duration
	peak  int64 // bytes, the most of any run
}

// pipeline is a line of the shell's; it fails where any part of it does.
func pipeline(line string) *subject {
	return &subject{argv: []string{"bash", "-c", "set -o pipefail; " + line}}
}

// measure runs the subjects in turn, so that what else the machine does meets all of
// them, after a first round that does not count.
func measure(t *testing.T, python string, rounds int, subjects ...*subject) {
	t.Helper()
	for _, s := range subjects {
		s.run(t, python)
		s.walls, s.peak = nil, 0
	}
	for range rounds {
		for _, s := range subjects {
			for range max(s.runs, 1) {
				s.run(t, python)
			}
		}
	}
}

func (s *subject) run(t *testing.T, python string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, append([]string{"measure.py"}, s.argv...)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var used struct {
		Wall int64 `json:"wall_ns"`
		Peak int64 `json:"peak_bytes"`
		Code int   `json:"code"`
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &used)
	}
	if err != nil || used.Code != 0 {
		t.Fatalf("%s: exit code %d: %v\n%s", strings.Join(s.argv, " "), used.Code, err, stderr.String())
	}
	s.walls = append(s.walls, time.Duration(used.Wall))
	s.peak = max(s.peak, used.Peak)
}

// median of the times.
func (s *subject) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s.walls))
	return sorted[len(sorted)/2]
}

func (s *subject) least() time.Duration { return slices.Min(s.walls) }
