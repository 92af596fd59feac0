package omni

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/engine"
)

var update = flag.Bool("update", false, "write the golden files and the tables of docs/omni.md anew")

// versions are one of each generation.
var versions = map[Generation]string{G1: "0.9.0", G2: "0.11.0", G3: "0.14.0", G4: "0.20.0", G5: "0.25.1"}

// render shows a Setup, one thing a line, sorted.
func render(s engine.Setup) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dialect %s\n", s.Dialect)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "env %s=%s\n", name, s.Env[name])
	}
	for _, arg := range s.Args {
		fmt.Fprintf(&b, "arg %s\n", arg)
	}
	for _, note := range s.Notes {
		fmt.Fprintf(&b, "note %s\n", note)
	}
	return b.String()
}

// TestSetupGolden shows what each generation is told for some windows.
func TestSetupGolden(t *testing.T) {
	var b strings.Builder
	for _, g := range Generations() {
		for _, c := range []struct {
			name   string
			tokens *engine.TokenWindow
			record engine.Record
		}{
			{"started over HTTP", nil, engine.Record{}},
			{"the defaults: 5 steps from 1 token on", &engine.TokenWindow{Threshold: 1, Steps: 5, Phase: phaseAny}, engine.Record{}},
			{"one decode of 64, with shapes and stacks", &engine.TokenWindow{Threshold: 64, Steps: 1, Phase: phaseDecode}, engine.Record{Shapes: true, Stack: true}},
			{"a prefill of at least 512 after 10 requests", &engine.TokenWindow{Threshold: 512, Steps: 3, Phase: phasePrefill, SkipRequests: 10}, engine.Record{}},
		} {
			fmt.Fprintf(&b, "== %s %s, %s\n", g, versions[g], c.name)
			s, err := SetupLaunch(engine.SetupRequest{
				Version: versions[g], TraceDir: "/var/tmp/profiles/", Record: c.record, Tokens: c.tokens,
				Command: []string{"vllm", "serve", "m", "--max-num-seqs", "64"},
			})
			if err != nil {
				fmt.Fprintf(&b, "error %v\n", err)
				continue
			}
			b.WriteString(render(s))
		}
	}
	golden(t, "setup.golden", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(got)) {
		t.Errorf("%s differs (run with -update to write it anew), got:\n%s", path, got)
	}
}

func TestSetupWithWhatIsThere(t *testing.T) {
	decode := &engine.TokenWindow{Threshold: 64, Steps: 5, Phase: phaseDecode}
	shapes := engine.Record{Shapes: true}
	const profiler = "VLLM_TORCH_PROFILER_DIR=/t VLLM_TORCH_PROFILER_RECORD_SHAPES=0 VLLM_TORCH_PROFILER_WITH_FLOPS=0 VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY=0 VLLM_TORCH_PROFILER_WITH_STACK=0"
	for _, c := range []struct {
		name       string
		generation Generation
		tokens     *engine.TokenWindow
		record     engine.Record
		options    map[string]any
		command    string
		env        map[string]string
		sets       string
		note       string
		err        string
		refused    bool
	}{
		{name: "nothing there", generation: G2, tokens: decode, sets: "PROFILER_STOP_STEP=5 PROFILER_TOKEN_THRESHOLD=64 " + profiler},
		{name: "the three variables, right", generation: G2, tokens: decode, env: map[string]string{envDir: "/t/", "PROFILER_TOKEN_THRESHOLD": " 64", "PROFILER_STOP_STEP": "5"},
			sets: strings.TrimPrefix(profiler, "VLLM_TORCH_PROFILER_DIR=/t "), note: "left as it is set: VLLM_TORCH_PROFILER_DIR=/t/, PROFILER_STOP_STEP=5, PROFILER_TOKEN_THRESHOLD= 64"},
		{name: "one step too few", generation: G2, tokens: decode, env: map[string]string{"PROFILER_STOP_STEP": "4"},
			err: "launch.env has PROFILER_STOP_STEP=4, but the window needs PROFILER_STOP_STEP=5"},
		{name: "another directory", generation: G3, env: map[string]string{envDir: "/elsewhere"}, err: "launch.env has VLLM_TORCH_PROFILER_DIR=/elsewhere, but trace_dir = /t"},
		{name: "an empty directory", generation: G3, env: map[string]string{envDir: ""}, err: "launch.env has VLLM_TORCH_PROFILER_DIR=, but trace_dir = /t"},
		{name: "old names where new ones are", generation: G5, tokens: decode, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "64"},
			sets: "OMNI_ENABLE_PREFILL_PROFILER=false OMNI_PROFILE_SKIP_REQUESTS=0 OMNI_PROFILE_STOP_STEP=5", note: "PROFILER_TOKEN_THRESHOLD=64"},
		{name: "old names, wrong", generation: G5, tokens: decode, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "32"},
			err: "launch.env has PROFILER_TOKEN_THRESHOLD=32, but the window needs OMNI_PROFILE_TOKEN_THRESHOLD=64"},
		{name: "new names go before old ones", generation: G5, tokens: decode, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "32", "OMNI_PROFILE_TOKEN_THRESHOLD": "64"},
			sets: "OMNI_ENABLE_PREFILL_PROFILER=false OMNI_PROFILE_SKIP_REQUESTS=0 OMNI_PROFILE_STOP_STEP=5"},
		{name: "new names where only old ones are read", generation: G3, tokens: decode, env: map[string]string{"OMNI_PROFILE_TOKEN_THRESHOLD": "32"},
			sets: "ENABLE_PREFILL_PROFILER=false PROFILER_SKIP_REQUESTS=0 PROFILER_STOP_STEP=5 PROFILER_TOKEN_THRESHOLD=64 " + profiler},
		{name: "token mode against a start", generation: G3, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "64"}, err: "answers 200 to a start and does nothing", refused: true},
		{name: "token mode against a start, an old name", generation: G5, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "64"}, err: "launch.env has PROFILER_TOKEN_THRESHOLD=64: a window that is started over HTTP: with that variable its token logic has the same profiler", refused: true},
		{name: "an empty number", generation: G3, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": ""}, err: `PROFILER_TOKEN_THRESHOLD="", which is no whole number: the server would not start`},
		{name: "a word for a number", generation: G5, tokens: decode, env: map[string]string{"OMNI_PROFILE_SKIP_REQUESTS": "none"}, err: "the server would not start"},
		{name: "always on", generation: G1, sets: "PROFILER_TOKEN_THRESHOLD=2147483647 VLLM_TORCH_PROFILER_DIR=/t", note: "cannot be turned off"},
		{name: "always on, with the user's threshold", generation: G1, env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "64"}, err: "but the window needs PROFILER_TOKEN_THRESHOLD=2147483647"},
		{name: "shapes", generation: G2, record: shapes, env: map[string]string{envShapes: "False"}, note: "left as it is set: VLLM_TORCH_PROFILER_RECORD_SHAPES=False",
			sets: strings.Replace(profiler, "VLLM_TORCH_PROFILER_RECORD_SHAPES=0 ", "", 1)},
		{name: "shapes, where False is false", generation: G3, record: shapes, env: map[string]string{envShapes: "False"}, err: "but record.shapes = true is asked for"},
		{name: "more than asked", generation: G3, env: map[string]string{envStack: "1"}, note: "traces hold more than record.stack = false", sets: strings.Replace(profiler, " VLLM_TORCH_PROFILER_WITH_STACK=0", "", 1)},
		{name: "shapes, which it cannot record", generation: G1, record: shapes, err: "record.shapes = true: this generation records neither"},
		{name: "only the CPU", generation: G3, record: engine.Record{Activities: []string{"cpu"}}, err: "always records both"},
		{name: "an argument that it does not read", generation: G3, command: "vllm serve m --profiler-config.profiler=torch", err: "do not read: remove it"},
		{name: "iterations that nobody counts", generation: G5, command: "vllm serve m --profiler-config.delay_iterations=3", err: "--profiler-config.delay_iterations=3: the fork's worker counts no iterations"},
		{name: "iterations that nobody counts, as JSON", generation: G5, tokens: decode, command: `vllm serve m --profiler-config {"profiler":"torch","torch_profiler_dir":"/t","torch_profiler_with_stack":false,"warmup_iterations":2}`, err: "warmup_iterations=2"},
		{name: "no iterations", generation: G5, command: "vllm serve m --profiler-config.delay_iterations=0"},
		{name: "a bound that bounds nothing", generation: G5, command: "vllm serve m --profiler-config.max_iterations=9", note: "max_iterations=9: the fork's worker counts no iterations, so that it ends no recording"},
		{name: "Ray by option", generation: G3, tokens: decode, options: map[string]any{"ray": true}, err: "in Ray mode", refused: true},
		{name: "Ray by command", generation: G3, tokens: decode, command: "vllm serve m --distributed-executor-backend=ray", err: "in Ray mode", refused: true},
		{name: "Ray, started over HTTP", generation: G3, options: map[string]any{"ray": true}, sets: profiler},
		{name: "more than there are seats", generation: G3, tokens: decode, command: "vllm serve m --max-num-seqs 32", err: "threshold = 64: the server schedules at most 32", refused: true},
		{name: "a window that its rule cannot give", generation: G1, tokens: decode, err: `phase = "decode" on generation g1`, refused: true},
		{name: "no such generation", options: map[string]any{"generation": "g9"}, generation: G3, err: `generation "g9" is none of g1, g2, g3, g4, g5`},
		{name: "a generation that is no text", options: map[string]any{"generation": 3}, generation: G3, err: "want a string"},
		{name: "the option beats the version", options: map[string]any{"generation": "g2"}, generation: G3, tokens: decode, sets: "PROFILER_STOP_STEP=5 PROFILER_TOKEN_THRESHOLD=64 " + profiler},
	} {
		t.Run(string(c.generation)+" "+c.name, func(t *testing.T) {
			got, err := SetupLaunch(engine.SetupRequest{
				Version: versions[c.generation], TraceDir: "/t", Record: c.record, Options: c.options,
				Command: strings.Fields(c.command), Env: c.env, Tokens: c.tokens,
			})
			if c.err != "" {
				var refusal *Refusal
				if err == nil || !strings.Contains(err.Error(), c.err) || errors.As(err, &refusal) != c.refused {
					t.Fatalf("got %v, want an error with %q, a refusal: %t", err, c.err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var sets []string
			for _, name := range slices.Sorted(maps.Keys(got.Env)) {
				sets = append(sets, name+"="+got.Env[name])
			}
			if strings.Join(sets, " ") != c.sets {
				t.Errorf("sets %q, want %q", sets, c.sets)
			}
			if !strings.Contains(strings.Join(got.Notes, "; "), c.note) {
				t.Errorf("notes %q, want one with %q", got.Notes, c.note)
			}
		})
	}
}

func TestSetupIncomplete(t *testing.T) {
	for _, r := range []engine.SetupRequest{
		{TraceDir: "/t"},
		{Version: "0.14.0"},
		{Version: "0.14.0", TraceDir: "profiles"},
		{Version: "main", TraceDir: "/t"},
	} {
		if s, err := SetupLaunch(r); err == nil {
			t.Errorf("%+v: %+v", r, s)
		}
	}
	if _, err := SetupLaunch(engine.SetupRequest{TraceDir: "/t", Options: map[string]any{"generation": "g3"}}); err != nil {
		t.Errorf("with a generation, the version need not be known: %v", err)
	}
}
