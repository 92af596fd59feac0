//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"profjob/internal/analysis"
	"profjob/internal/trace"
)

// TestBenchTraces measures what is said of reading traces, each against a peer in the
// same run: rounds of ours and theirs in turn, of which the median counts. It prints
// the table and fails where a bound is missed.
func TestBenchTraces(t *testing.T) {
	if os.Getenv("PROFJOB_BENCH_TRACES") == "" {
		t.Skip("make bench-traces runs it")
	}
	root, dir, venv := sharedTraces(t), t.TempDir(), peers(t)
	b := &bench{t: t, profjob: profjob(t), python: filepath.Join(venv, "bin/python")}
	training := largeFiles(t, dir, filepath.Join(root, "hta/diff-control.json.gz"), 4)[0]
	b.decompression("4 × hta/diff-control", training)
	b.peers(training)
	b.trim(training, dir)
	if err := os.Remove(training.path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vllm-cpu/v0.32.0-max6-all-options", "vllm-cpu/v0.32.0-manual-detailed"} {
		one := filepath.Join(root, name+".json.gz")
		sub := filepath.Join(dir, filepath.Base(name))
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		f := largeFiles(t, sub, one, timesFor(t, one, 160<<20))[0]
		b.decompression(fmt.Sprintf("%s, repeated", name), f)
		b.trim(f, sub)
		if err := os.RemoveAll(sub); err != nil {
			t.Fatal(err)
		}
	}
	b.events(filepath.Join(root, "vllm-cpu/v0.32.0-manual-detailed.json.gz"), dir)
	b.print()
}

// TestBenchHuge analyses 5 GB of JSON within the bound on memory.
func TestBenchHuge(t *testing.T) {
	if os.Getenv("PROFJOB_BENCH_HUGE") == "" {
		t.Skip("make bench-huge runs it")
	}
	one := filepath.Join(sharedTraces(t), "hta/diff-control.json.gz")
	f := largeFiles(t, t.TempDir(), one, timesFor(t, one, 5_000_000_000))[0]
	b := &bench{t: t, profjob: profjob(t), rounds: 1}
	b.decompression("hta/diff-control to 5 GB", f)
	b.print()
}

// timesFor is how often a trace has to be repeated for a size of JSON.
func timesFor(t *testing.T, path string, size int64) int {
	t.Helper()
	out, err := exec.Command("gzip", "-dc", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return int(size/int64(len(out))) + 1
}

type bench struct {
	t       *testing.T
	profjob string
	python  string
	rounds  int // of each comparison; 0: seven
	rows    []string
}

// cost is what a process took.
type cost struct {
	wall time.Duration
	peak int64 // bytes resident, of the process that took most
}

// run runs a command line of the shell's once, of which the last process counts for
// memory.
func (b *bench) run(line string) cost {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), "bash", "-c", "set -o pipefail; "+line)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(began)}
	if err != nil {
		b.t.Fatalf("%s: %v: %s", line, err, stderr.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss << 10
	}
	return c
}

// inTurn runs two command lines in turn and gives the median of each.
func (b *bench) inTurn(ours, theirs string, rounds int) (a, o cost) {
	b.t.Helper()
	var as, os []cost
	for range rounds {
		as, os = append(as, b.run(ours)), append(os, b.run(theirs))
	}
	return medianCost(as), medianCost(os)
}

func medianCost(all []cost) cost {
	var walls []time.Duration
	var peak int64
	for _, c := range all {
		walls, peak = append(walls, c.wall), max(peak, c.peak)
	}
	slices.Sort(walls)
	return cost{walls[len(walls)/2], peak}
}

func (b *bench) times() int {
	if b.rounds > 0 {
		return b.rounds
	}
	return 7
}

func (b *bench) analyze(path string) string {
	return fmt.Sprintf("exec %s analyze -o json %s >/dev/null", b.profjob, path)
}

// decompression compares with gzip alone, and memory with the size of the JSON.
func (b *bench) decompression(name string, f largeFile) {
	ours, gzip := b.inTurn(b.analyze(f.path), "exec gzip -dc "+f.path+" >/dev/null", b.times())
	b.row(name+": analyze / gzip -dc", inSeconds(ours), inSeconds(gzip), ours.wall.Seconds()/gzip.wall.Seconds(), 0.8, 0.45)
	must, aim := float64(f.json)/5+64<<20, float64(f.json)*0.08
	b.row(name+": peak memory / JSON", mib(ours.peak), mib(f.json), float64(ours.peak)/float64(f.json), must/float64(f.json), aim/float64(f.json))
}

// peers compares with what Python tools need for the same.
func (b *bench) peers(f largeFile) {
	ours, loads := b.inTurn(b.analyze(f.path), fmt.Sprintf("exec %s peers/loads.py %s >/dev/null", b.python, f.path), 3)
	b.faster("json.loads / analyze", inSeconds(ours), inSeconds(loads), loads.wall.Seconds()/ours.wall.Seconds(), 10, 18)
	ours, hta := b.inTurn(b.analyze(f.path), fmt.Sprintf("exec %s peers/breakdown.py %s >/dev/null", b.python, f.path), 3)
	b.faster("HolisticTraceAnalysis / analyze, time", inSeconds(ours), inSeconds(hta), hta.wall.Seconds()/ours.wall.Seconds(), 30, 60)
	b.faster("HolisticTraceAnalysis / analyze, memory", mib(ours.peak), mib(hta.peak), float64(hta.peak)/float64(ours.peak), 8, 15)
}

// trim compares cutting a tenth of the steps out with compressing all of it again.
func (b *bench) trim(f largeFile, dir string) {
	steps := 0
	for _, s := range analyzed(b.t, f.path).Steps {
		steps = max(steps, s.Index+1)
	}
	if steps < 10 {
		b.t.Logf("%s has %d steps: a tenth cannot be cut out", f.path, steps)
		return
	}
	cut := fmt.Sprintf("exec %s trim %s --steps %d..%d --force -o %s >/dev/null", b.profjob, f.path, steps/2, steps/2+steps/10-1, filepath.Join(dir, "cut.json.gz"))
	ours, again := b.inTurn(cut, "gzip -dc "+f.path+" | gzip -1 >/dev/null", b.times())
	b.row(fmt.Sprintf("trim %d of %d steps / gzip -dc | gzip -1", steps/10, steps), inSeconds(ours), inSeconds(again), ours.wall.Seconds()/again.wall.Seconds(), 0.5, 0.2)
}

// events compares what an event costs as files grow. Small files are read often within
// one process, so that its start does not count.
func (b *bench) events(src, dir string) {
	files := largeFiles(b.t, dir, src, 1, 10, 50)
	each := make([][]float64, len(files))
	for range b.times() {
		for i, f := range files {
			n := 50 / (f.events / files[0].events)
			began := time.Now()
			for range n {
				if _, err := analysis.ReadSet(b.t.Context(), []analysis.Input{{Path: f.path}}, trace.ScanOptions{}); err != nil {
					b.t.Fatal(err)
				}
			}
			each[i] = append(each[i], float64(time.Since(began).Nanoseconds())/float64(n*f.events))
		}
	}
	for i := range each {
		slices.Sort(each[i])
	}
	one := each[0][len(each[0])/2]
	for i, f := range files[1:] {
		ns := each[i+1][len(each[i+1])/2]
		b.row(fmt.Sprintf("ns an event: %d × / 1 ×", f.events/files[0].events), fmt.Sprintf("%.0f", ns), fmt.Sprintf("%.0f", one), ns/one, 1.1, 1.1)
	}
}

func inSeconds(c cost) string { return fmt.Sprintf("%.2f s", c.wall.Seconds()) }

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// row adds a ratio that must not be larger than a bound.
func (b *bench) row(what, ours, theirs string, ratio, must, aim float64) {
	b.t.Helper()
	b.add(what, ours, theirs, ratio, "≤", must, aim, ratio <= must, ratio <= aim)
}

// faster adds a ratio that must not be smaller.
func (b *bench) faster(what, ours, theirs string, ratio, must, aim float64) {
	b.t.Helper()
	b.add(what, ours, theirs, ratio, "≥", must, aim, ratio >= must, ratio >= aim)
}

func (b *bench) add(what, ours, theirs string, ratio float64, sign string, must, aim float64, met, aimMet bool) {
	b.t.Helper()
	said := "must"
	switch {
	case !met:
		said = "MISSED"
		b.t.Errorf("%s: %.2f, must be %s %.2f", what, ratio, sign, must)
	case aimMet:
		said = "aim"
	}
	b.rows = append(b.rows, fmt.Sprintf("| %s | %s | %s | %.2f | %s %.2f | %s %.2f | %s |", what, ours, theirs, ratio, sign, must, sign, aim, said))
}

func (b *bench) print() {
	fmt.Println("\n| what | profjob | peer | ratio | must | aim | met |\n| --- | --- | --- | --- | --- | --- | --- |\n" + strings.Join(b.rows, "\n"))
}
