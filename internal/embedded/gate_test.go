package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"profjob/internal/gate"
	"profjob/internal/gate/gatetest"
)

const gateSecret = "s3cret"

// completions asks a server for completions of so many tokens.
func (r *running) completions(ctx context.Context, prompt, output int) error {
	ids := strings.Repeat("65,", prompt-1) + "66"
	got, err := r.do(ctx, "POST", "/v1/completions", fmt.Sprintf(`{"prompt":[%s],"max_tokens":%d,"ignore_eos":true}`, ids, output))
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", got.status, got.body)
	}
	return err
}

// The gate is the same in every dialect, whatever the server was launched with.
func TestGate(t *testing.T) {
	own := Config{ // a profiler of its own, configured in another way and off
		Dialect: V015, TraceDir: t.TempDir(), Record: Record{Stack: true, Shapes: true, Memory: true}, DelayIterations: 3, MaxIterations: 2,
	}
	servers := []struct {
		name    string
		config  Config
		windows int
	}{
		{"0.11", Config{Dialect: V011}, 4}, {"0.15", own, 4}, {"0.32", Config{Dialect: V032}, 10}, {"Ray", Config{Dialect: V032, Ray: true}, 3},
	}
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if underRace {
				s.windows = 2
			}
			c := s.config
			c.GateSecret, c.GateRoot, c.StepFloor = gateSecret, t.TempDir()+"/root", time.Millisecond
			r := serve(t, c)
			gatetest.Run(t, gatetest.Server{
				Endpoint: r.url, Windows: s.windows, Secret: gateSecret, Complete: r.completions,
				VLLM: c.Dialect.Version(), Hooks: hooks(c.Dialect), Ray: c.Ray,
			})
		})
	}
}

// Without a secret the routes do not exist.
func TestNoGate(t *testing.T) {
	for _, dialect := range Dialects() {
		r := serve(t, Config{Dialect: dialect, TraceDir: t.TempDir(), GateRoot: t.TempDir()})
		for _, route := range []string{"GET hello", "POST arm", "GET status?session=s", "POST renew", "POST disarm", "GET file?session=s&name=x", "DELETE file?session=s&name=x"} {
			method, path, _ := strings.Cut(route, " ")
			if got := r.send(method, "/profjob/gate/"+path, ""); got.status != http.StatusNotFound || got.body != notFound {
				t.Errorf("%s: %s: %d %s", dialect, route, got.status, got.body)
			}
		}
	}
}

// armed is a server with a session of the gate, without any traffic yet.
func armed(t *testing.T, c Config, window gate.Window) (*running, *gate.Client) {
	t.Helper()
	c.GateSecret, c.GateRoot = gateSecret, t.TempDir()
	r := serve(t, c)
	client, err := gate.New(r.url, gateSecret, r.client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Arm(t.Context(), gate.ArmRequest{Session: "s", Window: window}); err != nil {
		t.Fatal(err)
	}
	return r, client
}

func (r *running) settled(client *gate.Client) gate.Worker {
	r.t.Helper()
	var w gate.Worker
	wait(r.t, "the session to end", func() bool {
		got, err := client.Status(r.t.Context(), "s")
		if err != nil {
			r.t.Fatal(err)
		}
		w = got.Workers[0]
		return got.State.Ended()
	})
	return w
}

// Torch has one profiler at a time: while the server's own records, nothing is
// armed; what the gate waits for fails if the server's own begins before.
func TestGateBesideTheServersOwnProfiler(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			r, client := armed(t, Config{Dialect: dialect, TraceDir: t.TempDir()}, gate.Window{Steps: 2})
			r.ok("POST", "/start_profile", "")
			r.complete(5, 3)
			if w := r.settled(client); w.State != gate.Failed || !strings.Contains(string(w.Error), "another profiler is recording") {
				t.Errorf("armed before the server's own began: %+v", w)
			}
			_, err := client.Arm(t.Context(), gate.ArmRequest{Session: "t", Window: gate.Window{Steps: 2}})
			if !errors.Is(err, gate.ErrBusy) || !strings.Contains(err.Error(), "own profiler") {
				t.Errorf("while the server's own records: %v", err)
			}
			r.ok("POST", "/stop_profile", "")
			if _, err := client.Arm(t.Context(), gate.ArmRequest{Session: "t", Window: gate.Window{Steps: 2}}); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// While the gate records, a start of the server's own fails inside the server:
// 0.11 says so, newer ones write no trace of the worker.
func TestServersOwnProfilerBesideTheGate(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			dir := t.TempDir()
			r, client := armed(t, Config{Dialect: dialect, TraceDir: dir}, gate.Window{Duration: time.Minute})
			r.complete(5, 3)
			want := http.StatusOK
			if dialect == V011 {
				want = http.StatusInternalServerError
			}
			if got := r.send("POST", "/start_profile", ""); got.status != want {
				t.Errorf("start: %d %s, want %d", got.status, got.body, want)
			}
			r.complete(5, 3)
			if got := r.send("POST", "/stop_profile", ""); got.status != want {
				t.Errorf("stop: %d %s, want %d", got.status, got.body, want)
			}
			for _, path := range files(t, dir, "*.pt.trace.json.gz") {
				if !strings.Contains(path, "async_llm") {
					t.Errorf("a trace of the worker: %s", path)
				}
			}
			if _, err := client.Disarm(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
			if w := r.settled(client); w.State != gate.Disarmed || len(w.Steps) != 6 || len(w.Files) != 1 {
				t.Errorf("the gate's: %+v", w)
			}
		})
	}
}

// An engine that is dead is told of, and arms nothing.
func TestGateOfADeadEngine(t *testing.T) {
	s, err := New(Config{GateSecret: gateSecret, GateRoot: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	client, err := gate.New(web.URL, gateSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := client.Hello(t.Context()); err != nil || len(h.Workers) != 1 || !strings.Contains(string(h.Workers[0].Error), "EngineDeadError") {
		t.Errorf("hello: %+v, %v", h, err)
	}
	_, err = client.Arm(t.Context(), gate.ArmRequest{Session: "s", Window: gate.Window{Steps: 1}})
	if !errors.Is(err, gate.ErrServer) || !strings.Contains(err.Error(), "503") {
		t.Errorf("arm: %v", err)
	}
	if got, err := client.Status(t.Context(), "s"); err != nil || got.State != gate.Failed || !strings.Contains(string(got.Workers[0].Error), "EngineDeadError") {
		t.Errorf("status: %+v, %v", got, err)
	}
	if _, err := client.Range(t.Context(), "s", "x", 0, 1); !errors.Is(err, gate.ErrSession) {
		t.Errorf("file: %v", err)
	}
}

// As with vLLM, what is being recorded when a server ends is lost; what is being
// written is written.
func TestShutdownWhileTheGateRecords(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps int
		files int
	}{{"recording", 100, 0}, {"writing", 3, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			r, client := armed(t, Config{}, gate.Window{Steps: tc.steps})
			h, err := client.Hello(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			root := h.Workers[0].Root
			r.complete(5, 3)
			r.end()
			<-r.ended
			if found := files(t, root, "*"); len(found) != tc.files {
				t.Errorf("files %q, want %d", found, tc.files)
			}
			if found := files(t, root, ".*.*"); len(found) > 0 {
				t.Errorf("half files %q", found)
			}
		})
	}
}

// In Ray mode the server's own profiler starts in another thread than that of the
// passes, and records none of them; the gate does.
func TestRayPassesTheServersOwnProfilerBy(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			c := Config{Dialect: dialect, Ray: true}
			if dialect != V011 {
				c.MaxIterations = 1
			}
			dir, _, _ := record(t, c)
			if n := len(workerTrace(t, dir).named("cpu_op", "")); n > 0 {
				t.Errorf("%d operators", n)
			}
		})
	}
}

// In Ray mode an idle server cannot end a recording: the worker says so.
func TestRayStopsWithAPass(t *testing.T) {
	r, client := armed(t, Config{Ray: true}, gate.Window{Duration: time.Minute})
	r.complete(5, 3)
	got, err := client.Disarm(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if w := got.Workers[0]; w.State != gate.Recording || w.Stopping != "disarm" || w.Recorded != 3 {
		t.Errorf("disarmed on an idle server: %+v", w)
	}
	r.complete(5, 3)
	if w := r.settled(client); w.State != gate.Disarmed || w.EndedBy != "disarm" || len(w.Steps) != 3 || len(w.Files) != 1 {
		t.Errorf("after another pass: %+v", w)
	}

	if got, err = client.Arm(t.Context(), gate.ArmRequest{Session: "t", Window: gate.Window{Steps: 1}}); err != nil {
		t.Fatal(err)
	}
	if w := got.Workers[0]; w.Begin != w.Passes+1 {
		t.Errorf("the window begins at pass %d of a server that has seen %d, want the next one", w.Begin, w.Passes)
	}
}

// gateWindow asks the gate for two steps and checks that their trace has them.
func (r *running) gateWindow(t *testing.T, c Config) {
	t.Helper()
	client, err := gate.New(r.url, gateSecret, r.client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Arm(t.Context(), gate.ArmRequest{Session: "s", Window: gate.Window{Steps: 2, Phase: gate.Decode}}); err != nil {
		t.Fatal(err)
	}
	r.complete(5, 20)
	w := r.settled(client)
	if w.State != gate.Done || len(w.Steps) != 2 || len(w.Files) != 1 {
		t.Fatalf("%s, Ray %t: %+v", c.Dialect, c.Ray, w)
	}
	trace := readTrace(t, one(t, c.GateRoot, "*.pt.trace.json.gz"))
	if got, want := trace.annotations(), slices.Repeat([]string{"execute_context_0(0)_generation_1(1)"}, 2); !slices.Equal(got, want) {
		t.Errorf("%s, Ray %t: annotations %q", c.Dialect, c.Ray, got)
	}
}
