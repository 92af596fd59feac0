package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"profjob/internal/event"
	"profjob/internal/wire"
	"profjob/spec"
)

// launchable is a target that the run starts, at an address where nobody listens.
func (h *host) launchable() Target {
	target := h.serve("127.0.0.1:9")
	target.TraceDir = "traces"
	target.Version = "0.32.0"
	target.Launch = &LaunchParams{Command: []string{"vllm", "serve", "tiny"}, ReadyTimeout: wire.Duration(time.Minute),
		Env: map[string]spec.Secret{"HF_TOKEN": {Ref: "ref"}, "PLAIN": {Value: "1"}}}
	h.Secrets = map[string]string{"ref": "hf-s3cret"}
	return target
}

func launchOf(targets ...Target) *Launch {
	return &Launch{Header: Header{Name: "launch"}, Targets: targets, Record: Record{Shapes: true}}
}

func TestLaunch(t *testing.T) {
	t.Setenv("PROFJOB_VAR_token", "hf-s3cret")
	t.Setenv("INHERITED", "yes")
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.launchable()
		p := newProcess()
		h.guard.launch = func(LaunchSpec) (Process, error) {
			if intents := told[event.Intent](h); len(intents) != 1 || intents[0].Action != "launch" {
				t.Errorf("journaled before the launch: %+v", intents)
			}
			return p, nil
		}
		began := time.Now()
		h.servers["http://127.0.0.1:9"].ready = func(context.Context) error {
			if time.Since(began) < 10*time.Second {
				return errRefusedConn
			}
			return nil
		}
		l := launchOf(target)
		result, err := h.do(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		s := result.(LaunchResult).Servers[0]
		if s.PID != 4711 || time.Duration(s.ReadyIn) < 10*time.Second || s.TraceDir != filepath.Join(h.JobDir, "traces") || s.Log != "logs/server.log" {
			t.Errorf("got %+v", s)
		}
		if result.(LaunchResult).Summary() != "server at http://127.0.0.1:9, ready after 10s" {
			t.Error(result.(LaunchResult).Summary())
		}
		spec := h.guard.specs[0]
		if !slices.Equal(spec.Command[:3], target.Launch.Command) || !slices.Contains(spec.Command, "--profiler-config") || spec.Dir != h.JobDir {
			t.Errorf("command %q in %s", spec.Command, spec.Dir)
		}
		for variable, want := range map[string]bool{"HF_TOKEN=hf-s3cret": true, "PLAIN=1": true, "INHERITED=yes": true, "PROFJOB_VAR_token=hf-s3cret": false} {
			if slices.Contains(spec.Env, variable) != want {
				t.Errorf("%s in the environment: %t", variable, !want)
			}
		}
		if slices.ContainsFunc(spec.Command, func(a string) bool { return strings.Contains(a, "s3cret") }) {
			t.Errorf("a secret in the command %q", spec.Command)
		}
		if err := errors.Join(l.Undo(t.Context(), h.Run), l.Undo(t.Context(), h.Run)); err != nil || p.ended != 1 {
			t.Errorf("ended %d times, %v", p.ended, err)
		}
	})
}

func TestLaunchFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(*host, *Target, *fakeProcess)
		exit  int
		text  string
		ended int // processes to end
	}{
		{"ends at once", func(h *host, _ *Target, p *fakeProcess) {
			p.die(errors.New("exit status 1"))
			h.guard.launch = func(s LaunchSpec) (Process, error) {
				return p, os.WriteFile(s.Log, []byte("first\nwrong argument, token hf-s3cret\n"), 0o600)
			}
		}, ExitServer, "ended before it was ready (exit status 1); the end of logs/server.log:\n    first\n    wrong argument, token (sensitive)", 1},
		{"ends well", func(_ *host, _ *Target, p *fakeProcess) { p.die(nil) }, ExitServer, "(exit status 0)", 1},
		{"is never ready", func(*host, *Target, *fakeProcess) {}, ExitServer, "not ready within 1m0s", 1},
		{"cannot be started", func(h *host, _ *Target, _ *fakeProcess) {
			h.guard.launch = func(LaunchSpec) (Process, error) { return nil, errors.New("no such file") }
		}, ExitServer, "start vllm: no such file", 0},
		{"is refused by the guard", func(h *host, _ *Target, _ *fakeProcess) { h.guard.refuse = errors.New("no") }, 0, "launch server: no", 0},
		{"wants a secret", func(h *host, _ *Target, _ *fakeProcess) { h.Secrets = nil }, 0, "sensitive value ref was not given", 0},
		{"cannot record it", func(_ *host, target *Target, _ *fakeProcess) { target.Version = "0.9.0" }, ExitServer, "0.9.0", 0},
		{"trace_dir is a file", func(h *host, target *Target, _ *fakeProcess) {
			target.TraceDir = filepath.Join(h.JobDir, "file", "x")
			_ = os.WriteFile(filepath.Join(h.JobDir, "file"), nil, 0o600)
		}, ExitIncomplete, "trace_dir", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.launchable()
				p := newProcess()
				h.guard.launch = func(LaunchSpec) (Process, error) { return p, nil }
				h.servers["http://127.0.0.1:9"].ready = func(context.Context) error { return errRefusedConn }
				c.set(h, &target, p)
				l := launchOf(target)
				result, err := h.do(t.Context(), l)
				if result != nil || err == nil || !strings.Contains(err.Error(), c.text) {
					t.Errorf("got %v, %v; want %q", result, err, c.text)
				}
				if c.exit != 0 {
					failed(t, err, c.exit, c.text)
				}
				if err := l.Undo(t.Context(), h.Run); err != nil || p.ended != c.ended {
					t.Errorf("ended %d, %v", p.ended, err)
				}
			})
		})
	}
}

func (h *host) write(rel, text string) {
	h.t.Helper()
	if err := h.Dir.WriteFile(rel, []byte(text)); err != nil {
		h.t.Fatal(err)
	}
}

// A server that answers already is not taken for the one to launch.
func TestLaunchWhereSomebodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := newHost(t)
	target := h.launchable()
	target.Endpoints = []string{"http://" + l.Addr().String()}
	_, err = h.do(t.Context(), launchOf(target))
	failed(t, err, ExitServer, "something listens at http://"+l.Addr().String()+" already")
	if len(h.guard.specs) != 0 {
		t.Error("it was launched")
	}
}

// pair is two targets that the run starts, and their processes.
func (h *host) pair() (targets []Target, processes map[string]*fakeProcess) {
	processes = map[string]*fakeProcess{}
	for i, name := range []string{"prefill", "decode"} {
		target := h.launchable()
		target.Name, target.Endpoints = name, []string{fmt.Sprintf("http://127.0.0.1:%d", 9+i)}
		h.servers[target.Endpoints[0]] = &fakeServer{endpoint: target.Endpoints[0]}
		targets = append(targets, target)
		processes[name] = newProcess()
	}
	h.guard.launch = func(s LaunchSpec) (Process, error) { return processes[s.Target], nil }
	return targets, processes
}

// A server that gets ready only once another runs finds it running.
func TestLaunchStartsAllFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		targets, processes := h.pair()
		h.servers["http://127.0.0.1:9"].ready = func(context.Context) error {
			h.guard.mu.Lock()
			defer h.guard.mu.Unlock()
			if len(h.guard.specs) < 2 {
				return errRefusedConn
			}
			return nil
		}
		l := launchOf(targets...)
		result, err := h.do(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		all := result.(LaunchResult).Servers
		if len(all) != 2 || all[0].Target != "prefill" || all[1].Target != "decode" || len(told[event.Outcome](h)) != 2 {
			t.Errorf("got %+v", all)
		}
		if err := l.Undo(t.Context(), h.Run); err != nil || processes["prefill"].ended != 1 || processes["decode"].ended != 1 {
			t.Errorf("not all were ended, %v", err)
		}
	})
}

// A server that fails ends the wait for the one that waits for it; both are ended.
func TestLaunchOfAPairFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		targets, processes := h.pair()
		h.servers["http://127.0.0.1:9"].ready = func(context.Context) error { return errRefusedConn }
		h.servers["http://127.0.0.1:10"].ready = func(context.Context) error { return errRefusedConn }
		time.AfterFunc(5*time.Second, func() { processes["decode"].die(errors.New("exit status 1")) })
		l := launchOf(targets...)
		began := time.Now()
		_, err := h.do(t.Context(), l)
		failed(t, err, ExitServer, "launch decode: the server ended before it was ready (exit status 1)")
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
		if err := l.Undo(t.Context(), h.Run); err != nil || processes["prefill"].ended != 1 || processes["decode"].ended != 1 {
			t.Errorf("not all were ended, %v", err)
		}
	})
}

// The program that is asked for its version is the one that is launched: it is looked
// up in the job's folder, and gets no values of job files' variables.
func TestLaunchAsksForTheVersion(t *testing.T) {
	t.Setenv("PROFJOB_VAR_token", "hf-s3cret")
	h := newHost(t)
	target := h.launchable()
	target.Version, target.Launch.Command = "", []string{"./venv/vllm", "serve", "tiny"}
	script := "#!/bin/sh\necho \"0.32.0${PROFJOB_VAR_token}\"\n"
	if err := os.MkdirAll(filepath.Join(h.JobDir, "venv"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.JobDir, "venv", "vllm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	h.guard.launch = func(LaunchSpec) (Process, error) { return newProcess(), nil }
	result, err := h.do(t.Context(), launchOf(target))
	if err != nil {
		t.Fatal(err)
	}
	if got := result.(LaunchResult).Servers[0].Version; got != "0.32.0" {
		t.Errorf("version %q", got)
	}
}

// The embedded engine says itself where it listens, and its traces go to scratch.
func TestLaunchEmbedded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Executable = "/bin/profjob"
		h.servers["http://127.0.0.1:4711"] = &fakeServer{}
		p := newProcess()
		defer p.die(nil)
		h.guard.launch = func(s LaunchSpec) (Process, error) {
			i := slices.Index(s.Command, "--address-file")
			go func() {
				time.Sleep(time.Second)
				write(t, filepath.Dir(s.Command[i+1]), filepath.Base(s.Command[i+1]), []byte("127.0.0.1:4711\n"))
			}()
			return p, nil
		}
		target := Target{Name: "own", Engine: "embedded", Options: map[string]any{"dialect": "vllm-0.15"}}
		if !target.Launched() || (Target{Engine: "vllm", Endpoints: []string{"http://x"}}).Launched() || (Target{Engine: "embedded", Endpoints: []string{"http://x"}}).Launched() {
			t.Error("who is launched")
		}
		result, err := h.do(t.Context(), launchOf(target))
		if err != nil {
			t.Fatal(err)
		}
		s := result.(LaunchResult).Servers[0]
		if !slices.Equal(s.Endpoints, []string{"http://127.0.0.1:4711"}) || s.TraceDir != h.Dir.Join("scratch", "own", "traces") {
			t.Errorf("got %+v", s)
		}
		if got := strings.Join(h.guard.specs[0].Command, " "); !strings.HasPrefix(got, "/bin/profjob engine --listen 127.0.0.1:0 --end-with-stdin") || !strings.Contains(got, "--dialect vllm-0.15") {
			t.Error(got)
		}
		if !slices.Equal(h.endpoints(target), s.Endpoints) || h.traceDir(target) != s.TraceDir {
			t.Error("later plan steps do not find it")
		}
	})
}

func TestLaunchInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.launchable()
		p := newProcess()
		h.guard.launch = func(LaunchSpec) (Process, error) { return p, nil }
		h.servers["http://127.0.0.1:9"].ready = func(context.Context) error { return errRefusedConn }
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(3 * time.Second)
			cancel(ErrInterrupted)
		}()
		l := launchOf(target)
		began := time.Now()
		_, err := h.do(ctx, l)
		failed(t, err, ExitInterrupted, "interrupted")
		if time.Since(began) > 4*time.Second || l.Undo(t.Context(), h.Run) != nil || p.ended != 1 {
			t.Errorf("after %s, ended %d times", time.Since(began), p.ended)
		}
	})
}

// An interrupt while the guard launches a server leaves none that nobody knows of.
func TestLaunchInterruptedOnItsWay(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	p := newProcess()
	h.guard.launch = func(LaunchSpec) (Process, error) {
		cancel(ErrInterrupted)
		return p, nil
	}
	l := launchOf(h.launchable())
	_, _ = h.do(ctx, l) // it may have been ready before that was looked at
	if err := l.Undo(t.Context(), h.Run); err != nil || p.ended == 0 {
		t.Errorf("the server was ended %d times: %v", p.ended, err)
	}
}

func TestShutdown(t *testing.T) {
	h := newHost(t)
	a, b := newProcess(), newProcess()
	h.processes = map[string]Process{"a": a, "b": b}
	result, err := h.do(t.Context(), &Shutdown{})
	if err != nil || result.(ShutdownResult).Ended != 2 || a.ended != 1 || b.ended != 1 || len(h.processes) != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// Sensitive values that a server has printed are in no log of a run that ends.
func TestShutdownCleansLogs(t *testing.T) {
	h := newHost(t)
	h.Secrets = map[string]string{"a": "s3cret", "b": "s3cret-longer\n", "c": "ab"}
	h.processes = map[string]Process{"a": newProcess()}
	if _, err := h.Dir.MkdirAll("logs"); err != nil {
		t.Fatal(err)
	}
	h.write("logs/a.log", "TOKEN=s3cret\nCOOKIE=s3cret-longer\nab\n")
	h.write("logs/b.log", "nothing\n")
	before, err := os.Stat(h.Dir.Join("logs/b.log"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.do(t.Context(), &Shutdown{}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(h.Dir.Join("logs/a.log")); err != nil || string(data) != "TOKEN=(sensitive)\nCOOKIE=(sensitive)\nab\n" {
		t.Errorf("got %q, %v", data, err)
	}
	if after, err := os.Stat(h.Dir.Join("logs/b.log")); err != nil || !os.SameFile(before, after) {
		t.Errorf("a log without sensitive values was written anew, %v", err)
	}
	if left, _ := filepath.Glob(h.Dir.Join("logs/*")); len(left) != 2 {
		t.Errorf("left %q", left)
	}
}

// A log that cannot be cleaned is not kept as it is.
func TestShutdownCannotCleanALog(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read any file")
	}
	h := newHost(t)
	h.Secrets = map[string]string{"a": "s3cret"}
	h.processes = map[string]Process{"a": newProcess()}
	h.write("logs/a.log", "s3cret\n")
	if err := os.Chmod(h.Dir.Join("logs/a.log"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := h.do(t.Context(), &Shutdown{})
	failed(t, err, ExitIncomplete, "logs/a.log is not kept")
	if _, err := os.Stat(h.Dir.Join("logs/a.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestLogTailOfACutValue(t *testing.T) {
	h := newHost(t)
	h.Secrets = map[string]string{"a": "0123456789-s3cret"}
	const most = 16 << 10
	h.write("logs/a.log", "x0123456789-s3cret"+strings.Repeat("y", most-len("s3cret")))
	if got := h.logTail("logs/a.log"); strings.Contains(got, "s3cret") || !strings.HasSuffix(got, "yyy") {
		t.Errorf("got %.60q", got)
	}
}

func TestLogTail(t *testing.T) {
	h := newHost(t)
	if got := h.logTail("logs/none.log"); !strings.Contains(got, "no such file") {
		t.Error(got)
	}
	var b strings.Builder
	for range 5000 {
		b.WriteString("a line of a log that is much longer than what is shown\n")
	}
	h.write("logs/long.log", b.String()+"bad \xff byte\nthe last line\n\n")
	got := h.logTail("logs/long.log")
	if lines := strings.Split(got, "\n"); len(lines) != 15 || lines[14] != "    the last line" || lines[13] != "    bad \uFFFD byte" {
		t.Errorf("got %q", got)
	}
}
