//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fault is a way to misbehave, and what a run must make of it.
type fault struct {
	name string
	// What misbehaves: the server itself, which is the embedded engine with such
	// flags, or launched with them by the run (job "launched"); and a proxy before it.
	engine []string
	do     misbehaviour
	// Which requests the proxy does it to: those whose path begins so ("": all but the
	// load's), while the run is there by its journal ("": wherever), only so many of
	// them (0: all), and only for so long after the first (0: without end).
	path  string
	at    string
	times int
	lasts time.Duration
	// gateway: the proxy goes on to accept connections when the server is gone, and
	// cuts them.
	gateway bool
	// before and beside are what somebody else does: before the run begins, and once its window is open.
	before, beside func(*testing.T, *arena)

	job   string // of jobs/faults.hcl; "": steps
	vars  []string
	exits []int // any of them
	long  bool  // takes more than 15 s: not in the bounded part
	kept  bool  // a whole trace of a worker must be in the run
	left  bool  // what the server has finished cannot be had, and is left there
	off   proof
	// real: also where the server is a real vLLM; realFull: in the long part.
	real, realFull bool
}

// proof is how it is shown that the profiler is off once the run has ended.
type proof string

const (
	byState proof = ""           // a start that is refused in any case is not refused because of a session, and a stop writes nothing
	byStop  proof = "stop"       // a stop writes nothing; versions before 0.32 do not tell of their session
	byEnd   proof = "server end" // nobody listens any more
	theirs  proof = "still on"   // it is somebody else's session, which was on before and must be still
)

// TestFaults has servers misbehave in every way seen in the field and some more, and
// checks after each that the profiler is off, that the run is sealed with an exit code
// as documented, that what was recorded is kept, and that nothing is left behind.
func TestFaults(t *testing.T) {
	all := slices.Concat(requestFaults, serverFaults)
	if !wanted("PROFJOB_FAULTS") {
		all = everyNth(slices.DeleteFunc(all, func(f fault) bool { return f.long }), 6, 1)
	}
	rows := sideBySide(t, all, func(f fault) string { return f.title() }, func(t *testing.T, f fault) string {
		return f.play(t, f.victim(t))
	})
	printFaults(t, rows)
}

// TestReliabilityVLLM kills runs on a real vLLM, and puts the proxy before it: one
// server for all of it, which must be well at the end.
func TestReliabilityVLLM(t *testing.T) {
	v := vllmVictim(t, "0.32.0")
	t.Run("chaos", func(t *testing.T) { chaosVLLM(t, v) })
	t.Run("faults", func(t *testing.T) { faultsVLLM(t, v) })
	if err := v.complete("4"); err != nil {
		t.Errorf("the server does not answer any more: %v", err)
	}
}

// faultsVLLM has some of the faults: 12 in the long part, 3 else.
func faultsVLLM(t *testing.T, v *victim) {
	var some []fault
	for _, f := range slices.Concat(requestFaults, serverFaults) {
		if f.real || full() && f.realFull {
			some = append(some, f)
		}
	}
	var rows []string
	for _, f := range some {
		t.Run(f.title(), func(t *testing.T) { rows = append(rows, f.play(t, v)) })
	}
	printFaults(t, rows)
}

func printFaults(t *testing.T, rows []string) {
	t.Helper()
	printTable(t, "request or plan step\tfault\thits\texit\tstatus\toff after\toff by\ttraces kept\ttook", rows)
	fmt.Printf("%d faults\n", len(rows))
}

// wanted tells whether all of something was asked for by a variable, or as part of all.
func wanted(variable string) bool { return full() || os.Getenv(variable) != "" }

// everyNth leaves out the others.
func everyNth[T any](all []T, n, from int) (some []T) {
	for i := from; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// sideBySide plays each case as a subtest, a few at a time, and gives their rows in order.
func sideBySide[T any](t *testing.T, cases []T, name func(T) string, play func(*testing.T, T) string) []string {
	t.Helper()
	const most = 5 // much of a case is waiting
	rows := make([]string, len(cases))
	next := make(chan int)
	var wg sync.WaitGroup
	for range most {
		wg.Go(func() {
			for i := range next {
				rows[i] = name(cases[i])
				t.Run(name(cases[i]), func(t *testing.T) { rows[i] = play(t, cases[i]) })
			}
		})
	}
	for i := range cases {
		next <- i
	}
	close(next)
	wg.Wait()
	return rows
}

func (f fault) title() string {
	return strings.Trim(strings.Join([]string{f.job, f.at, f.path, f.name}, " "), " ")
}

// where says which requests are hit, for the table.
func (f fault) where() string {
	where := strings.TrimSpace(f.at + " " + f.path)
	if where == "" {
		where = "the server"
	}
	if f.job != "" {
		where = f.job + ": " + where
	}
	return where
}

// victim is the server of one fault.
func (f fault) victim(t *testing.T) *victim {
	t.Helper()
	if f.job == "launched" {
		return unstarted(t, t.TempDir(), f.engine...)
	}
	return embeddedVictim(t, f.engine...)
}

// play runs the fault's job and gives the row of the table.
func (f fault) play(t *testing.T, v *victim) string {
	a := newArena(t, v, "jobs/faults.hcl")
	p := newFaultProxy(t, a, f)
	a.reach, a.vars = "http://"+p.address, slices.Clone(f.vars)
	if f.job == "launched" {
		a.vars = append(a.vars, "command="+v.launchCommand(t))
		go p.listenOnce(a, t.Context().Done())
	} else if err := p.listen(); err != nil {
		t.Fatal(err)
	}
	if f.before != nil {
		f.before(t, a)
	}
	others := v.finished(t)
	began := time.Now()
	exit, stderr := f.run(t, a)
	took := time.Since(began)

	row := f.judge(t, a, p, exit, stderr, others)
	if t.Failed() {
		t.Logf("exit %d, stderr:\n%s", exit, stderr)
		a.show(t)
	}
	a.clear(t)
	return row + "\t" + seconds(took)
}

// run runs the job to its end.
func (f fault) run(t *testing.T, a *arena) (exit int, stderr string) {
	t.Helper()
	cmd := a.job(t, cmp.Or(f.job, "steps"))
	var said bytes.Buffer
	cmd.Stderr = &said
	done, err := begin(cmd)
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(4*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	if f.beside != nil && a.await(atWindow, done) {
		f.beside(t, a)
	}
	<-done
	return cmd.ProcessState.ExitCode(), said.String()
}

// judge checks what must hold, and gives all of the row but the time it took.
func (f fault) judge(t *testing.T, a *arena, p *faultProxy, exit int, stderr string, others map[string]bool) string {
	t.Helper()
	if !slices.Contains(f.exits, exit) || !documented(exit) {
		t.Errorf("exit %d, want one of %v", exit, f.exits)
	}
	if strings.Contains(stderr, "panic:") || strings.Contains(stderr, "goroutine ") {
		t.Error("a panic reached the user")
	}
	if f.do != nil && p.hits == 0 {
		t.Error("it was never asked for")
	}
	off, after := f.proveOff(t, a), p.offAfter()
	a.waitGone(t)
	a.noTemporaryFiles(t)
	if left := a.unfinished(t); len(left) > 0 {
		t.Errorf("not sealed: %v", left)
	}
	if f.left || f.off == theirs { // theirs is written by a stop of their own
		others = a.finished(t)
	}
	kept, status := a.kept(t, others), "?"
	for _, m := range a.manifests(t) {
		status = string(m.Status)
	}
	if f.kept && kept == 0 {
		t.Error("no trace was kept")
	}
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%s\t%s\t%s\t%d", f.where(), f.name, p.hits, exit, status, after, off, kept)
}

// proveOff has the fault's proof that the profiler is off, and says what it was.
func (f fault) proveOff(t *testing.T, a *arena) string {
	t.Helper()
	switch f.off {
	case byEnd:
		if a.victim.listens() {
			t.Error("the server still listens")
		}
	case theirs:
		if !a.sessionOn(t) {
			t.Error("the session of somebody else was ended")
		}
		post(t, a.endpoint+pathStop, "")
	case byStop:
		a.stopProves(t)
	default:
		if a.sessionOn(t) || a.gateBusy(t) {
			t.Error("the profiler or the gate is still on")
		}
		a.stopProves(t)
		return "state, stop"
	}
	return string(f.off)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// servers are the servers that runs have launched.
func (a *arena) servers() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		environ, err := os.ReadFile(name)
		command, err2 := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if errors.Join(err, err2) != nil || !bytes.Contains(environ, []byte(a.mark())) || !bytes.Contains(command, []byte("\x00engine\x00")) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(filepath.Dir(name)), "%d", &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// launchCommand is the command of an engine that a run launches, in HCL: where traces
// go it is told by the run.
func (v *victim) launchCommand(t *testing.T) string {
	t.Helper()
	command := []string{profjob(t)}
	for i := 0; i < len(v.args); i++ {
		if v.args[i] == "--trace-dir" {
			i++
			continue
		}
		command = append(command, v.args[i])
	}
	return hclStrings(command)
}
