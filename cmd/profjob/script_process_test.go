package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// process is a program that runs in the background of a script.
type process struct {
	cmd      *exec.Cmd
	exited   chan struct{} // closed once it was waited for
	terminal *os.File      // the user's end, nil for a program without one
}

// cmdCode runs a program and checks its exit code: code N PROGRAM ARGS…
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 2, "code N PROGRAM ARGS…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// exitCode gives −1 for a program that did not exit by itself.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// cmdStart starts a program in the background: start NAME [-weak] PROGRAM ARGS…
// Its output goes to NAME.out and NAME.err; it is killed when the script ends.
// A weak one is bound by the modes of files even if the superuser runs it.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 2, "start NAME [-weak] PROGRAM ARGS…")
	launch := (*exec.Cmd).Start
	if args[1] == "-weak" {
		launch, args = startWeak, slices.Delete(args, 1, 2)
	}
	startProcess(ts, launch, args[0], args[1], args[2:]...)
}

func startProcess(ts *testscript.TestScript, launch func(*exec.Cmd) error, name, program string, args ...string) *process {
	path, err := exec.LookPath(program)
	ts.Check(err)
	stdout, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer stdout.Close()
	defer stderr.Close()
	p := &process{cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = ts.MkAbs("."), environOf(ts), stdout, stderr
	ts.Check(launch(p.cmd))
	go func() {
		_ = p.cmd.Wait() // how it ended is in its ProcessState
		close(p.exited)
	}()
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
	})
	scriptOf(ts).processes[name] = p
	return p
}

// environOf is the script's environment, of which a TestScript shows only single
// variables: what is needed of it is asked for by name.
func environOf(ts *testscript.TestScript) []string {
	env := []string{"PWD=" + ts.MkAbs(".")}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TERM", "PROFJOB_STATE_DIR", "NO_COLOR", "GOCOVERDIR", "GORACE",
		"PROFJOB_VAR_endpoint", "PROFJOB_VAR_trace_dir", "PROFJOB_VAR_token", "PROFJOB_VAR_key", "PROFJOB_VAR_secret", "PROFJOB_GATE_SECRET", "PROFJOB_GATE_ROOT",
		"PROFILER_TOKEN_THRESHOLD", "PROFILER_STOP_STEP"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func processOf(ts *testscript.TestScript, name string) *process {
	p, ok := scriptOf(ts).processes[name]
	if !ok {
		ts.Fatalf("nothing was started as %s", name)
	}
	return p
}

// cmdSignal sends a signal to a process in the background: signal NAME INT|TERM|HUP|KILL
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	usageOf(ts, neg, false, len(args) == 2 && signals[args[1]] != 0, "signal NAME INT|TERM|HUP|KILL")
	ts.Check(processOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// cmdEnded waits for a process in the background and checks its exit code: ended NAME CODE
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "ended NAME CODE")
	p := processOf(ts, args[0])
	select {
	case <-p.exited:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended within %s:\n%s", args[0], patience, outputOf(ts, args[0]))
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with exit code %s, want %s:\n%s", args[0], got, args[1], outputOf(ts, args[0]))
	}
}

func outputOf(ts *testscript.TestScript, name string) string {
	return ts.ReadFile(name+".out") + ts.ReadFile(name+".err")
}

// cmdUntil waits until a file of a pattern has a line that matches: until REGEXP FILE
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "until REGEXP FILE")
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var text string
	met := poll(func() bool {
		names, err := filepath.Glob(ts.MkAbs(args[1]))
		ts.Check(err)
		text = ""
		for _, n := range names {
			data, err := os.ReadFile(n)
			if err == nil {
				text += string(data)
			}
		}
		return re.MatchString(text)
	})
	if !met {
		ts.Fatalf("%s does not match %s within %s:\n%s", args[1], args[0], patience, strings.TrimSpace(text))
	}
}

// poll looks at a condition until it holds; false once the patience is over.
func poll(holds func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}
