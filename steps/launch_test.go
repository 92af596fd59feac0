package steps

import (
	"context"
	"errors"
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
			h.write("logs/server.log", "first\nwrong argument, token hf-s3cret\n")
		}, ExitServer, "ended before it was ready (exit status 1); the end of logs/server.log:\n    first\n    wrong argument, token [sensitive]", 1},
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
		if got := strings.Join(h.guard.specs[0].Command, " "); !strings.HasPrefix(got, "/bin/profjob engine --listen 127.0.0.1:0 --end-with-stdin") || !strings.Contains(got, "--dialect vllm-0.15 --shapes") {
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

func TestShutdown(t *testing.T) {
	h := newHost(t)
	a, b := newProcess(), newProcess()
	h.processes = map[string]Process{"a": a, "b": b}
	result, err := h.do(t.Context(), &Shutdown{})
	if err != nil || result.(ShutdownResult).Ended != 2 || a.ended != 1 || b.ended != 1 || len(h.processes) != 0 {
		t.Errorf("%+v, %v", result, err)
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
