//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestChaos kills profjob with SIGKILL at random moments of real runs and checks,
// after each, what must hold whatever dies. PROFJOB_CHAOS is the number of kills.
func TestChaos(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("PROFJOB_CHAOS"))
	if err != nil {
		n = 12
	}
	seed := chaosSeed(t)
	jobs := []string{"steps", "manual", "gated", "launched"}
	killers := make([]*killer, min(n, 4))
	table := &kills{jobs: jobs, engine: "embedded", of: map[string]*killed{}}
	var wg sync.WaitGroup
	for i := range killers {
		k := &killer{arena: newArena(t, embeddedVictim(t), "jobs/chaos.hcl"), table: table, took: map[string]time.Duration{}}
		wg.Go(func() {
			t.Run(fmt.Sprintf("server %d", i+1), func(t *testing.T) {
				k.measure(t, jobs)
				for j := i; j < n && !t.Failed(); j += len(killers) {
					k.kill(t, rand.New(rand.NewPCG(seed, uint64(j))), j, jobs[(i+j/len(killers))%len(jobs)])
				}
			})
		})
	}
	wg.Wait()
	table.print(t)
}

// chaosVLLM does the same to a real vLLM: 20 kills in the long part, 3 else.
func chaosVLLM(t *testing.T, v *victim) {
	n := 3
	if full() {
		n = 20
	}
	seed := chaosSeed(t)
	jobs := []string{"steps", "manual", "gated"}
	table := &kills{jobs: jobs, engine: "vLLM 0.32.0", of: map[string]*killed{}}
	k := &killer{arena: newArena(t, v, "jobs/chaos.hcl"), table: table, took: map[string]time.Duration{}}
	k.measure(t, jobs)
	for j := 0; j < n && !t.Failed(); j++ {
		k.kill(t, rand.New(rand.NewPCG(seed, uint64(j))), j, jobs[j%len(jobs)])
	}
	table.print(t)
}

// chaosSeed makes the moments of the kills.
func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PROFJOB_CHAOS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PROFJOB_CHAOS_SEED=%d", seed)
	return seed
}

// killer kills runs on one server, one after the other.
type killer struct {
	*arena
	table *kills
	// took is how long a whole run of each job takes: kills come within that time.
	took map[string]time.Duration
}

// measure runs each job once.
func (k *killer) measure(t *testing.T, jobs []string) {
	t.Helper()
	for _, job := range jobs {
		began := time.Now()
		if out, err := k.job(t, job).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", job, err, out)
		}
		k.took[job] = time.Since(began)
	}
	k.clear(t)
}

// kill kills one run and checks everything that must hold.
func (k *killer) kill(t *testing.T, r *rand.Rand, i int, job string) {
	t.Helper()
	cmd := k.job(t, job)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, began := make(chan error, 1), time.Now()
	go func() { ended <- cmd.Wait() }()
	moment := time.After(time.Duration(r.Int64N(int64(k.took[job]))))
	var err error
	over := false
	select {
	case err = <-ended: // it was faster than those before it
		over, k.took[job] = true, time.Since(began)
	case <-moment:
	}
	// Every other time all of its process group, as a shell or a CI runner does.
	pid := cmd.Process.Pid
	if r.IntN(2) == 0 {
		pid = -pid
	}
	at := time.Now()
	if !over {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		err = <-ended
	}
	var exit *exec.ExitError
	one := killed{kills: 1, phases: map[string]int{}}
	if err == nil || errors.As(err, &exit) && exit.Exited() {
		one.whole = 1
	}
	k.waitGone(t)
	one.offMost = k.awaitOff(t).Sub(at)
	rest := k.resume(t)
	one.resumed, one.nothing = rest.sealed, rest.nothing
	if rest.at != "" {
		one.phases[rest.at] = 1
	}
	k.noTemporaryFiles(t)
	one.traces = k.kept(t, nil)
	k.table.add(job, one)
	if t.Failed() {
		t.Logf("kill %d of %s; its output:\n%s", i, job, out.String())
		k.show(t)
		return
	}
	k.clear(t)
}

// killed is what became of the runs of one job.
type killed struct {
	kills, whole, resumed, nothing int // whole: it had ended before the kill
	offMost                        time.Duration
	traces                         int
	phases                         map[string]int
}

// kills are those of all jobs. Killers may add to it at the same time.
type kills struct {
	engine string
	jobs   []string
	mu     sync.Mutex
	of     map[string]*killed
}

func (k *kills) add(job string, one killed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	sum := k.of[job]
	if sum == nil {
		sum = &killed{phases: map[string]int{}}
		k.of[job] = sum
	}
	sum.kills, sum.whole, sum.resumed, sum.nothing = sum.kills+one.kills, sum.whole+one.whole, sum.resumed+one.resumed, sum.nothing+one.nothing
	sum.traces, sum.offMost = sum.traces+one.traces, max(sum.offMost, one.offMost)
	for p := range one.phases {
		sum.phases[p]++
	}
}

func (k *kills) print(t *testing.T) {
	t.Helper()
	var rows []string
	total := 0
	for _, job := range k.jobs {
		sum, ok := k.of[job]
		if !ok {
			continue
		}
		total += sum.kills
		var phases []string
		for _, p := range slices.Sorted(maps.Keys(sum.phases)) {
			phases = append(phases, fmt.Sprintf("%s %d", p, sum.phases[p]))
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.0f ms\t%s", k.engine, job, sum.kills, sum.whole, sum.resumed, sum.nothing, sum.traces,
			1000*sum.offMost.Seconds(), strings.Join(phases, ", ")))
	}
	printTable(t, "server\tjob\tkills\tended before\tresumed\tnothing begun\ttraces kept\toff after, at most\tkilled in", rows)
	if !t.Failed() {
		fmt.Printf("%d kills, invariants violated: 0 (profiler and gate off, no process, no temporary file, sealed or resumed, every finished trace kept and hashed, exit code documented)\n", total)
	}
}
