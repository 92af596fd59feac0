//go:build e2e

package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"profjob/internal/analysis"
)

// bench is what the measurements have in common.
type bench struct {
	profjob, python string
	dir             string // for the files that are made
	rounds          int
	ratios          ratios
}

func newBench(t *testing.T) *bench {
	t.Helper()
	rounds := 7
	if text := os.Getenv("PROFJOB_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil || rounds < 1 {
			t.Fatalf("PROFJOB_ROUNDS=%s: not a number of rounds", text)
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("%d cores, load before anything was measured: %s", runtime.NumCPU(), load)
	}
	return &bench{profjob: profjob(t), python: python(t), dir: t.TempDir(), rounds: rounds}
}

// TestBench measures profjob against gzip, Python and HolisticTraceAnalysis, prints each
// ratio beside what it must and should be, and fails where a must is missed. Rounds are
// interleaved; a ratio is one of medians, and the least time stands in brackets.
func TestBench(t *testing.T) {
	if os.Getenv("PROFJOB_BENCH") == "" {
		t.Skip("make bench-traces runs it")
	}
	b := newBench(t)
	train := read(t, "hta/diff-control")
	serve := read(t, "vllm-cpu/v0.32.0-manual-detailed")
	stacks := read(t, "vllm-cpu/v0.32.0-max6-all-options") // most of it frames of Python
	const large = 150_000_000
	four := train.repeat(t, b.dir, 4) // 140 MB
	b.decompression(t, four)
	b.jsonLoads(t, four)
	b.holistic(t, four)
	for _, r := range []*repeatable{train, serve, stacks} {
		m := r.repeat(t, b.dir, r.timesFor(large))
		b.decompression(t, m)
		b.trim(t, m)
	}
	b.growth(t, train)
	b.growth(t, serve)
	b.ratios.print(t, "bench-traces")
}

// read reads a trace by its name below shared/traces.
func read(t *testing.T, name string) *repeatable {
	t.Helper()
	return readRepeatable(t, name, filepath.Join(shared(t), name+".json.gz"))
}

// TestHuge analyses a trace of 5 GB of JSON within the memory that it may take.
func TestHuge(t *testing.T) {
	if os.Getenv("PROFJOB_HUGE") == "" {
		t.Skip("make bench-huge runs it")
	}
	b := newBench(t)
	train := read(t, "hta/diff-control")
	m := train.repeat(t, b.dir, train.timesFor(5_000_000_000))
	b.rounds = min(b.rounds, 3)
	b.decompression(t, m)
	b.ratios.print(t, "bench-huge")
}

func (b *bench) analyze(m made) *subject {
	return &subject{argv: []string{b.profjob, "analyze", m.path, "-o", "json"}}
}

// decompression holds analyze against gzip, and its memory against the size of the JSON
// where the file is large enough.
func (b *bench) decompression(t *testing.T, m made) {
	t.Helper()
	ours, gzip := b.analyze(m), &subject{argv: []string{"gzip", "-dc", m.path}}
	measure(t, b.python, b.rounds, ours, gzip)
	b.ratios.part("analyze / gzip -dc", m, ours, gzip, 0.8, 0.45)
	if m.json >= 150_000_000 {
		b.ratios.memory(m, ours)
	}
}

// steps is how many of them analyze finds.
func steps(t *testing.T, s *subject) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), s.argv[0], s.argv[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", s.argv, err)
	}
	var sets []analysis.Set
	if err := json.Unmarshal(out, &sets); err != nil {
		t.Fatal(err)
	}
	return len(sets[0].Traces[0].Steps)
}

// trim holds a tenth of the steps, from the middle, against compressing all of the file
// again.
func (b *bench) trim(t *testing.T, m made) {
	t.Helper()
	all := steps(t, b.analyze(m))
	n := all / 10
	if n == 0 {
		t.Fatalf("%s: %d steps, of which there is no tenth", m.name, all)
	}
	first := (all - n) / 2
	ours := &subject{argv: []string{b.profjob, "trim", m.path, "--steps", fmt.Sprintf("%d..%d", first, first+n-1), "--force", "-o", filepath.Join(b.dir, "trimmed.json.gz")}}
	again := pipeline("gzip -dc " + m.path + " | gzip -1")
	measure(t, b.python, b.rounds, ours, again)
	b.ratios.part(fmt.Sprintf("trim of %d of %d steps / gzip -dc, gzip -1", n, all), m, ours, again, 0.5, 0.2)
}

// jsonLoads holds analyze against Python that does nothing but read the file.
func (b *bench) jsonLoads(t *testing.T, m made) {
	t.Helper()
	ours, loads := b.analyze(m), &subject{argv: []string{b.python, "loads.py", m.path}}
	measure(t, b.python, min(b.rounds, 5), ours, loads)
	b.ratios.faster("Python gzip and json.loads / analyze", m, ours, loads, 10, 18)
}

// holistic holds analyze against HolisticTraceAnalysis, whole processes.
func (b *bench) holistic(t *testing.T, m made) {
	t.Helper()
	ours, hta := b.analyze(m), &subject{argv: []string{b.python, "breakdown.py", m.path}}
	measure(t, b.python, min(b.rounds, 3), ours, hta)
	b.ratios.faster("HolisticTraceAnalysis / analyze", m, ours, hta, 30, 60)
	b.ratios.add(ratio{what: "memory of HolisticTraceAnalysis / analyze", file: m.name, ours: megabytes(ours.peak), peer: megabytes(hta.peak),
		value: float64(hta.peak) / float64(ours.peak), must: 8, aim: 15, atLeast: true})
}

// growth holds the cost of an event in a file of 10 and 50 times the size against that
// in the file itself. The start of a process, which is the same for all, is measured as
// well and taken off; the small files are read more often, so that all are measured for
// about as long.
func (b *bench) growth(t *testing.T, r *repeatable) {
	t.Helper()
	start := &subject{argv: []string{b.profjob, "version"}, runs: 10}
	times := []int{1, 10, 50}
	subjects, files := []*subject{start}, make([]made, len(times))
	for i, n := range times {
		files[i] = r.repeat(t, b.dir, n)
		s := b.analyze(files[i])
		s.runs = max(10/n, 1)
		subjects = append(subjects, s)
	}
	measure(t, b.python, b.rounds, subjects...)
	perEvent := func(i int) float64 {
		return float64(subjects[i+1].median()-start.median()) / float64(files[i].events)
	}
	for i := 1; i < len(times); i++ {
		b.ratios.add(ratio{what: fmt.Sprintf("cost of an event, %d × / 1 ×", times[i]), file: r.name,
			ours: fmt.Sprintf("%.0f ns", perEvent(i)), peer: fmt.Sprintf("%.0f ns", perEvent(0)),
			value: perEvent(i) / perEvent(0), must: 1.1, aim: 1.1})
	}
	b.ratios.memory(files[len(files)-1], subjects[len(subjects)-1])
	for _, f := range files {
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s: start of a process %v", r.name, start.median().Round(time.Microsecond))
}
