package proc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of a test.
const patience = 20 * time.Second

// shell starts a script of /bin/sh; what is left of it ends with the test.
func shell(t *testing.T, script string) (p *Process, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	p, err := Start(Spec{Command: []string{"sh", "-c", script}, Env: os.Environ(), Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.End(context.Background(), 0); err != nil {
			t.Error(err)
		}
		<-p.Exited()
	})
	return p, log
}

// until waits until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// logged waits until the log has a line that begins so, and gives the rest of it.
func logged(t *testing.T, log, begin string) string {
	t.Helper()
	var rest string
	until(t, "a log line "+begin, func() bool {
		for line := range strings.Lines(read(t, log)) {
			if after, ok := strings.CutPrefix(line, begin); ok && strings.HasSuffix(line, "\n") {
				rest = strings.TrimSpace(after)
				return true
			}
		}
		return false
	})
	return rest
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// lives tells whether a process runs; a zombie does not.
func lives(t *testing.T, pid string) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	state, _, ok := parseStat(data)
	return ok && state != 'Z' && state != 'X'
}

func exitCode(t *testing.T, p *Process) int {
	t.Helper()
	select {
	case <-p.Exited():
	case <-time.After(patience):
		t.Fatal("the process has not ended")
	}
	var exit *exec.ExitError
	if err := p.ExitError(); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0
}

func TestExit(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": -1} {
		t.Run(script, func(t *testing.T) {
			p, _ := shell(t, script)
			if got := exitCode(t, p); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
			if err := p.End(context.Background(), patience); err != nil {
				t.Errorf("End after the end: %v", err)
			}
		})
	}
}

func TestExitErrorIsNilWhileItRuns(t *testing.T) {
	p, log := shell(t, "echo up; sleep 60")
	logged(t, log, "up")
	if err := p.ExitError(); err != nil {
		t.Errorf("ExitError is %v while the process runs", err)
	}
	select {
	case <-p.Exited():
		t.Error("Exited is closed while the process runs")
	default:
	}
}

func TestLogHoldsBothStreamsInOrder(t *testing.T) {
	p, log := shell(t, "echo one; echo two >&2; echo three")
	exitCode(t, p)
	if got, want := read(t, log), "one\ntwo\nthree\n"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %v: it may hold secrets", info.Mode().Perm())
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	t.Setenv("PROC_TEST", "of this process")
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	p, err := Start(Spec{Command: []string{"/bin/sh", "-c", `pwd; echo "a=$A test=$PROC_TEST"`},
		Env: []string{"A=first", "A=last"}, Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	exitCode(t, p)
	if got, want := read(t, log), dir+"\na=last test=\n"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
}

func TestEndIsAskedFirst(t *testing.T) {
	p, log := shell(t, `trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.01; done`)
	logged(t, log, "up")
	if err := p.End(context.Background(), patience); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, p); got != 3 {
		t.Errorf("exit code %d, want 3: it was not given the time to end", got)
	}
	logged(t, log, "asked")
}

func TestEndKillsGrandchildren(t *testing.T) {
	p, log := shell(t, `sh -c 'sleep 60 & echo grandchild $!; wait' & echo child $!; wait`)
	child, grandchild := logged(t, log, "child "), logged(t, log, "grandchild ")
	if err := p.End(context.Background(), patience); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{strconv.Itoa(p.PID()), child, grandchild} {
		if lives(t, pid) {
			t.Errorf("process %s lives on after End", pid)
		}
	}
}

func TestEndKillsWhatOutlivedItsParent(t *testing.T) {
	p, log := shell(t, `sh -c 'trap "" TERM; echo orphan $$; while :; do sleep 0.01; done' & exit 0`)
	orphan := logged(t, log, "orphan ")
	exitCode(t, p)
	if !lives(t, orphan) {
		t.Fatal("the orphan ended by itself: the test shows nothing")
	}
	if err := p.End(context.Background(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if lives(t, orphan) {
		t.Error("a child that outlived its parent lives on after End")
	}
}

func TestEndKillsAfterTheGrace(t *testing.T) {
	p, log := shell(t, `trap "" TERM; echo up; while :; do sleep 0.01; done`)
	logged(t, log, "up")
	const grace = 100 * time.Millisecond
	began := time.Now()
	if err := p.End(context.Background(), grace); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < grace {
		t.Errorf("it was killed after %s, the grace is %s", took, grace)
	}
	if got := exitCode(t, p); got != -1 {
		t.Errorf("exit code %d, want -1: killed", got)
	}
}

func TestEndOfContextEndsTheGrace(t *testing.T) {
	p, log := shell(t, `trap "" TERM; echo up; while :; do sleep 0.01; done`)
	logged(t, log, "up")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	if err := p.End(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("it took %s", took)
	}
	exitCode(t, p)
}

func TestEndAgainAndAtOnce(t *testing.T) {
	p, log := shell(t, `trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done`)
	logged(t, log, "up")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = p.End(context.Background(), patience) })
	}
	wg.Wait()
	errs = append(errs, p.End(context.Background(), patience))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(read(t, log), "asked"); n != 1 {
		t.Errorf("it was asked to end %d times, want once", n)
	}
}

// A server can end by itself when its standard input does.
func TestEndClosesStandardInput(t *testing.T) {
	p, log := shell(t, `trap "" TERM; echo up; cat; echo input ended`)
	logged(t, log, "up")
	if err := p.End(context.Background(), patience); err != nil {
		t.Fatal(err)
	}
	logged(t, log, "input ended")
	if got := exitCode(t, p); got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
}

// Standard input ends with whoever started the server, however that one ends.
func TestStandardInputEndsWithTheStarter(t *testing.T) {
	if log := os.Getenv("PROC_TEST_STARTER"); log != "" {
		_, err := Start(Spec{Command: []string{"sh", "-c", "echo server $$; cat; echo input ended"}, Env: os.Environ(), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		select {} // until it is killed
	}
	log := filepath.Join(t.TempDir(), "log")
	starter := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	starter.Env = append(os.Environ(), "PROC_TEST_STARTER="+log)
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "a log", func() bool { _, err := os.Stat(log); return err == nil })
	server := logged(t, log, "server ")
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := starter.Wait(); err == nil {
		t.Fatal("the starter ended by itself: the test shows nothing")
	}
	logged(t, log, "input ended")
	until(t, "the server's end", func() bool { return !lives(t, server) })
}

func TestStartFails(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	noProgram := filepath.Join(dir, "text")
	for _, name := range []string{taken, noProgram} {
		if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + os.Getenv("PATH")
	for _, c := range []struct {
		name string
		spec Spec
		want string
	}{
		{"no command", Spec{}, "the command is empty"},
		{"no such program", Spec{Command: []string{"no-such-program"}, Env: []string{"PATH=" + dir + ":/nowhere"}},
			`there is no program "no-such-program" in PATH (` + dir + ":/nowhere)"},
		{"no PATH", Spec{Command: []string{"sh"}}, `there is no program "sh" in PATH ()`},
		{"no such file", Spec{Command: []string{dir + "/absent"}}, "no such file or directory"},
		{"not executable", Spec{Command: []string{noProgram}}, "permission denied"},
		{"not executable in PATH", Spec{Command: []string{"text"}, Env: []string{"PATH=" + dir}}, `there is no program "text" in PATH`},
		{"no such directory", Spec{Command: []string{"true"}, Env: []string{path}, Dir: dir + "/absent"}, "no such file or directory"},
		{"log taken", Spec{Command: []string{"true"}, Env: []string{path}, Log: taken}, "log: open " + taken + ": file exists"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := filepath.Join(dir, "log")
			if c.spec.Log == "" {
				c.spec.Log = log
			}
			p, err := Start(c.spec)
			if err == nil {
				<-p.Exited()
				t.Fatalf("it started, want an error with %q", c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q in it", err, c.want)
			}
			if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a log is left where nothing was started (%v)", err)
			}
		})
	}
	if read(t, taken) != "text" {
		t.Error("a log that was there already has been written to")
	}
}

func TestProgramIsLookedUpInItsOwnPath(t *testing.T) {
	job := t.TempDir()
	for _, folder := range []string{"venv", "other"} {
		if err := os.Mkdir(filepath.Join(job, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\necho from " + folder + " as $0\n"
		if err := os.WriteFile(filepath.Join(job, folder, "server"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, command, path, want string }{
		{"the last PATH counts", "server", job + "/venv", "from venv"},
		{"the first folder counts", "server", "/nowhere:" + job + "/other:" + job + "/venv", "from other"},
		{"a folder relative to the directory", "server", "other", "from other"},
		{"a command relative to the directory", "./venv/server", "/nowhere", "from venv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			p, err := Start(Spec{Command: []string{c.command}, Env: []string{"PATH=/nowhere", "PATH=" + c.path}, Dir: job, Log: log})
			if err != nil {
				t.Fatal(err)
			}
			exitCode(t, p)
			if got := read(t, log); !strings.HasPrefix(got, c.want) {
				t.Errorf("the log is %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		line  string
		state byte
		pgid  int
		ok    bool
	}{
		{"12 (sh) S 1 12 12 0 -1", 'S', 12, true},
		{"13 (a) b) (c) Z 1 44 12", 'Z', 44, true},
		{"14 (\n) R 1 7", 'R', 7, true},
		{"14 (sh) R 1", 0, 0, false},
		{"14 (sh) RR 1 2", 0, 0, false},
		{"14 sh", 0, 0, false},
		{"", 0, 0, false},
	} {
		state, pgid, ok := parseStat([]byte(c.line))
		if ok != c.ok || ok && (state != c.state || pgid != c.pgid) {
			t.Errorf("%q: %c %d %t, want %c %d %t", c.line, state, pgid, ok, c.state, c.pgid, c.ok)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("13 (a) b) (c) Z 1 44 12"))
	f.Fuzz(func(t *testing.T, data []byte) { parseStat(data) })
}

// A member that ended and that nobody has reaped is not alive.
func TestZombiesDoNotCount(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	child := exec.Command("sh", "-c", "exit 0")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	until(t, "the child's end", func() bool { return !lives(t, strconv.Itoa(pid)) })
	if err := syscall.Kill(-pid, 0); err != nil {
		t.Fatalf("kill finds no zombie here (%v): the test shows nothing", err)
	}
	if groupLives(pid) {
		t.Error("a group of one zombie counts as alive")
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
}
