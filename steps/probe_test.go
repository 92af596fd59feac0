package steps

import (
	"errors"
	"strings"
	"testing"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/engine"
	"profjob/internal/event"
)

func TestChoose(t *testing.T) {
	steps := []string{StrategyBounded, StrategyObserved}
	for _, c := range []struct {
		name    string
		allowed []string
		weakest string
		info    engine.Info
		want    string
		err     string
	}{
		{"bounds", steps, "", engine.Info{PerRequestBounds: true, Evidence: "annotation"}, StrategyBounded, ""},
		{"no bounds", steps, "", engine.Info{Evidence: "structure"}, StrategyObserved, ""},
		{"by hand", []string{StrategyTimed}, "", engine.Info{PerRequestBounds: true}, StrategyTimed, ""},
		{"bounds only", []string{StrategyBounded}, "", engine.Info{}, "", "bounded: the server's /start_profile takes no bound"},
		{"unknown", []string{"other"}, "", engine.Info{}, "", "other: unknown strategy"},
		{"nothing allowed", nil, "", engine.Info{}, "", "no strategy serves"},
		{"evidence is there", steps, "annotation", engine.Info{Evidence: "annotation"}, StrategyObserved, ""},
		{"evidence is better", steps, "structure", engine.Info{Evidence: "scope"}, StrategyObserved, ""},
		{"evidence is weaker", steps, "annotation", engine.Info{Engine: "vllm", Version: "0.11.0", Evidence: "structure"}, "", "traces of vllm 0.11.0 hold only structure"},
		{"evidence is not known", steps, "annotation", engine.Info{}, StrategyObserved, ""},
	} {
		got, err := Choose(c.allowed, c.weakest, c.info)
		if got.Strategy != c.want || (err == nil) != (c.err == "") || err != nil && (!errors.Is(err, ErrNoStrategy) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if err == nil && got.Why == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
	if got := strings.Join(Serving(engine.Info{}, nil), " "); got != "observed timed" {
		t.Error(got)
	}
	if got := strings.Join(Serving(engine.Info{PerRequestBounds: true}, nil), " "); got != "bounded observed timed" {
		t.Error(got)
	}
	notConfigured := engine.Info{Profiling: engine.ProfilingNotConfigured}
	if got := strings.Join(Serving(notConfigured, &GateInfo{}), " "); got != "gate" || len(Serving(notConfigured, nil)) > 0 {
		t.Error(got)
	}
}

func probeOf(targets ...Target) *Probe {
	return &Probe{Header: Header{Name: "probe"}, Targets: targets, Strategies: []string{StrategyBounded, StrategyObserved}}
}

func TestProbe(t *testing.T) {
	good := engine.Info{Engine: "vllm", Version: "0.32.0", Profiling: engine.ProfilingConfigured, Evidence: "annotation", PerRequestBounds: true,
		Record: &Record{Shapes: true}}
	with := func(change func(*engine.Info)) func() (engine.Info, error) {
		info := good
		change(&info)
		return func() (engine.Info, error) { return info, nil }
	}
	fails := func(err error) func() (engine.Info, error) {
		return func() (engine.Info, error) { return engine.Info{}, err }
	}
	for _, c := range []struct {
		name      string
		probe     func() (engine.Info, error)
		asked     Record
		evidence  string
		exit      int
		text      string
		transient bool
		warning   string
	}{
		{name: "good", probe: with(func(*engine.Info) {}), asked: Record{Shapes: true}},
		{name: "activity", probe: with(func(i *engine.Info) { i.Record = &Record{Activities: []string{"cpu", "device"}} }), asked: Record{Activities: []string{"device"}}},
		{name: "activity not told", probe: with(func(*engine.Info) {}), asked: Record{Activities: []string{"device"}}},
		{name: "without the activity", probe: with(func(i *engine.Info) { i.Record = &Record{Activities: []string{"cpu"}} }), asked: Record{Activities: []string{"cpu", "device"}},
			exit: ExitServer, text: "was launched without activity device, which the record block asks for"},
		{name: "not reachable", probe: fails(errRefusedConn), exit: ExitServer, text: "probe server: server is not reachable", transient: true},
		{name: "no such server", probe: fails(engine.ErrNotServer), exit: ExitServer, text: "probe server: not a server of this kind"},
		{name: "not configured", probe: with(func(i *engine.Info) { i.Profiling = engine.ProfilingNotConfigured }), exit: ExitServer, text: "launch it with --profiler-config"},
		{name: "perhaps configured", probe: with(func(i *engine.Info) { i.Profiling = engine.ProfilingUnknown })},
		{name: "an option it cannot give", probe: with(func(*engine.Info) {}), asked: Record{Stack: true}, exit: ExitServer, text: "launched without stack"},
		{name: "options it does not tell", probe: with(func(i *engine.Info) { i.Record = nil }), asked: Record{Stack: true}},
		{name: "weak evidence", probe: with(func(i *engine.Info) { i.Evidence = "structure" }), evidence: "scope", exit: ExitServer, text: "window.evidence asks for scope"},
		{name: "a note", probe: with(func(i *engine.Info) { i.Notes = []string{"deprecated"} }), warning: "server: deprecated"},
		{name: "another directory", probe: with(func(i *engine.Info) { i.TraceDir = "/elsewhere" }), warning: "it writes to /elsewhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.server("a").probe = c.probe
			p := probeOf(target)
			p.Record, p.Evidence = c.asked, c.evidence
			result, err := h.do(t.Context(), p)
			failed(t, err, c.exit, c.text)
			var permanent *backoff.PermanentError
			if err != nil && errors.As(err, &permanent) == c.transient {
				t.Errorf("transient %t: %v", !c.transient, err)
			}
			if c.exit == 0 && !strings.HasPrefix(result.(ProbeResult).Summary(), "server is vllm 0.32.0: bounded, evidence ") {
				t.Error(result.(ProbeResult).Summary())
			}
			if got := strings.Join(h.Warnings(), "\n"); !strings.Contains(got, c.warning) || (got == "") != (c.warning == "") {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

// What a run and the plan's view say of a server is one judgement.
func TestJudge(t *testing.T) {
	good := engine.Info{Engine: "vllm", Version: "0.32.0", Profiling: engine.ProfilingConfigured, Evidence: "annotation", Record: &Record{Memory: true}}
	unconfigured := good
	unconfigured.Profiling = engine.ProfilingNotConfigured
	for _, c := range []struct {
		name     string
		info     engine.Info
		asked    Record
		evidence string
		want     string
	}{
		{"good", good, Record{Memory: true}, "annotation", ""},
		{"not configured", unconfigured, Record{}, "", "launch it with --profiler-config"},
		{"an option is missing", good, Record{Shapes: true, Memory: true}, "", "the server was launched without shapes, which the record block asks for; launch it with --profiler-config"},
		{"no strategy", good, Record{}, "gold", "window.evidence asks for gold"},
	} {
		p := probeOf(Target{Name: "server", Engine: "vllm"})
		p.Record, p.Evidence = c.asked, c.evidence
		choice, err := p.Judge(p.Target("server"), "/traces", c.info, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || (choice.Strategy == StrategyObserved) != (err == nil) {
			t.Errorf("%s: %+v, %v", c.name, choice, err)
		}
		if errors.Is(err, engine.ErrNotConfigured) != (c.name == "not configured") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestProbeOfTwoVersions(t *testing.T) {
	h := newHost(t)
	target := h.serve("a", "b")
	h.server("b").probe = func() (engine.Info, error) {
		return engine.Info{Engine: "vllm", Version: "0.15.1", Profiling: engine.ProfilingConfigured, Evidence: "annotation"}, nil
	}
	if _, err := h.do(t.Context(), probeOf(target)); err != nil || !hasWarning(h, "endpoints of different versions: 0.32.0 and 0.15.1") {
		t.Errorf("%v, warnings %q", err, h.Warnings())
	}
}

// Where the job file does not say where traces are, the server may; a path relative
// to the server's own directory is of no use.
func TestTraceDirFromTheServer(t *testing.T) {
	for told, want := range map[string]string{"/var/traces": "/var/traces", "./traces": "", "": ""} {
		h := newHost(t)
		target := h.serve("a")
		target.TraceDir = ""
		h.State.Put(event.Place{}, ProbeResult{Endpoints: []Probed{{Target: "server", Info: engine.Info{TraceDir: told}}}})
		if got := h.traceDir(target); got != want {
			t.Errorf("%q: %q, want %q", told, got, want)
		}
	}
}

func TestWhatToSet(t *testing.T) {
	target := Target{Name: "server", Engine: "vllm"}
	if got := WhatToSet(target, "/t", "0.11.0", Record{}); !strings.HasPrefix(got, "launch it with VLLM_") || !strings.Contains(got, " VLLM_TORCH_PROFILER_DIR=/t ") {
		t.Error(got)
	}
	if got := WhatToSet(target, "", "0.32.0", Record{}); !strings.Contains(got, `--profiler-config '{`) || !strings.Contains(got, "/path/for/traces") {
		t.Error(got)
	}
	if got := WhatToSet(target, "/t", "0.9.0", Record{FLOPs: true}); !strings.Contains(got, "0.9.0") {
		t.Error(got)
	}
}
