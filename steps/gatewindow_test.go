package steps

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/gate"
	"profjob/internal/trace"
	"profjob/internal/wire"
	"profjob/spec"
)

// fakeGate answers a gate's routes as a test says; what is not said answers 404 as
// a server without a gate does.
type fakeGate struct {
	mu      sync.Mutex
	calls   []string
	answers map[string]func(try int) (status int, body any)
	file    http.Handler // for files; nil: they are answered as the rest is
}

func (g *fakeGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := strings.TrimPrefix(r.URL.Path, "/profjob/gate/")
	if r.Method == http.MethodDelete {
		route = "delete"
	}
	if route == "file" && g.file != nil {
		g.file.ServeHTTP(w, r)
		return
	}
	g.mu.Lock()
	g.calls = append(g.calls, route)
	try := 0
	for _, c := range g.calls {
		if c == route {
			try++
		}
	}
	answer := g.answers[route]
	g.mu.Unlock()
	if answer == nil {
		http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
		return
	}
	status, body := answer(try)
	if status == 0 {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if data, ok := body.([]byte); ok {
		w.WriteHeader(status)
		_, _ = w.Write(data)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (g *fakeGate) asked(route string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, c := range g.calls {
		if c == route {
			n++
		}
	}
	return n
}

type answers = map[string]func(int) (int, any)

// serveGate adds a server with a gate that the run records by.
func (h *host) serveGate(a answers) (Target, *fakeGate) {
	g := &fakeGate{answers: a}
	s := httptest.NewServer(g)
	h.t.Cleanup(s.Close)
	t := Target{Name: "server", Engine: "vllm", Endpoints: []string{s.URL}, Gate: &GateParams{Secret: &spec.Secret{Value: "secret"}}}
	h.servers[s.URL] = &fakeServer{endpoint: s.URL}
	h.chose(t, StrategyGate)
	return t, g
}

func says(status int, body any) func(int) (int, any) {
	return func(int) (int, any) { return status, body }
}

// then gives one answer a try, the last of them for all that follow.
func then(bodies ...any) func(int) (int, any) {
	return func(try int) (int, any) { return http.StatusOK, bodies[min(try, len(bodies))-1] }
}

func session(state gate.State, workers ...gate.Worker) gate.Status {
	return gate.Status{Protocol: 1, State: state, Workers: workers}
}

func refusal(code, message string) map[string]any {
	return map[string]any{"error": map[string]any{"code": code, "message": message}}
}

func gateSteps(n int) []gate.Step {
	var all []gate.Step
	for i := range n {
		all = append(all, gate.Step{Pass: int64(i), Class: trace.Decode, Requests: 4, Tokens: 4, GenerationRequests: 4, GenerationTokens: 4, Sampled: true})
	}
	return all
}

func worker(core int, p gate.Progress) gate.Worker {
	return gate.Worker{Core: core, WorldSize: 1, Host: "h", PID: 7, Progress: p}
}

func TestGatedWindow(t *testing.T) {
	armed := session(gate.Armed, worker(0, gate.Progress{State: gate.Armed}))
	done := session(gate.Done, worker(0, gate.Progress{State: gate.Done, EndedBy: "steps", Recorded: 2, Steps: gateSteps(2), Files: []gate.File{{Name: "a"}}}))
	recording := session(gate.Recording, worker(0, gate.Progress{State: gate.Recording, Recorded: 1}))
	writing := session(gate.Writing, worker(0, gate.Progress{State: gate.Writing, EndedBy: "steps", Recorded: 2}))
	over := func(by string) gate.Status {
		return session(gate.Disarmed, worker(0, gate.Progress{State: gate.Disarmed, EndedBy: by, Recorded: 1}))
	}
	broken := session(gate.Failed, worker(0, gate.Progress{State: gate.Failed, EndedBy: "another worker failed"}),
		func() gate.Worker {
			w := worker(1, gate.Progress{State: gate.Failed, EndedBy: "error"})
			w.Error = "made to fail"
			return w
		}())
	for _, c := range []struct {
		name    string
		answers answers
		ended   string
		exit    int
		text    string
		disarms int // at least one unless nothing was armed
	}{
		{"recorded", answers{"arm": says(200, armed), "status": then(armed, recording, done), "disarm": says(200, done)}, EndedRecorded, ExitOK, "", 1},
		{"written late", answers{"arm": says(200, armed), "status": then(recording, writing, writing, done), "disarm": says(200, writing)}, EndedRecorded, ExitOK, "", 1},
		{"questions that fail", answers{"arm": says(200, armed), "disarm": says(200, done), "status": func(try int) (int, any) {
			return []int{0, 500, 200}[min(try, 3)-1], map[int]any{1: nil, 2: refusal("server", "busy"), 3: done}[min(try, 3)]
		}}, EndedRecorded, ExitOK, "", 1},
		{"a disarm that fails twice", answers{"arm": says(200, armed), "status": says(200, done), "disarm": func(try int) (int, any) {
			return []int{500, 0, 200}[min(try, 3)-1], map[int]any{1: refusal("server", "busy"), 2: nil, 3: done}[min(try, 3)]
		}}, EndedRecorded, ExitOK, "", 3},
		{"ended by a limit", answers{"arm": says(200, armed), "status": says(200, over("max_bytes")), "disarm": says(200, over("max_bytes"))}, EndedLimit, ExitOK, "", 1},
		{"ended by its lease", answers{"arm": says(200, armed), "status": says(200, over("lease")), "disarm": says(200, over("lease"))}, EndedAborted, ExitServer, "ended the window by itself: lease", 1},
		{"a worker of the second core fails", answers{"arm": says(200, armed), "status": says(200, broken), "disarm": says(200, broken)}, EndedAborted, ExitServer,
			"core 1 rank 0 (h, process 7): made to fail", 1},
		{"started again meanwhile", answers{"arm": says(200, armed), "status": says(404, refusal("not_found", "no such session")), "disarm": says(404, refusal("not_found", "no such session"))},
			EndedAborted, ExitServer, "the gate lost the window", 1},
		{"busy", answers{"arm": says(409, refusal("busy", "session x is armed"))}, "", ExitServer, "session x is armed", 0},
		{"another secret", answers{"arm": says(401, refusal("unauthorized", "wrong"))}, "", ExitServer, "refused the secret", 0},
		{"no gate any more", answers{}, "", ExitServer, "has no gate", 0},
		{"an arming of which nobody knows", answers{"arm": says(0, nil), "disarm": says(200, over("disarm"))}, EndedAborted, ExitServer, "arm the gate", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target, g := h.serveGate(c.answers)
			w := stepsWindow(2, target)
			result, err := h.do(t.Context(), w)
			if undoErr := w.Undo(t.Context(), h.Run); undoErr != nil {
				t.Errorf("undo: %v", undoErr)
			}
			failed(t, err, c.exit, c.text)
			if got, ok := result.(WindowResult); ok != (c.ended != "") || ok && (got.Ended != c.ended || got.Endpoints[0].Gate.Session != "20261124T031500Z-010203-1-1") {
				t.Errorf("ended %+v, want %s", result, c.ended)
			}
			if got, ok := result.(WindowResult); ok && c.ended == EndedRecorded && len(got.Endpoints[0].Gate.Workers[0].Files) != 1 {
				t.Errorf("it was not waited for the file: %+v", got.Endpoints[0].Gate)
			}
			if n := g.asked("disarm"); n < c.disarms || c.disarms == 0 && n > 0 {
				t.Errorf("disarmed %d times, want %d", n, c.disarms)
			}
			if left := h.armed.list(); len(left) > 0 {
				t.Errorf("still armed: %v", left)
			}
			if h.servers[target.Endpoints[0]].calls != nil {
				t.Errorf("its own profiler was asked, too: %v", h.servers[target.Endpoints[0]].calls)
			}
		})
	}
}

// TestGateThatCannotBeDisarmed: it stays armed for us, and the error says until when.
func TestGateThatCannotBeDisarmed(t *testing.T) {
	h := newHost(t)
	recording := session(gate.Recording, worker(0, gate.Progress{State: gate.Recording}))
	done := session(gate.Done, worker(0, gate.Progress{State: gate.Done, EndedBy: "steps"}))
	target, _ := h.serveGate(answers{"arm": says(200, recording), "status": says(200, done), "disarm": says(500, refusal("server", "no"))})
	w := stepsWindow(2, target)
	if _, err := h.do(t.Context(), w); err != nil {
		t.Fatal(err) // what it wrote can be had all the same
	}
	failed(t, w.Undo(t.Context(), h.Run), ExitServer, "it ends by itself 30s after it last heard of us")
	if len(h.armed.list()) != 1 {
		t.Error("it is not armed any more")
	}
}

func TestArmRequest(t *testing.T) {
	tokens := stepsWindow(3)
	tokens.Form, tokens.Tokens = "tokens", &TokensParams{Threshold: 8, AtMost: 9, Phase: "decode", SkipRequests: 2, All: true}
	tokens.Record = Record{Shapes: true, Activities: []string{"cpu"}}
	until := manualWindow(0)
	until.Until = "stopped"
	long := stepsWindow(3)
	long.Timeout, long.MaxTraceSize, long.Delay = wire.Duration(2*time.Hour), 1<<40, 4
	for name, c := range map[string]struct {
		w    *Window
		want gate.ArmRequest
	}{
		"tokens": {tokens, gate.ArmRequest{Window: gate.Window{Steps: 3, Threshold: 8, AtMost: 9, Phase: gate.Decode, All: true, SkipRequests: 2},
			Record: gate.Record{Shapes: true}, Activities: []string{"cpu"}, Limits: gate.Limits{Steps: 3, Duration: 5 * time.Minute}}},
		"steps": {long, gate.ArmRequest{Window: gate.Window{Steps: 3, Delay: 4}, Limits: gate.Limits{Steps: 3, Duration: time.Hour, Bytes: 64 << 30}}},
		"manual": {manualWindow(2 * time.Second), gate.ArmRequest{Window: gate.Window{Duration: 2 * time.Second},
			Limits: gate.Limits{Steps: 10000, Duration: 64 * time.Second}}},
		"until stopped": {until, gate.ArmRequest{Window: gate.Window{Duration: 5 * time.Minute}, Limits: gate.Limits{Steps: 10000, Duration: 5 * time.Minute}}},
	} {
		c.want.Session, c.want.Lease = "s", 30*time.Second
		got := c.w.armRequest("s")
		if a, b := mustJSON(t, got), mustJSON(t, c.want); a != b {
			t.Errorf("%s:\n%s\nwant\n%s", name, a, b)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// gateTrace writes a trace of decode steps of four requests as a gate does.
func gateTrace(t *testing.T, steps int) []byte {
	t.Helper()
	events := []map[string]any{{"ph": "X", "cat": "Trace", "name": "PyTorch Profiler (0)", "pid": "Spans", "tid": "PyTorch Profiler", "ts": 900, "dur": 1000 * (steps + 2)}}
	for i := range steps {
		at := 1000 + 1000*i
		events = append(events,
			map[string]any{"ph": "X", "cat": "user_annotation", "name": "execute_context_0(0)_generation_4(4)", "pid": 1, "tid": 1, "ts": at, "dur": 500},
			map[string]any{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": at + 10, "dur": 100},
			map[string]any{"ph": "X", "cat": "cpu_op", "name": "aten::argmax", "pid": 1, "tid": 1, "ts": at + 600, "dur": 100})
	}
	data, err := json.Marshal(map[string]any{"schemaVersion": 1, "record_shapes": 1, "traceEvents": events})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// gateRun has a window recorded by a fake gate, and its file collected and verified.
func gateRun(t *testing.T, steps int, p gate.Progress, edit func(*Verify, *gate.Worker)) (VerifyResult, *fakeGate, error) {
	t.Helper()
	h := newHost(t)
	data := gateTrace(t, steps)
	sum := sha256.Sum256(data)
	p.Files = []gate.File{{Name: "w.pt.trace.json", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}}
	w := worker(0, p)
	v := &Verify{Header: Header{Name: "round-01/verify", Round: 1}, Form: "steps", Count: 2, KeepOriginal: true}
	if edit != nil {
		edit(v, &w)
	}
	target, g := h.serveGate(answers{"file": says(http.StatusPartialContent, data), "delete": says(200, map[string]any{"deleted": true})})
	v.Targets = []Target{target}
	h.State.Put(h.Place, WindowResult{Ended: EndedRecorded, Endpoints: []EndpointWindow{{Target: "server", Endpoint: target.Endpoints[0], Strategy: StrategyGate,
		Stopped: true, Gate: &GateSession{Session: "s", Workers: []gate.Worker{w}}}}})
	c := &Collect{Header: Header{Name: "round-01/collect", Round: 1}, Targets: v.Targets, Timeout: wire.Duration(time.Minute), DeleteRemote: true}
	for range 2 { // a second try finds what the first has fetched
		if _, err := h.do(t.Context(), c); err != nil {
			return VerifyResult{}, g, err
		}
	}
	result, err := h.do(t.Context(), v)
	got, _ := result.(VerifyResult)
	return got, g, err
}

func TestGateFile(t *testing.T) {
	full := gate.Progress{State: gate.Done, EndedBy: "steps", Recorded: 2, Steps: gateSteps(2)}
	with := func(edit func(*gate.Progress)) gate.Progress {
		p := full
		p.Steps = slices.Clone(p.Steps)
		edit(&p)
		return p
	}
	for _, c := range []struct {
		name   string
		steps  int // that the trace shows
		told   gate.Progress
		edit   func(*Verify, *gate.Worker)
		reason string // empty: exact
	}{
		{"as asked", 2, full, nil, ""},
		{"the trace shows less", 1, full, nil, "the trace shows 1 whole engine steps"},
		{"the trace shows more", 3, full, nil, "the trace shows 3 whole engine steps"},
		{"other tokens", 2, with(func(p *gate.Progress) { p.Steps[1].Tokens = 5 }), nil, "the gate tells of 5 tokens of 4 requests in the 2. engine step"},
		{"another class", 2, with(func(p *gate.Progress) { p.Steps[0].Class = trace.Mixed }), nil, "the gate calls the 1. engine step mixed"},
		{"no sampling", 2, with(func(p *gate.Progress) { p.Steps[1].Sampled = false }), nil, "without its sampling"},
		{"ended before", 2, with(func(p *gate.Progress) { p.EndedBy = "disarm" }), nil, "the gate ended it before its time (disarm)"},
		{"a first step that does not qualify", 2, full, func(v *Verify, _ *gate.Worker) {
			v.Form, v.Tokens = "tokens", &TokensParams{Threshold: 5, Phase: PhaseAny}
		}, "the 1. engine step, execute_context_0(0)_generation_4(4), is none that was asked for"},
		{"by hand", 2, with(func(p *gate.Progress) { p.EndedBy = "duration" }), func(v *Verify, _ *gate.Worker) {
			v.Form, v.Count, v.Duration = "manual", 0, wire.Duration(4*time.Millisecond)
		}, ""},
		{"by hand, for another time", 2, with(func(p *gate.Progress) { p.EndedBy = "duration" }), func(v *Verify, _ *gate.Worker) {
			v.Form, v.Count, v.Duration = "manual", 0, wire.Duration(time.Second)
		}, "it was recorded for 4ms, 1s were asked for"},
		{"until stopped", 2, with(func(p *gate.Progress) { p.EndedBy = "disarm" }), func(v *Verify, _ *gate.Worker) {
			v.Form, v.Count, v.Until = "manual", 0, "stopped"
		}, ""},
		{"until stopped, by its timeout", 2, with(func(p *gate.Progress) { p.EndedBy = "duration" }), func(v *Verify, _ *gate.Worker) {
			v.Form, v.Count, v.Until = "manual", 0, "stopped"
		}, "nobody ended the window before its timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, g, err := gateRun(t, c.steps, c.told, c.edit)
			if c.reason == "" && err != nil || c.reason != "" && err == nil {
				t.Fatalf("error %v, want reason %q", err, c.reason)
			}
			w := got.Windows[0]
			if w.Exact != (c.reason == "") || !strings.Contains(w.Reason, c.reason) || w.Got.Trimmed || deref(w.Core) != 0 || deref(w.Rank) != 0 {
				t.Errorf("got %+v, want reason %q", w, c.reason)
			}
			if n := g.asked("file"); n != 1 {
				t.Errorf("the file was fetched %d times", n)
			}
		})
	}
}

func deref(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

func TestGateFileThatIsNotWhole(t *testing.T) {
	_, _, err := gateRun(t, 2, gate.Progress{State: gate.Done, EndedBy: "steps", Recorded: 2}, func(_ *Verify, w *gate.Worker) { w.Files[0].SHA256 = "00" })
	failed(t, err, ExitIncomplete, "core 0 rank 0")
	_, _, err = gateRun(t, 2, gate.Progress{State: gate.Done, EndedBy: "steps", Recorded: 2}, func(_ *Verify, w *gate.Worker) { w.Files = nil })
	failed(t, err, ExitIncomplete, "it recorded 2 engine steps and has no file")
}

// TestNothingQualified: each core that never saw a step to begin with is named.
func TestNothingQualified(t *testing.T) {
	h := newHost(t)
	target, _ := h.serveGate(nil)
	h.State.Put(h.Place, WindowResult{Ended: EndedTimeout, Endpoints: []EndpointWindow{{Target: "server", Endpoint: target.Endpoints[0], Strategy: StrategyGate, Stopped: true,
		Gate: &GateSession{Session: "s", Workers: []gate.Worker{worker(0, gate.Progress{State: gate.Disarmed, Counted: 12}), worker(1, gate.Progress{State: gate.Disarmed})}}}}})
	c := &Collect{Targets: []Target{target}, Timeout: wire.Duration(time.Minute), ExpectRanks: 2}
	if _, err := h.do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	v := &Verify{Targets: []Target{target}, Form: "tokens", Count: 2, Tokens: &TokensParams{Threshold: 9, Phase: "decode"}}
	result, err := h.do(t.Context(), v)
	failed(t, err, ExitWindow, "of 12 engine steps that came while the gate was armed, none was one to begin with")
	failed(t, err, ExitWindow, "no engine step came while the gate was armed")
	if got := result.(VerifyResult); len(got.Windows) != 2 || deref(got.Windows[1].Core) != 1 {
		t.Errorf("windows %+v", got.Windows)
	}
}

func TestProbeAsksTheGate(t *testing.T) {
	hello := func(edit func(*gate.Worker)) map[string]any {
		w := gate.Worker{Setting: gate.Setting{Activities: []string{"cpu"}, MaxNumBatchedTokens: 512}}
		if edit != nil {
			edit(&w)
		}
		return map[string]any{"gate": "1.0.0", "protocol": 1, "workers": []gate.Worker{w, {Setting: gate.Setting{Activities: []string{"cpu", "device"}, MaxNumBatchedTokens: 2048}}}}
	}
	for _, c := range []struct {
		name   string
		answer func(int) (int, any)
		edit   func(*Probe, *Target)
		want   string // strategy
		text   string // of the error
	}{
		{"there", says(200, hello(nil)), nil, StrategyGate, ""},
		{"there, whatever the server's own profiler cannot", says(200, hello(nil)), func(p *Probe, _ *Target) { p.Record.Stack = true }, StrategyGate, ""},
		{"not there", nil, nil, StrategyObserved, ""},
		{"not there, and nothing else reaches the files", nil, func(_ *Probe, t *Target) { t.Gate.Only = true }, "", "has no gate"},
		{"not there though launched", nil, func(_ *Probe, t *Target) { t.Launch = &LaunchParams{} }, "", "its command must pass PYTHONPATH"},
		{"another protocol", says(200, map[string]any{"gate": "9.0.0", "protocol": 9}), nil, "", "profjob gate install DIR"},
		{"another secret", says(401, refusal("unauthorized", "wrong")), nil, "", "gate.secret must be"},
		{"more tokens than there can be", says(200, hello(nil)), func(p *Probe, _ *Target) { p.Tokens = &TokensParams{Threshold: 513, Phase: PhaseAny} }, "", "at most 512 in one"},
		{"more steps than it records", says(200, hello(nil)), func(p *Probe, _ *Target) { p.Count = 10001 }, "", "at most 10000 engine steps"},
		{"no device", says(200, hello(nil)), func(p *Probe, _ *Target) { p.Record.Activities = []string{"device"} }, "", "cannot record activity device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target, g := h.serveGate(answers{"hello": c.answer})
			h.servers[target.Endpoints[0]].probe = func() (engine.Info, error) {
				return engine.Info{Engine: "vllm", Version: "0.15.1", Profiling: engine.ProfilingConfigured, Record: &engine.Record{}, Evidence: "annotation"}, nil
			}
			p := &Probe{Strategies: []string{StrategyGate, StrategyObserved}, Count: 5}
			if c.edit != nil {
				c.edit(p, &target)
			}
			p.Targets = []Target{target}
			result, err := h.do(t.Context(), p)
			if c.want == "" {
				failed(t, err, ExitServer, c.text)
				var f *Failure
				if !errors.As(err, &f) || !f.Final || g.asked("hello") > 1 {
					t.Errorf("%v is not final", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := result.(ProbeResult).Endpoints[0].Choice.Strategy; got != c.want || hasWarning(h, "the server has no gate") != (c.want != StrategyGate) {
				t.Errorf("chose %s, warnings %q", got, h.Warnings())
			}
		})
	}
}

// TestLaunchWithGate: the plugin lies in the run's scratch folder, the secret is in
// the server's environment and nowhere else.
func TestLaunchWithGate(t *testing.T) {
	h := newHost(t)
	process := newProcess()
	h.guard.launch = func(LaunchSpec) (Process, error) { return process, nil }
	target := h.serve("a")
	target.Gate = &GateParams{}
	target.Launch = &LaunchParams{Command: []string{"vllm", "serve"}, Env: map[string]spec.Secret{"PYTHONPATH": {Value: "/mine"}, "VLLM_PLUGINS": {Value: "other"}},
		ReadyTimeout: wire.Duration(time.Minute)}
	target.Endpoints = []string{"http://127.0.0.1:9"}
	h.servers["http://127.0.0.1:9"] = h.server("a")
	l := &Launch{Targets: []Target{target}}
	result, err := h.do(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, assignment := range h.guard.specs[0].Env {
		name, value, _ := strings.Cut(assignment, "=")
		env[name] = value
	}
	secret := env[gate.SecretEnv]
	plugin, mine, _ := strings.Cut(env["PYTHONPATH"], ":")
	if len(secret) < 20 || mine != "/mine" || env["VLLM_PLUGINS"] != "profjob_gate,other" || !strings.HasPrefix(env[gate.RootEnv], h.Dir.Path()) {
		t.Errorf("environment %q", env)
	}
	if _, err := os.Stat(filepath.Join(plugin, "profjob_gate.py")); err != nil {
		t.Error(err)
	}
	if slices.Contains(h.guard.specs[0].Command, "--profiler-config") || env["VLLM_TORCH_PROFILER_DIR"] != "" {
		t.Error("the server got a profiler of its own, too")
	}
	if text := mustJSON(t, result); strings.Contains(text, secret) {
		t.Errorf("the secret is in the result: %s", text)
	}
	if got, err := h.gateSecret(target); err != nil || got != secret {
		t.Errorf("the run's secret is %q, %v", got, err)
	}
	log := h.Dir.Join("logs", "server.log")
	if err := os.WriteFile(log, []byte("env: "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Undo(t.Context(), h.Run); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(log); err != nil || strings.Contains(string(data), secret) {
		t.Errorf("the log has %q, %v", data, err)
	}
}

func TestUnlikeCores(t *testing.T) {
	step := func(name string, at int64) archive.Step { return archive.Step{Name: name, StartNS: at, DurationNS: 10} }
	window := func(core, rank int, steps ...archive.Step) archive.Window {
		return archive.Window{Target: "server", Core: &core, Rank: &rank, Exact: true, Got: archive.Got{EngineSteps: steps}}
	}
	all := []archive.Window{window(0, 0, step("a", 0)), window(0, 1, step("a", 5)), window(1, 2, step("b", 90)), window(1, 3, step("c", 92))}
	unlikeRanks(all)
	if !all[1].Exact || !all[2].Exact || all[3].Exact || !strings.Contains(all[3].Reason, "not those of rank 2") {
		t.Errorf("got %+v", all)
	}
}
