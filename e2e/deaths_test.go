//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// death is how a run ends before its time: at the beginning of a plan step, or of a
// part of its window.
type death struct {
	job, at string
	dies    dying
}

// dying does to a run what ends it.
type dying struct {
	name string
	// do is given the process that was started, which leads a group of its own.
	do func(*testing.T, *exec.Cmd)
	// parent: the run is the child of a shell, which is what was started.
	parent bool
	// killed: profjob has no say in it, and its run is left to guard and resume.
	killed bool
	// gaveUp: no traces are collected (a second interrupt).
	gaveUp bool
}

var dyings = []dying{
	{name: "SIGKILL", do: to(false, syscall.SIGKILL), killed: true},
	{name: "SIGKILL to its group", do: to(true, syscall.SIGKILL), killed: true},
	{name: "SIGTERM", do: to(false, syscall.SIGTERM)},
	{name: "SIGHUP", do: to(false, syscall.SIGHUP)},
	{name: "SIGINT to its group", do: to(true, syscall.SIGINT)},
	{name: "SIGINT twice", do: to(false, syscall.SIGINT, syscall.SIGINT), gaveUp: true},
	{name: "SIGINT, SIGTERM, SIGHUP", do: to(false, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP), killed: true, gaveUp: true},
	{name: "parent dies", do: to(false, syscall.SIGKILL), parent: true},
	{name: "SIGTERM to its group, then the parent dies", do: to(true, syscall.SIGTERM), parent: true},
}

// to sends signals, a little apart: of two that come at once the second is lost. They
// go to the process, or to all of its group.
func to(group bool, signals ...syscall.Signal) func(*testing.T, *exec.Cmd) {
	return func(t *testing.T, cmd *exec.Cmd) {
		pid := cmd.Process.Pid
		if group {
			pid = -pid
		}
		for i, s := range signals {
			if i > 0 {
				time.Sleep(20 * time.Millisecond)
			}
			_ = syscall.Kill(pid, s) // it may have ended
		}
	}
}

// deathPlaces are all plan steps, by a job that has them.
var deathPlaces = map[string][]string{
	"launched": {"launch", "probe", "preflight", "warmup", "before the start", atStart, atWindow, atStop, "after the stop", "collect", "verify", "shutdown", "analyze", "seal"},
	"gated":    {"probe", atStart, atWindow, atStop, "collect", "verify", "analyze", "seal"},
}

// TestDeaths ends runs at scripted points in every way that a process ends, and
// checks what must hold after each.
func TestDeaths(t *testing.T) {
	var all []death
	for _, job := range []string{"launched", "gated"} {
		for _, at := range deathPlaces[job] {
			for _, d := range dyings {
				all = append(all, death{job, at, d})
			}
		}
	}
	if !wanted("PROFJOB_FAULTS") {
		all = everyNth(all, 17, 3)
	}
	rows := sideBySide(t, all, func(d death) string { return d.job + " " + d.at + " " + d.dies.name }, playDeath)
	printTable(t, "job\tat\tdeath\tcut off in\texit\toff after\tresumed\tstatus\ttraces kept", rows)
	fmt.Printf("%d deaths\n", len(rows))
}

func playDeath(t *testing.T, d death) string {
	a := newArena(t, embeddedVictim(t), "jobs/chaos.hcl")
	cmd := a.job(t, d.job)
	if d.dies.parent {
		cmd = a.shelled(cmd)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	done, err := begin(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if !a.await(d.at, done) {
		t.Logf("it was over before it was seen at %s", d.at)
	}
	d.dies.do(t, cmd)
	died := time.Now()
	if d.dies.parent {
		_ = syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
		_ = input.Close() // as the pipes of a runner that is gone
	}
	<-done
	a.waitGone(t)
	off := a.awaitOff(t).Sub(died)

	exit := cmd.ProcessState.ExitCode()
	left := a.unfinished(t)
	rest := a.resume(t)
	a.noTemporaryFiles(t)
	var others map[string]bool
	if d.dies.gaveUp {
		others = a.finished(t)
	}
	kept, status := a.kept(t, others), "–"
	for _, m := range a.manifests(t) {
		status = string(m.Status)
	}
	switch {
	case !d.dies.parent && !d.dies.killed && exit != 0 && exit != 130:
		t.Errorf("exit %d, want 130, or 0 where it was over", exit)
	case len(left) > 0 && !d.dies.killed:
		t.Errorf("not sealed: %v", left)
	}
	if text := out.String(); strings.Contains(text, "panic:") || strings.Contains(text, "goroutine ") {
		t.Error("a panic reached the user")
	}
	if t.Failed() {
		t.Logf("exit %d, output:\n%s", exit, out.String())
		a.show(t)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%d", d.job, d.at, d.dies.name, rest.at, exit, seconds(off), rest.sealed, status, kept)
}

// shelled is a command as the child of a shell that leads its process group, as a CI
// runner starts it.
func (a *arena) shelled(cmd *exec.Cmd) *exec.Cmd {
	sh := exec.Command("sh", append([]string{"-c", `"$@"; exit $?`, "sh"}, cmd.Args...)...)
	sh.Dir, sh.Env, sh.SysProcAttr = cmd.Dir, cmd.Env, cmd.SysProcAttr
	return sh
}
