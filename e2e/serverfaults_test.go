//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ended has the server end by a signal as a request comes, which then fails.
func ended(s syscall.Signal) misbehaviour {
	return func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		p.arena.victim.signal(s)
		for _, pid := range p.arena.servers() {
			_ = syscall.Kill(pid, s) // it may have ended
		}
		p.forward(w, r)
	}
}

// restarted has the server end, and another start in its place, before a request is
// handed on.
func restarted(p *faultProxy, w http.ResponseWriter, r *http.Request) {
	v := p.arena.victim
	if v.cmd == nil {
		drop(p, w, r)
	}
	program := v.cmd.Path
	v.signal(syscall.SIGKILL)
	if err := v.start(program); err != nil {
		drop(p, w, r)
	}
	p.forward(w, r)
}

// refused has nobody listen for a while.
func refused(d time.Duration) misbehaviour {
	return func(p *faultProxy, _ http.ResponseWriter, _ *http.Request) {
		p.close()
		time.AfterFunc(d, func() { _ = p.listen() }) // the row fails where it cannot
	}
}

// somebodyRecords starts the profiler as somebody else.
func somebodyRecords(t *testing.T, a *arena) {
	t.Helper()
	if status := post(t, a.endpoint+pathStart, ""); status != http.StatusOK {
		t.Fatalf("start: %d", status)
	}
}

// somebodysBoundIsOver has somebody else's recording end by the server's own bound,
// and nobody stop it.
func somebodysBoundIsOver(t *testing.T, a *arena) {
	t.Helper()
	somebodyRecords(t, a)
	if err := a.complete("12"); err != nil {
		t.Fatal(err)
	}
}

// somebodyStops stops the profiler as somebody else.
func somebodyStops(t *testing.T, a *arena) {
	t.Helper()
	post(t, a.endpoint+pathStop, "")
}

// somebodyAsks has the model run some passes, and then none.
func somebodyAsks(t *testing.T, a *arena) {
	t.Helper()
	if err := a.complete("6"); err != nil {
		t.Error(err)
	}
}

// somebodyAsksMuch has it run more passes than a bounded window has, and then none.
func somebodyAsksMuch(t *testing.T, a *arena) {
	t.Helper()
	if err := a.complete("60"); err != nil {
		t.Error(err)
	}
}

const v011, v015 = "vllm-0.11", "vllm-0.15"

// serverFaults are what real servers were seen to do, each a row of what is known of
// them. Those that vLLM does not do, it is made to: SGLang and the fork do.
var serverFaults = []fault{
	// start
	{name: "start: 404, no profiler", engine: []string{"--trace-dir", ""}, exits: []int{4}, off: byStop},
	{name: "start: 200 and nothing (the fork's token mode)", engine: []string{"--fault", "start-ignored"}, exits: []int{6}, off: byStop},
	{name: "start: 200 and nothing, the stop is 500", engine: []string{"--dialect", v011, "--fault", "start-ignored"}, exits: []int{6}, off: byStop, long: true},
	{name: "start: 500", engine: []string{"--fault", "start-500"}, exits: []int{4}, off: byStop},
	{name: "start: 500, one of two profilers started", engine: []string{"--fault", "start-half"}, exits: []int{4}, kept: true},
	{name: "start: 500, one of two started, the stop is 500", engine: []string{"--dialect", v011, "--fault", "start-half"}, exits: []int{4}, kept: true, off: byStop},
	{name: "start: blocks until the bound", engine: []string{"--fault", "start-blocks"}, exits: []int{0}, kept: true},
	{name: "start: blocks until the stop", engine: []string{"--dialect", v015, "--fault", "start-blocks"}, vars: []string{"attempts=1"}, exits: []int{4}, kept: true, off: byStop, long: true},
	{name: "start: the server dies", engine: []string{"--fault", "die-at-start"}, exits: []int{4}, off: byEnd},
	{name: "start: 409, somebody else records", before: somebodyRecords, exits: []int{4}, off: theirs},
	{name: "start: 200, ignored, somebody else records", engine: []string{"--dialect", v011}, before: somebodyRecords, exits: []int{0, 5}, off: byStop, kept: true},
	{name: "start: 200, ignored: a bound has left the session active", engine: []string{"--dialect", v015, "--max-iterations", "4"}, before: somebodysBoundIsOver, exits: []int{0}, off: byStop, kept: true},
	{name: "start: 409: a bound has left the session active", engine: []string{"--max-iterations", "4"}, before: somebodysBoundIsOver, exits: []int{4}, off: theirs},

	// while it records
	{name: "window: the server dies at the first step", engine: []string{"--fault", "die-after-start"}, exits: []int{4}, off: byEnd},
	{name: "window: the server dies at any step (0.12.0)", engine: []string{"--fault", "die-at-first-step"}, exits: []int{4}, off: byEnd},
	{name: "window: SIGTERM to the server", at: atWindow, times: 1, do: ended(syscall.SIGTERM), exits: []int{4}, off: byEnd},
	{name: "window: SIGKILL to the server", at: atWindow, times: 1, do: ended(syscall.SIGKILL), exits: []int{4}, off: byEnd},
	{name: "window: the server starts again", at: atWindow, times: 1, do: restarted, exits: []int{0, 4, 5, 6}},
	{name: "window: the health check adds steps", engine: []string{"--fault", "health-steps"}, job: "manual", exits: []int{0}, kept: true},
	{name: "window: a bound of fewer steps than asked", engine: []string{"--dialect", v015, "--max-iterations", "2"}, exits: []int{5}, kept: true, off: byStop},
	{name: "window: the bound ends it, twice", engine: []string{"--dialect", v015, "--max-iterations", "6"}, job: "twice", exits: []int{0}, kept: true, off: byStop},
	{name: "window: a bound that only the next pass closes", job: "quiet", beside: somebodyAsks, exits: []int{0}, kept: true},
	{name: "window: the bound is over and its file written", job: "quiet", beside: somebodyAsksMuch, exits: []int{0}, kept: true},
	{name: "window: no step comes", job: "quiet", exits: []int{5}, kept: true},
	{name: "window: somebody else stops", job: "manual", engine: []string{"--dialect", v011}, beside: somebodyStops, exits: []int{5}, kept: true, off: byStop},

	// stop
	{name: "stop: takes 4 s, the engine frozen", engine: []string{"--fault", "stop-delay"}, exits: []int{0}, kept: true},
	{name: "stop: takes 30 s (minutes, scaled)", path: pathStop, do: slow(30 * time.Second), exits: []int{0}, kept: true, long: true},
	{name: "stop: the connection drops, it stops", engine: []string{"--fault", "stop-drop"}, exits: []int{0}, kept: true},
	{name: "stop: 500 and goes on, twice", path: pathStop, times: 2, do: answers(500, "Internal Server Error"), exits: []int{0}, kept: true, real: true},
	{name: "stop: 500 though the file is written", path: pathStop, do: answersAfter(500, "Internal Server Error"), exits: []int{0}, kept: true, real: true},
	{name: "stop: 200, no file", engine: []string{"--fault", "no-trace-file"}, exits: []int{6}, long: true},
	{name: "stop: the server dies at export", engine: []string{"--fault", "die-at-export"}, exits: []int{4}, off: byEnd},
	{name: "stop: the server dies at export, a gateway does not", engine: []string{"--fault", "die-at-export"}, gateway: true, exits: []int{4}, off: byEnd},
	{name: "stop: SIGTERM to the server", at: atStop, times: 1, do: ended(syscall.SIGTERM), exits: []int{4}, off: byEnd},
	{name: "stop: the server starts again", at: atStop, times: 1, do: restarted, exits: []int{0, 4, 5, 6}},
	{name: "stop: two at once", path: pathStop, times: 1, do: doubled, exits: []int{0}, kept: true, real: true},

	// servers that the run launches
	{name: "launch: it dies at the first step", job: "launched", engine: []string{"--fault", "die-at-first-step"}, exits: []int{4}, off: byEnd},
	{name: "launch: it dies at the first step after start", job: "launched", engine: []string{"--fault", "die-after-start"}, exits: []int{4}, off: byEnd},
	{name: "launch: it dies at export", job: "launched", engine: []string{"--fault", "die-at-export"}, exits: []int{4}, off: byEnd},
	{name: "launch: it dies at the start", job: "launched", engine: []string{"--fault", "die-at-start"}, exits: []int{4}, off: byEnd},
	{name: "launch: its stop takes 4 s", job: "launched", engine: []string{"--fault", "stop-delay"}, exits: []int{0}, kept: true, off: byEnd},
	{name: "launch: SIGTERM while it records", job: "launched", at: atWindow, times: 1, do: ended(syscall.SIGTERM), exits: []int{4}, off: byEnd},
	{name: "launch: it does not know its flags", job: "launched", engine: []string{"--no-such-flag"}, exits: []int{4}, off: byEnd},
}

// doubled sends a request twice at once and hands on the answer that comes last.
func doubled(p *faultProxy, w http.ResponseWriter, r *http.Request) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := http.Post(p.to.JoinPath(r.URL.Path).String(), "", strings.NewReader(""))
		if err == nil {
			_ = resp.Body.Close() // only that it was sent matters
		}
	}()
	<-done
	p.forward(w, r)
}
