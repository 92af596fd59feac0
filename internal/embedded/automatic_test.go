package embedded

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tokens are those of each recorded pass but idle ones, by what went into the
// embedding.
func (f traceFile) tokens() []string {
	var all []string
	for _, e := range f.named("cpu_op", "aten::embedding") {
		all = append(all, e.Args["Input Dims"].([]any)[1].([]any)[0].(interface{ String() string }).String())
	}
	return all
}

// request is a prompt and an answer, in tokens.
type sizes struct{ prompt, output int }

// The automatic logic in each generation: which pass it starts with, and that it
// records one more than it was told.
func TestAutomatic(t *testing.T) {
	threshold := func(n string) map[string]string { return map[string]string{"PROFILER_TOKEN_THRESHOLD": n} }
	with := func(pairs ...string) map[string]string {
		env := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
		return env
	}
	one, two := [][]sizes{{{5, 20}}}, [][]sizes{{{5, 20}, {6, 20}}}
	for _, tc := range []struct {
		name    string
		dialect Dialect
		env     map[string]string
		rounds  [][]sizes // requests at once, one round after the other
		want    string    // tokens of the recorded engine steps; "" where nothing is recorded
	}{
		{"always on", OmniG1, nil, one, "5 1 1 1 1 1"},
		{"stop step 0", OmniG1, with("PROFILER_STOP_STEP", "0"), one, "5"},
		{"stop step 2", OmniG1, with("PROFILER_STOP_STEP", "2"), one, "5 1 1"},
		{"at least the threshold", OmniG1, threshold("8"), [][]sizes{{{5, 3}}, {{9, 20}}}, "9 1 1 1 1 1"},
		{"more than ever come", OmniG1, threshold("80"), one, ""},
		{"idle passes count", OmniG1, with("PROFILER_STOP_STEP", "3"), [][]sizes{{{5, 2}}, {{4, 9}}}, "5 1 4"},
		{"no skipping yet", OmniG1, with("PROFILER_SKIP_REQUESTS", "x", "PROFILER_STOP_STEP", "0"), one, "5"},

		{"off", OmniG2, nil, one, ""},
		{"stop step alone", OmniG2, with("PROFILER_STOP_STEP", "2"), one, ""},
		{"tokens, requests and threshold", OmniG2, threshold("2"), two, "2 2 2 2 2 2"},
		{"one request has one token a step", OmniG2, threshold("2"), one, ""},
		{"a prefill of as many tokens", OmniG2, threshold("5"), one, ""},
		{"prompts of one token", OmniG2, threshold("2"), [][]sizes{{{1, 20}, {1, 20}}}, "2 2 2 2 2 2"},

		{"off", OmniG3, with("ENABLE_PREFILL_PROFILER", "true"), one, ""},
		{"exactly the threshold", OmniG3, threshold("2"), two, "2 2 2 2 2 2"},
		{"a prefill of as many tokens", OmniG3, threshold("5"), one, "5 1 1 1 1 1"},
		{"no prefill with more", OmniG3, threshold("4"), one, ""},
		{"a prefill with more", OmniG3, with("PROFILER_TOKEN_THRESHOLD", "4", "ENABLE_PREFILL_PROFILER", "true"), one, "5 1 1 1 1 1"},
		{"the word in capitals", OmniG3, with("PROFILER_TOKEN_THRESHOLD", "4", "ENABLE_PREFILL_PROFILER", "True"), one, "5 1 1 1 1 1"},
		{"another word", OmniG3, with("PROFILER_TOKEN_THRESHOLD", "4", "ENABLE_PREFILL_PROFILER", "1"), one, ""},
		{"skipped requests", OmniG3, with("PROFILER_TOKEN_THRESHOLD", "1", "PROFILER_SKIP_REQUESTS", "2"), [][]sizes{{{5, 3}}, {{6, 3}}, {{7, 20}}}, "1 1 1 1 1 1"},
		{"skipped requests and prefills", OmniG3, with("PROFILER_TOKEN_THRESHOLD", "3", "PROFILER_SKIP_REQUESTS", "1", "ENABLE_PREFILL_PROFILER", "true"), [][]sizes{{{5, 3}}, {{6, 20}}}, "6 1 1 1 1 1"},
		{"new names are not known", OmniG3, with("OMNI_PROFILE_TOKEN_THRESHOLD", "1"), one, ""},

		{"exactly the threshold", OmniG4, threshold("2"), two, "2 2 2 2 2 2"},
		{"a prefill of as many tokens", OmniG4, threshold("5"), one, "5 1 1 1 1 1"},
		{"off", OmniG4, nil, one, ""},

		{"off", OmniG5, nil, one, ""},
		{"old names", OmniG5, with("PROFILER_TOKEN_THRESHOLD", "1", "PROFILER_STOP_STEP", "2"), one, "1 1 1"},
		{"new names", OmniG5, with("OMNI_PROFILE_TOKEN_THRESHOLD", "1", "OMNI_PROFILE_STOP_STEP", "2"), one, "1 1 1"},
		{"new names before old ones", OmniG5, with("OMNI_PROFILE_TOKEN_THRESHOLD", "1", "PROFILER_TOKEN_THRESHOLD", "9", "OMNI_PROFILE_STOP_STEP", "0", "PROFILER_STOP_STEP", "9"), one, "1"},
		{"no prefill of as many tokens", OmniG5, threshold("5"), one, ""},
		{"a prefill of as many tokens where prefills are enabled", OmniG5, with("PROFILER_TOKEN_THRESHOLD", "5", "ENABLE_PREFILL_PROFILER", "true"), one, ""},
		{"a prefill with more", OmniG5, with("OMNI_PROFILE_TOKEN_THRESHOLD", "4", "OMNI_ENABLE_PREFILL_PROFILER", "1"), one, "5 1 1 1 1 1"},
		{"a prefill with more, old names", OmniG5, with("PROFILER_TOKEN_THRESHOLD", "4", "ENABLE_PREFILL_PROFILER", "true"), one, "5 1 1 1 1 1"},
		{"skipped requests", OmniG5, with("PROFILER_TOKEN_THRESHOLD", "1", "OMNI_PROFILE_SKIP_REQUESTS", "1"), [][]sizes{{{5, 3}}, {{7, 20}}}, "1 1 1 1 1 1"},
	} {
		t.Run(string(tc.dialect)+" "+tc.name, func(t *testing.T) {
			c := Config{Dialect: tc.dialect, Env: tc.env, Record: Record{Shapes: true}}
			b := newBench(t, c)
			b.live(tc.rounds)
			if tc.want == "" {
				if got := b.traces(); len(got) > 0 {
					t.Fatalf("recorded %q", got)
				}
			} else {
				b.recorded(tc.want)
			}
			if tc.want == "" {
				return
			}
			b.live(tc.rounds) // once a process, and never again
			if b.e.profiler.active {
				t.Error("it records again")
			}
			if got := b.traces(); len(got) != 1 {
				t.Errorf("recorded again: %q", got)
			}
		})
		t.Run(string(tc.dialect)+" "+tc.name+" under Ray", func(t *testing.T) {
			b := newBench(t, Config{Dialect: tc.dialect, Env: tc.env, Ray: true})
			b.live(tc.rounds)
			if got := b.traces(); len(got) > 0 {
				t.Errorf("recorded %q", got)
			}
		})
	}
}

// live lets a server answer requests.
func (b *bench) live(rounds [][]sizes) {
	b.t.Helper()
	for _, round := range rounds {
		for _, r := range round {
			b.add(r.prompt, r.output)
		}
		b.run()
	}
}

// recorded checks the one trace that a recording left: the tokens of its engine
// steps, and which of them were sampled. From G3 on the last was not.
func (b *bench) recorded(want string) {
	b.t.Helper()
	trace := readTrace(b.t, one(b.t, b.e.config.TraceDir, "*.pt.trace.json.gz"))
	if got := strings.Join(trace.tokens(), " "); got != want {
		b.t.Errorf("recorded steps of %s tokens, want %s", got, want)
	}
	steps := len(strings.Fields(want))
	sampled := steps
	if b.e.config.Dialect.generation() >= 3 {
		sampled--
	}
	if got := len(trace.named("cpu_op", "aten::argmax")); got != sampled {
		b.t.Errorf("%d of %d steps have their sampling, want %d", got, steps, sampled)
	}
	passes := 0
	if b.e.config.release() != V011 {
		passes = steps
	}
	if got := trace.annotations(); len(got) != passes {
		b.t.Errorf("annotations %q, want %d", got, passes)
	}
}

// With a negative stop step the logic is done before it begins: what it starts
// nobody stops.
func TestAutomaticWithoutEnd(t *testing.T) {
	b := newBench(t, Config{Dialect: OmniG3, Env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "1", "PROFILER_STOP_STEP": "-1"}})
	b.live([][]sizes{{{5, 50}}})
	if got := b.traces(); len(got) > 0 || b.e.profiler.recorder == nil {
		t.Errorf("it has ended: %q", got)
	}
}

// Numbers are read by int(): what it cannot read ends the start, as long as there
// is a directory.
func TestVariablesThatEndTheStart(t *testing.T) {
	for _, dialect := range OmniDialects() {
		names := []string{"PROFILER_TOKEN_THRESHOLD", "PROFILER_STOP_STEP"}
		if dialect.generation() >= 3 {
			names = append(names, "PROFILER_SKIP_REQUESTS")
		}
		if dialect == OmniG5 {
			names = append(names, "OMNI_PROFILE_TOKEN_THRESHOLD", "OMNI_PROFILE_STOP_STEP", "OMNI_PROFILE_SKIP_REQUESTS")
		}
		for _, name := range names {
			for _, text := range []string{"", "x", "1.5", "five"} {
				c := Config{Dialect: dialect, Env: map[string]string{name: text}}
				if _, err := New(c); err != nil {
					t.Errorf("%s, %s=%q without a directory: %v", dialect, name, text, err)
				}
				c.TraceDir = t.TempDir()
				if _, err := New(c); !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), name+": invalid literal for int()") {
					t.Errorf("%s, %s=%q: %v", dialect, name, text, err)
				}
			}
		}
	}
}

func TestParseInt(t *testing.T) {
	for text, want := range map[string]int{"5": 5, " 5\n": 5, "+5": 5, "-3": -3, "007": 7, "1_000": 1000, "99999999999999999999": 1<<63 - 1} {
		if got, err := parseInt(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "+", "--5", "5x", "1.0", "1e3", "_1", "1_", "1__0", "0x5"} {
		if got, err := parseInt(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// Where the profiler of a generation is configured, and by what names its traces
// and its version go.
func TestOmniServers(t *testing.T) {
	for _, tc := range []struct {
		dialect     Dialect
		version     string
		environment bool   // takes the directory from the environment
		worker      string // pattern of the worker's trace
		annotated   bool
	}{
		{OmniG1, "0.9.0", true, "*_*.*.pt.trace.json.gz", false},
		{OmniG2, "0.11.0", true, "*_*.*.pt.trace.json.gz", false},
		{OmniG3, "0.14.0", true, "*-rank-0.*.pt.trace.json.gz", true},
		{OmniG4, "0.20.0", false, "*-rank-0.*.pt.trace.json.gz", true},
		{OmniG5, "0.25.1", false, "*-rank-0.*.pt.trace.json.gz", true},
	} {
		t.Run(string(tc.dialect), func(t *testing.T) {
			plain := serve(t, Config{Dialect: tc.dialect, Env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "1"}})
			for _, route := range []string{"/start_profile", "/stop_profile"} {
				if got := plain.send("POST", route, ""); got.status != http.StatusNotFound {
					t.Errorf("%s without a directory: %d %s", route, got.status, got.body)
				}
			}
			if got, want := plain.ok("GET", "/version", ""), `{"version":"`+tc.version+`"}`; got != want {
				t.Errorf("/version is %s, want %s", got, want)
			}

			dir := t.TempDir()
			c := Config{Dialect: tc.dialect, Env: map[string]string{"VLLM_TORCH_PROFILER_DIR": dir, "PROFILER_STOP_STEP": "100000"}}
			if got := serve(t, c).send("POST", "/start_profile", ""); (got.status == http.StatusOK) != tc.environment {
				t.Errorf("start with a directory in the environment: %d %s", got.status, got.body)
			}
			if !tc.environment {
				c.TraceDir = dir
			}
			r := serve(t, c) // by hand
			r.ok("POST", "/start_profile", "")
			r.complete(5, 3)
			r.ok("POST", "/stop_profile", "")
			found := slices.DeleteFunc(files(t, dir, tc.worker), func(path string) bool { return strings.Contains(path, "async_llm") })
			if len(found) != 1 {
				t.Fatalf("traces of the worker: %q among %q", found, files(t, dir, "*"))
			}
			if got := len(readTrace(t, found[0]).annotations()) > 0; got != tc.annotated {
				t.Errorf("annotated: %t, want %t", got, tc.annotated)
			}
		})
	}
}

// The options that a directory in the environment comes with.
func TestOmniRecordOptions(t *testing.T) {
	const shapes, memory, stack, flops = "VLLM_TORCH_PROFILER_RECORD_SHAPES", "VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY", "VLLM_TORCH_PROFILER_WITH_STACK", "VLLM_TORCH_PROFILER_WITH_FLOPS"
	for _, tc := range []struct {
		dialect Dialect
		env     map[string]string
		want    Record
	}{
		{OmniG1, map[string]string{shapes: "1", stack: "1"}, Record{}},
		{OmniG2, nil, Record{Stack: true}},
		{OmniG2, map[string]string{shapes: "1", memory: "False", stack: "0", flops: "0"}, Record{Shapes: true, Memory: true}},
		{OmniG3, nil, Record{}},
		{OmniG3, map[string]string{shapes: "1", memory: "True", stack: "1", flops: "0"}, Record{Shapes: true, Stack: true}},
	} {
		env := map[string]string{"VLLM_TORCH_PROFILER_DIR": "/x"}
		for name, value := range tc.env {
			env[name] = value
		}
		got, err := Config{Dialect: tc.dialect, Env: env, Record: Record{FLOPs: true}}.resolve()
		if err != nil || got.TraceDir != "/x" || got.Record != tc.want {
			t.Errorf("%s, %v: %q, %+v, %v; want %+v", tc.dialect, tc.env, got.TraceDir, got.Record, err, tc.want)
		}
		got, err = Config{Dialect: tc.dialect, Env: env, TraceDir: "/y", Record: Record{FLOPs: true}}.resolve()
		if err != nil || got.TraceDir != "/y" || got.Record != (Record{FLOPs: true}) {
			t.Errorf("%s with a directory of its own: %q, %+v, %v", tc.dialect, got.TraceDir, got.Record, err)
		}
	}
}

// An empty directory is the working directory up to G2, and none in G3.
func TestOmniDirectory(t *testing.T) {
	work, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", "/home/x")
	for _, tc := range []struct {
		dialect   Dialect
		dir, want string
	}{
		{OmniG1, "", work}, {OmniG2, "", work}, {OmniG3, "", ""}, {OmniG2, "a", filepath.Join(work, "a")}, {OmniG3, "~/a", "/home/x/a"}, {OmniG4, "/x", ""},
	} {
		got, err := Config{Dialect: tc.dialect, Env: map[string]string{"VLLM_TORCH_PROFILER_DIR": tc.dir}}.resolve()
		if err != nil || got.TraceDir != tc.want {
			t.Errorf("%s: %q is %q, %v; want %q", tc.dialect, tc.dir, got.TraceDir, err, tc.want)
		}
	}
}

// In token mode starts and stops over HTTP are answered with 200 and do nothing,
// in Ray mode, too, where nothing else records either.
func TestTokenModeMutesHTTP(t *testing.T) {
	for _, dialect := range []Dialect{OmniG2, OmniG3, OmniG4} {
		for _, ray := range []bool{false, true} {
			dir := t.TempDir()
			r := serve(t, Config{Dialect: dialect, TraceDir: dir, Ray: ray, Env: map[string]string{"PROFILER_TOKEN_THRESHOLD": "400"}})
			for range 2 {
				r.ok("POST", "/stop_profile", "")
				r.ok("POST", "/start_profile", "")
				r.ok("POST", "/start_profile", "")
				r.complete(5, 3)
				r.ok("POST", "/stop_profile", "")
			}
			if found := files(t, dir, "*"); len(found) > 0 {
				t.Errorf("%s, Ray %t: files %q", dialect, ray, found)
			}
		}
	}
}

// By hand all generations record, in Ray mode, too.
func TestOmniByHand(t *testing.T) {
	for _, dialect := range OmniDialects() {
		for _, ray := range []bool{false, true} {
			if dialect == OmniG1 && !ray {
				continue // the automatic logic is always on
			}
			dir := t.TempDir()
			r := serve(t, Config{Dialect: dialect, TraceDir: dir, Ray: ray, Record: Record{Shapes: true}})
			for range 2 { // as often as wanted
				r.ok("POST", "/start_profile", "")
				r.complete(5, 3)
				r.ok("POST", "/stop_profile", "")
			}
			found := slices.DeleteFunc(files(t, dir, "*.pt.trace.json.gz"), func(path string) bool { return strings.Contains(path, "async_llm") })
			if len(found) != 2 {
				t.Fatalf("%s, Ray %t: traces %q", dialect, ray, found)
			}
			for _, path := range found {
				if got := readTrace(t, path).tokens(); !slices.Equal(got, []string{"5", "1", "1"}) {
					t.Errorf("%s, Ray %t: recorded steps of %v tokens", dialect, ray, got)
				}
			}
		}
	}
}

// In G5 starts and stops over HTTP work in token mode, too.
func TestTokenModeOfG5(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, Config{Dialect: OmniG5, TraceDir: dir, IgnoreFrontend: true, Env: map[string]string{"OMNI_PROFILE_TOKEN_THRESHOLD": "400"}, Record: Record{Shapes: true}})
	r.ok("POST", "/start_profile", "")
	r.complete(5, 3)
	r.ok("POST", "/stop_profile", "")
	if got := workerTrace(t, dir).tokens(); !slices.Equal(got, []string{"5", "1", "1"}) {
		t.Errorf("recorded steps of %v tokens", got)
	}
}

// In G1 and G5 the automatic logic and HTTP drive one profiler: each ends what the
// other began.
func TestOmniSharesOneProfiler(t *testing.T) {
	for _, dialect := range []Dialect{OmniG1, OmniG5} {
		env := map[string]string{"PROFILER_TOKEN_THRESHOLD": "2", "PROFILER_STOP_STEP": "3"}
		config := Config{Dialect: dialect, Env: env, Record: Record{Shapes: true}}
		t.Run(string(dialect)+" a stop by hand", func(t *testing.T) {
			b := newBench(t, config)
			b.add(1, 20)
			b.add(1, 20)
			if dialect == OmniG5 {
				b.passOnce() // a prefill does not start it
			}
			b.passOnce()
			b.passOnce()
			if err := b.e.profiler.stop(); err != nil {
				t.Fatal(err)
			}
			b.run()
			if got := readTrace(t, one(t, b.e.config.TraceDir, "*.pt.trace.json.gz")).tokens(); !slices.Equal(got, []string{"2", "2"}) {
				t.Errorf("recorded steps of %v tokens", got)
			}
		})
		t.Run(string(dialect)+" a start by hand", func(t *testing.T) {
			b := newBench(t, config)
			if err := b.e.profiler.start(session{}); err != nil {
				t.Fatal(err)
			}
			b.live([][]sizes{{{1, 3}}, {{1, 20}, {1, 20}}})
			trace := readTrace(t, one(t, b.e.config.TraceDir, "*.pt.trace.json.gz"))
			want := []string{"1", "1", "1", "2", "2", "2", "2"} // from its own start on, four counted ones at the end
			if dialect == OmniG5 {
				want = append(want, "2")
			}
			if got := trace.tokens(); !slices.Equal(got, want) {
				t.Errorf("recorded steps of %v tokens, want %v", got, want)
			}
		})
	}
}

func (b *bench) passOnce() {
	b.t.Helper()
	if err := b.e.pass(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// The gate serves where the fork's own logic is silent, and beside it.
func TestGateOnTheFork(t *testing.T) {
	for _, dialect := range OmniDialects() {
		for _, ray := range []bool{false, true} {
			c := Config{Dialect: dialect, Ray: ray, GateSecret: gateSecret, GateRoot: t.TempDir(), TraceDir: t.TempDir()}
			c.Env = map[string]string{"PROFILER_TOKEN_THRESHOLD": "400"}
			serve(t, c).gateWindow(t, c)
		}
	}
}
