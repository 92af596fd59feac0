package guard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"profjob/internal/guard"
	"profjob/internal/guard/guardtest"
	"profjob/internal/proc"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// vllm answers stops with the given statuses, one a try, the last for all that
// follow; 0 breaks the connection.
func vllm(t *testing.T, statuses ...int) (endpoint string, stops func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stop_profile" {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		n++
		status := statuses[min(n, len(statuses))-1]
		mu.Unlock()
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func hold(endpoint string) guard.Hold {
	return guard.Hold{Target: "server", Endpoint: endpoint, Engine: "vllm"}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRescue(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses []int
		begun    bool
		stops    int
		log      string
	}{
		{"begun", []int{200}, true, 1, "done after"},
		{"the start may still be on its way", []int{500, 200}, false, 2, "answered after"},
		{"a stop that breaks", []int{0, 503, 200}, true, 3, "try 2 of 5 failed"},
		{"500 is an answer", []int{500}, true, 1, "answered after"},
		{"never answered", []int{503}, true, 5, "GIVEN UP after 5 tries; it may still be on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endpoint, stops := vllm(t, c.statuses...)
			log := &logged{}
			g := guardtest.InProcess(guard.Options{LockDir: t.TempDir(), Log: log})
			must(t, g.Hold(t.Context(), hold(endpoint)))
			if c.begun {
				must(t, g.Begun(t.Context(), hold(endpoint)))
			}
			must(t, g.Abandon(t.Context()))
			if stops() != c.stops || !strings.Contains(log.String(), c.log) {
				t.Errorf("%d stops, want %d and %q in:\n%s", stops(), c.stops, c.log, log)
			}
		})
	}
}

// TestOwesNothing: what is over is not stopped, neither at the end nor where the run dies.
func TestOwesNothing(t *testing.T) {
	endpoint, stops := vllm(t, 200)
	for _, leave := range []func(*guard.Client) error{(*guard.Client).Close, func(c *guard.Client) error { return c.Abandon(context.Background()) }} {
		g := guardtest.InProcess(guard.Options{LockDir: t.TempDir(), Log: io.Discard})
		must(t, g.Hold(t.Context(), hold(endpoint)))
		must(t, g.Over(t.Context(), hold(endpoint)))
		must(t, leave(g))
		if stops() > 0 {
			t.Errorf("%d stops", stops())
		}
		if err := g.Hold(t.Context(), hold(endpoint)); !errors.Is(err, guard.ErrGone) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// TestLeavesWithSomethingOn: a run that takes leave though something is on, or runs,
// does not know of it: it is ended all the same.
func TestLeavesWithSomethingOn(t *testing.T) {
	endpoint, stops := vllm(t, 200)
	dir := t.TempDir()
	g := guardtest.InProcess(guard.Options{LockDir: dir, Log: io.Discard})
	p, err := g.Launch(t.Context(), "own", proc.Spec{Command: []string{"sleep", "60"}, Env: os.Environ(), Dir: dir, Log: filepath.Join(dir, "log")})
	must(t, err)
	must(t, g.Hold(t.Context(), hold(endpoint)))
	must(t, g.Begun(t.Context(), hold(endpoint)))
	must(t, g.Close())
	if stops() != 1 {
		t.Errorf("%d stops, want 1", stops())
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", p.PID(), err)
	}
}

// TestRefusedForAWhile: what refuses a connection need not be the server itself.
func TestRefusedForAWhile(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	log := &logged{}
	g := guardtest.InProcess(guard.Options{LockDir: t.TempDir(), Log: log})
	must(t, g.Hold(t.Context(), hold("http://"+address)))
	must(t, g.Begun(t.Context(), hold("http://"+address)))
	stopped := make(chan struct{}, 10)
	back := &http.Server{Addr: address, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stop_profile" {
			stopped <- struct{}{}
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() {
		for began := time.Now(); !strings.Contains(log.String(), "try 2 of 5 failed") && time.Since(began) < 10*time.Second; {
			time.Sleep(10 * time.Millisecond)
		}
		_ = back.ListenAndServe() // until it is closed
	})
	must(t, g.Abandon(t.Context()))
	if len(stopped) != 1 || !strings.Contains(log.String(), "try 2 of 5 failed") {
		t.Errorf("%d stops, the log:\n%s", len(stopped), log)
	}
	must(t, back.Close())
	serving.Wait()
}

// TestServersEndAfterTheStop: a server that is ended while it records loses its trace.
func TestServersEndAfterTheStop(t *testing.T) {
	endpoint, _ := vllm(t, 0, 200)
	dir := t.TempDir()
	log := &logged{}
	g := guardtest.InProcess(guard.Options{LockDir: dir, Log: log})
	p, err := g.Launch(t.Context(), "own", proc.Spec{Command: []string{"sleep", "60"}, Env: os.Environ(), Dir: dir, Log: filepath.Join(dir, "log")})
	must(t, err)
	must(t, g.Hold(t.Context(), hold(endpoint)))
	must(t, g.Begun(t.Context(), hold(endpoint)))
	must(t, g.Abandon(t.Context()))
	sent, done, ended := strings.Index(log.String(), ": sent"), strings.Index(log.String(), ": done"), strings.Index(log.String(), "ended own")
	if sent < 0 || done < sent || ended < done {
		t.Errorf("the log:\n%s", log)
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", p.PID(), err)
	}
}

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	g := guardtest.InProcess(guard.Options{LockDir: dir, Log: io.Discard})
	spec := func(name string, command ...string) proc.Spec {
		return proc.Spec{Command: command, Env: os.Environ(), Dir: dir, Log: filepath.Join(dir, name)}
	}
	p, err := g.Launch(t.Context(), "fails", spec("fails", "sh", "-c", "exit 3"))
	must(t, err)
	<-p.Exited()
	if err := p.ExitError(); err == nil || err.Error() != "exit status 3" {
		t.Errorf("it ended with %v", err)
	}
	must(t, p.End(t.Context(), time.Second))
	if _, err := g.Launch(t.Context(), "none", spec("none", "no-such-program-7c1")); err == nil || !strings.Contains(err.Error(), "no-such-program-7c1") {
		t.Errorf("launched what is not there: %v", err)
	}
	p, err = g.Launch(t.Context(), "long", spec("long", "sleep", "60"))
	must(t, err)
	if p.ExitError() != nil {
		t.Error("it has ended")
	}
	must(t, p.End(t.Context(), time.Second))
	<-p.Exited()
	must(t, g.Close())
}

// TestGuardDies: the run is told, and ends the servers by itself.
func TestGuardDies(t *testing.T) {
	program, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "guard.log"))
	must(t, err)
	defer log.Close()
	g, err := guard.Start(program, []string{"guard", dir}, os.Environ(), log)
	must(t, err)
	p, err := g.Launch(t.Context(), "own", proc.Spec{Command: []string{"sleep", "60"}, Env: os.Environ(), Dir: dir, Log: filepath.Join(dir, "log")})
	must(t, err)
	text, err := os.ReadFile(log.Name())
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "itself ")
	pid, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	if sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0); errno != 0 || int(sid) != pid {
		t.Errorf("the guard is in the session %d, not in one of its own", sid)
	}
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	<-p.Exited()
	if !errors.Is(p.ExitError(), guard.ErrGone) {
		t.Errorf("got %v", p.ExitError())
	}
	if err := g.Hold(t.Context(), hold("http://h")); !errors.Is(err, guard.ErrGone) {
		t.Errorf("it may begin: %v", err)
	}
	must(t, p.End(t.Context(), time.Second))
	if err := syscall.Kill(-p.PID(), 0); err == nil {
		// a zombie of ours to reap, or one that init has: no process runs
		if data, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/stat"); err == nil && !strings.Contains(string(data), ") Z ") {
			t.Errorf("the server is still there: %s", data)
		}
	}
	if err := g.Close(); !errors.Is(err, guard.ErrGone) {
		t.Errorf("close: %v", err)
	}
}

func TestLocks(t *testing.T) {
	dir := t.TempDir()
	open := func() *guard.Client { return guardtest.InProcess(guard.Options{LockDir: dir, Log: io.Discard}) }
	first, second := open(), open()
	who := guard.Holder{PID: 7, Job: "nightly", JobFile: "/j.hcl", RunID: "r", Since: time.Now()}
	must(t, first.Lock(t.Context(), []string{"http://10.0.0.7:8000", "http://localhost:8001"}, who, 0))
	must(t, second.Lock(t.Context(), []string{"http://10.0.0.7:8002"}, who, 0))
	for _, same := range []string{"http://10.0.0.7:8000", "http://127.0.0.1:8001", "http://[::1]:8001", "https://localhost:8001"} {
		err := second.Lock(t.Context(), []string{"http://10.0.0.7:9000", same}, guard.Holder{PID: 8}, 0)
		var held *guard.HeldError
		if !errors.As(err, &held) || held.By.Job != "nightly" || !strings.Contains(err.Error(), same+" is held by another run of profjob: nightly of /j.hcl, run r, process 7") {
			t.Errorf("%s: %v", same, err)
		}
	}
	third := open()
	must(t, third.Lock(t.Context(), []string{"http://10.0.0.7:9000"}, who, 0)) // what could not be had whole was let go
	waited := make(chan error, 1)
	go func() {
		waited <- second.Lock(t.Context(), []string{"http://10.0.0.7:8000"}, guard.Holder{PID: 8}, time.Minute)
	}()
	select {
	case err := <-waited:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	must(t, first.Close())
	must(t, <-waited)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	if err := third.Lock(ctx, []string{"http://10.0.0.7:8000"}, who, time.Minute); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
	must(t, second.Close())
	must(t, third.Close())
}

func TestRequestsThatAreNone(t *testing.T) {
	for _, text := range []string{"x\n", "{\"id\":1}\n", "{\"id\":1,\"op\":\"hold\"}\n", "{\"id\":1,\"op\":\"launch\"}\n", "[]\n", ""} {
		var out bytes.Buffer
		_ = guard.Serve(t.Context(), strings.NewReader(text), &out, guard.Options{LockDir: t.TempDir(), Log: io.Discard})
		if strings.Contains(text, "id") && !strings.Contains(out.String(), "the guard knows no request") {
			t.Errorf("%q is answered by %q", text, out.String())
		}
	}
}
