package vllm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/engine"
)

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

// TestSetupGolden shows what each version is told, with all options off and all on.
func TestSetupGolden(t *testing.T) {
	var b strings.Builder
	for _, version := range []string{"0.8.4", "0.8.5", "0.10.1", "0.10.2", "0.11.0+cpu", "0.11.1", "0.12.0", "0.13.0", "0.15.1", "0.16.0", "0.25.1", "0.31.0", "0.32.0", "0.40.0", "0.1.dev1+g1"} {
		for _, on := range []bool{false, true} {
			s, err := SetupLaunch(engine.SetupRequest{
				Version: version, TraceDir: "/var/tmp/profiles/",
				Record:  engine.Record{Shapes: on, Memory: on, Stack: on, FLOPs: on},
				Command: []string{"vllm", "serve", "m"},
			})
			fmt.Fprintf(&b, "== %s, options %t\n", version, on)
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

// TestSetupKeys: what is written is JSON with keys that the version knows, and
// never a word for a bool in the environment.
func TestSetupKeys(t *testing.T) {
	for _, version := range []string{"0.8.5", "0.10.2", "0.11.1", "0.12.0", "0.13.0", "0.16.0", "0.31.0", "0.32.0", "1.0.0"} {
		s, err := SetupLaunch(engine.SetupRequest{Version: version, TraceDir: `/tmp/a "b" <c>`})
		if err != nil {
			t.Fatal(err)
		}
		known := traitsOf(version)
		for name, value := range s.Env {
			if !known.knowsVariable(name) {
				t.Errorf("%s does not know %s", version, name)
			}
			if name != envDir && value != "0" && value != "1" {
				t.Errorf("%s: %s=%s", version, name, value)
			}
		}
		if len(s.Args) == 0 {
			continue
		}
		var config map[string]any
		if err := json.Unmarshal([]byte(s.Args[1]), &config); err != nil {
			t.Fatalf("%s: %v: %s", version, err, s.Args[1])
		}
		for key := range config {
			if !known.knowsKey(key) {
				t.Errorf("%s does not know %s", version, key)
			}
		}
		if config[keyStack] != false || config[keyDir] != `/tmp/a "b" <c>` || strings.Contains(s.Args[1], `\u003c`) {
			t.Errorf("%s: %s", version, s.Args[1])
		}
	}
}

func TestSetupWithWhatIsThere(t *testing.T) {
	shapes := engine.Record{Shapes: true}
	const full = `{"profiler":"torch","torch_profiler_dir":"/t/","torch_profiler_record_shapes":true,"torch_profiler_with_stack":false,"ignore_frontend":true}`
	for _, c := range []struct {
		name    string
		version string
		record  engine.Record
		options map[string]any
		command []string
		env     map[string]string
		args    string   // what is to be appended, "" for nothing
		sets    string   // variables to be set
		notes   []string // each must be there
		err     string
	}{
		{name: "complete JSON", version: "0.32.0", record: shapes, command: []string{"vllm", "serve", "m", "--profiler-config", full},
			notes: []string{"left as it is set"}},
		{name: "complete JSON, in one word, with an underscore", version: "0.32.0", record: shapes, command: []string{"vllm", "--profiler_config=" + full},
			notes: []string{"left as it is set"}},
		{name: "JSON with another directory", version: "0.32.0", command: []string{"--profiler-config", `{"profiler":"torch","torch_profiler_dir":"/other"}`},
			err: `torch_profiler_dir="/other", but trace_dir = /t is asked for`},
		{name: "JSON without the option that is asked for", version: "0.32.0", record: shapes, command: []string{"--profiler-config", `{"profiler":"torch","torch_profiler_dir":"/t"}`},
			err: "--profiler-config without torch_profiler_record_shapes, but record.shapes = true is asked for"},
		{name: "JSON that records more", version: "0.32.0", command: []string{"--profiler-config", `{"profiler":"torch","torch_profiler_dir":"/t","ignore_frontend":true}`},
			notes: []string{"without torch_profiler_with_stack: left as it is, so that traces hold more than record.stack = false"}},
		{name: "JSON of another profiler", version: "0.32.0", command: []string{"--profiler-config", `{"profiler":"cuda"}`},
			err: `profiler="cuda", but the torch profiler = torch`},
		{name: "JSON without a profiler", version: "0.32.0", command: []string{"--profiler-config", `{"torch_profiler_dir":"/t"}`},
			err: "--profiler-config without profiler"},
		{name: "JSON with an unknown key", version: "0.15.1", command: []string{"--profiler-config", `{"profiler":"torch","torch_profiler_dir":"/t","torch_profiler_activities":["CPU"]}`},
			err: "--profiler-config of vLLM 0.15.1 has no torch_profiler_activities"},
		{name: "a key of a version that nobody read", version: "0.99.0", command: []string{"--profiler-config", `{"profiler":"torch","torch_profiler_dir":"/t","new":1,"ignore_frontend":true,"torch_profiler_with_stack":false}`},
			notes: []string{"newer than"}},
		{name: "broken JSON", version: "0.32.0", command: []string{"--profiler-config", `{`}, err: "no JSON object"},
		{name: "no value", version: "0.32.0", command: []string{"vllm", "--profiler-config"}, err: "has no value"},
		{name: "JSON and dotted", version: "0.32.0", command: []string{"--profiler-config", "{}", "--profiler-config.profiler=torch"}, err: "takes only the latter"},
		{name: "dotted, incomplete", version: "0.32.0", record: shapes, command: []string{"vllm", "--profiler-config.delay_iterations", "2", "--profiler_config.torch_profiler_with_stack=false"},
			args:  "--profiler-config.profiler=torch --profiler-config.torch_profiler_dir=/t --profiler-config.torch_profiler_record_shapes=true --profiler-config.torch_profiler_with_memory=false --profiler-config.torch_profiler_with_flops=false --profiler-config.ignore_frontend=true",
			notes: []string{"--profiler-config.torch_profiler_with_stack=false"}},
		{name: "dotted, against the job", version: "0.32.0", record: shapes, command: []string{"--profiler-config.torch_profiler_record_shapes=false"},
			err: "launch.command has --profiler-config.torch_profiler_record_shapes=false, but record.shapes = true is asked for"},
		{name: "bounds", version: "0.32.0", options: map[string]any{"delay_iterations": 1, "max_iterations": int64(4)}, command: []string{"vllm"},
			args: `--profiler-config {"profiler":"torch","torch_profiler_dir":"/t","torch_profiler_record_shapes":false,"torch_profiler_with_memory":false,"torch_profiler_with_stack":false,"torch_profiler_with_flops":false,"ignore_frontend":true,"delay_iterations":1,"max_iterations":4}`},
		{name: "bounds against the command", version: "0.32.0", options: map[string]any{"max_iterations": 4}, command: []string{"--profiler-config.max_iterations=5"},
			err: "max_iterations=5, but max_iterations = 4"},
		{name: "bounds, same in the command", version: "0.16.0", options: map[string]any{"max_iterations": 4}, record: shapes,
			command: []string{"--profiler-config", strings.Replace(full, "{", `{"max_iterations":4,`, 1)}, notes: []string{"left as it is set"}},
		{name: "bounds too early", version: "0.11.2", options: map[string]any{"max_iterations": 4}, err: "max_iterations = 4: this version cannot be told, vLLM can from 0.12.0 on"},
		{name: "bounds in the environment", version: "0.12.0", options: map[string]any{"max_iterations": 4, "delay_iterations": 2},
			sets:  "VLLM_PROFILER_DELAY_ITERS=2 VLLM_PROFILER_MAX_ITERS=4 VLLM_TORCH_PROFILER_DIR=/t VLLM_TORCH_PROFILER_DISABLE_ASYNC_LLM=1 VLLM_TORCH_PROFILER_RECORD_SHAPES=0 VLLM_TORCH_PROFILER_WITH_FLOPS=0 VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY=0 VLLM_TORCH_PROFILER_WITH_STACK=0",
			notes: []string{"dies at the first request"}},
		{name: "impossible bounds", version: "0.32.0", options: map[string]any{"max_iterations": -1}, err: "max_iterations: want a whole number"},
		{name: "only the CPU", version: "0.32.0", record: engine.Record{Activities: []string{"cpu"}}, command: []string{"vllm"},
			args: `--profiler-config {"profiler":"torch","torch_profiler_dir":"/t","torch_profiler_record_shapes":false,"torch_profiler_with_memory":false,"torch_profiler_with_stack":false,"torch_profiler_with_flops":false,"ignore_frontend":true,"torch_profiler_activities":["CPU"]}`},
		{name: "both activities are what it does anyway", version: "0.30.0", record: engine.Record{Activities: []string{"device", "cpu"}, Shapes: true}, command: []string{"--profiler-config", full},
			notes: []string{"left as it is set"}},
		{name: "only the CPU, too early", version: "0.30.0", record: engine.Record{Activities: []string{"cpu"}}, err: `record.activities = ["CPU"]: this version cannot be told, vLLM can from 0.31.0 on`},
		{name: "only the CPU, on a build for it", version: "0.15.1+cpu", record: engine.Record{Activities: []string{"cpu"}, Shapes: true}, command: []string{"--profiler-config", full},
			notes: []string{"left as it is set"}},
		{name: "the device, on a build without", version: "0.32.0+cpu", record: engine.Record{Activities: []string{"cpu", "device"}}, err: `has no "device"`},
		{name: "an unknown activity", version: "0.32.0", record: engine.Record{Activities: []string{"gpu"}}, err: `"gpu" is neither`},
		{name: "only the device", version: "0.32.0", record: engine.Record{Activities: []string{"device"}}, command: []string{"--profiler-config.torch_profiler_activities", `["CUDA"]`},
			args:  "--profiler-config.profiler=torch --profiler-config.torch_profiler_dir=/t --profiler-config.torch_profiler_record_shapes=false --profiler-config.torch_profiler_with_memory=false --profiler-config.torch_profiler_with_stack=false --profiler-config.torch_profiler_with_flops=false --profiler-config.ignore_frontend=true",
			notes: []string{"on an XPU host"}},

		{name: "variables, partly set", version: "0.11.0", record: shapes, env: map[string]string{envDir: "/t/", envShapes: "True"},
			sets:  "VLLM_CUSTOM_SCOPES_FOR_PROFILING=1 VLLM_TORCH_PROFILER_WITH_FLOPS=0 VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY=0 VLLM_TORCH_PROFILER_WITH_STACK=0",
			notes: []string{"left as it is set: VLLM_TORCH_PROFILER_DIR=/t/, VLLM_TORCH_PROFILER_RECORD_SHAPES=True"}},
		{name: "the word False means true", version: "0.11.0", env: map[string]string{envStack: "False", envScopes: "0"},
			sets:  "VLLM_TORCH_PROFILER_DIR=/t VLLM_TORCH_PROFILER_RECORD_SHAPES=0 VLLM_TORCH_PROFILER_WITH_FLOPS=0 VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY=0",
			notes: []string{"launch.env has VLLM_TORCH_PROFILER_WITH_STACK=False: left as it is, so that traces hold more than record.stack = false"}},
		{name: "a variable against the job", version: "0.11.0", record: shapes, env: map[string]string{envShapes: "0"},
			err: "launch.env has VLLM_TORCH_PROFILER_RECORD_SHAPES=0, but record.shapes = true is asked for"},
		{name: "another directory", version: "0.8.5", env: map[string]string{envDir: "/elsewhere"}, err: "launch.env has VLLM_TORCH_PROFILER_DIR=/elsewhere, but trace_dir = /t"},
		{name: "an argument that is not known yet", version: "0.12.0", command: []string{"--profiler-config", "{}"}, err: "which vLLM knows from 0.13.0 on"},
		{name: "an option that is not known yet", version: "0.10.1", record: shapes, err: "record.shapes = true: this version cannot be told, vLLM can from 0.10.2 on"},
		{name: "stacks, which it always records", version: "0.10.1", record: engine.Record{Stack: true}, err: "", sets: "VLLM_TORCH_PROFILER_DIR=/t"},
		{name: "the other profiler", version: "0.11.1", env: map[string]string{envCUDA: "1"}, err: "turns the torch profiler off"},
		{name: "the other profiler, off", version: "0.11.1", env: map[string]string{envCUDA: "0", envDir: "/t", envShapes: "0", envMemory: "0", envStack: "0", envFLOPs: "0"},
			notes: []string{"left as it is set"}},
		{name: "the other profiler, off, which is on", version: "0.15.1", env: map[string]string{envCUDA: "0"}, err: "turns the torch profiler off"},

		{name: "both: variables go on with variables", version: "0.15.1", record: shapes, env: map[string]string{envDir: "/t"},
			sets:  "VLLM_TORCH_PROFILER_DISABLE_ASYNC_LLM=1 VLLM_TORCH_PROFILER_RECORD_SHAPES=1 VLLM_TORCH_PROFILER_WITH_FLOPS=0 VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY=0 VLLM_TORCH_PROFILER_WITH_STACK=0",
			notes: []string{"left as it is set"}},
		{name: "both: a variable beats the argument", version: "0.15.1", record: shapes, command: []string{"--profiler-config", full}, env: map[string]string{envShapes: "True"},
			err: "launch.env has VLLM_TORCH_PROFILER_RECORD_SHAPES=True, but record.shapes = true"},
		{name: "both: a variable with the argument", version: "0.15.1", record: shapes, command: []string{"--profiler-config", strings.Replace(full, "_shapes\":true", "_shapes\":false", 1)}, env: map[string]string{envShapes: "1"},
			notes: []string{"VLLM_TORCH_PROFILER_RECORD_SHAPES=1"}},
		{name: "variables that nobody reads any more", version: "0.16.0", env: map[string]string{envDir: "/elsewhere", envShapes: "1"}, command: []string{"vllm"},
			args:  `--profiler-config {"profiler":"torch","torch_profiler_dir":"/t","torch_profiler_record_shapes":false,"torch_profiler_with_memory":false,"torch_profiler_with_stack":false,"torch_profiler_with_flops":false,"ignore_frontend":true}`,
			notes: []string{"vLLM ignores VLLM_TORCH_PROFILER_DIR, VLLM_TORCH_PROFILER_RECORD_SHAPES from 0.16.0 on"}},

		{name: "a shell", version: "0.32.0", command: []string{"bash", "-c", "vllm serve m"}, err: "end its command with \"$@\""},
		{name: "a shell that passes arguments on", version: "0.32.0", command: []string{"/bin/sh", "-ec", `exec vllm serve m "$@"`, "sh"},
			args: `--profiler-config {"profiler":"torch","torch_profiler_dir":"/t","torch_profiler_record_shapes":false,"torch_profiler_with_memory":false,"torch_profiler_with_stack":false,"torch_profiler_with_flops":false,"ignore_frontend":true}`},
		{name: "a shell with the argument inside", version: "0.32.0", command: []string{"bash", "-c", "vllm serve m --profiler-config $CONFIG"}, notes: []string{"it was not looked at"}},
		{name: "a shell that needs no arguments", version: "0.10.1", command: []string{"bash", "-c", "vllm serve m"}, sets: "VLLM_TORCH_PROFILER_DIR=/t", notes: []string{"always records stacks"}},
		{name: "no version", err: "set version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := SetupLaunch(engine.SetupRequest{Version: c.version, TraceDir: "/t", Record: c.record, Options: c.options, Command: c.command, Env: c.env})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if args := strings.Join(got.Args, " "); args != c.args {
				t.Errorf("appends %q, want %q", args, c.args)
			}
			var sets []string
			for _, name := range slices.Sorted(maps.Keys(got.Env)) {
				sets = append(sets, name+"="+got.Env[name])
			}
			if strings.Join(sets, " ") != c.sets {
				t.Errorf("sets %q, want %q", sets, c.sets)
			}
			for _, note := range c.notes {
				if !strings.Contains(strings.Join(got.Notes, "; "), note) {
					t.Errorf("notes %q, want one with %q", got.Notes, note)
				}
			}
		})
	}
}

func TestSetupTraceDir(t *testing.T) {
	for _, dir := range []string{"", "profiles", "./x", "s3://bucket/x"} {
		if _, err := SetupLaunch(engine.SetupRequest{Version: "0.32.0", TraceDir: dir}); err == nil {
			t.Errorf("%q: no error", dir)
		}
	}
}

func FuzzReadUserConfig(f *testing.F) {
	f.Add("--profiler-config", `{"profiler":"torch"}`)
	f.Add("--profiler_config.max_iterations=3", "--profiler-config.x")
	f.Fuzz(func(t *testing.T, a, b string) {
		u, err := readUserConfig([]string{"vllm", a, b})
		if err == nil && u.whole && u.values == nil && !strings.Contains(a+b, "null") {
			t.Errorf("%q %q: %+v", a, b, u)
		}
		_, _ = SetupLaunch(engine.SetupRequest{Version: "0.32.0", TraceDir: "/t", Command: []string{a, b}})
	})
}

// TestSetupLaunchWithoutProfiler: where the gate records, nothing is added, whatever the version.
func TestSetupLaunchWithoutProfiler(t *testing.T) {
	got, err := SetupLaunch(engine.SetupRequest{NoProfiler: true, Record: engine.Record{Stack: true}, Command: []string{"vllm", "serve"}})
	if err != nil || len(got.Env)+len(got.Args) > 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
