package embedded

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// record profiles one request of 5 + 3 tokens, three engine steps, by hand.
func record(t *testing.T, c Config) (dir string, before, after time.Time) {
	t.Helper()
	c.TraceDir = filepath.Join(t.TempDir(), "made", "when needed")
	r := serve(t, c)
	before = time.Now()
	r.ok("POST", "/start_profile", "")
	r.complete(5, 3)
	r.ok("POST", "/stop_profile", "")
	return c.TraceDir, before, time.Now()
}

func TestFileNames(t *testing.T) {
	host, _ := os.Hostname()
	host = regexp.QuoteMeta(host)
	for _, tc := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"0.11", Config{Dialect: V011}, []string{
			host + `_\d+\.\d{19}\.pt\.trace\.json\.gz`, host + `_\d+\.async_llm\.\d{19}\.pt\.trace\.json\.gz`,
		}},
		{"0.15", Config{Dialect: V015}, []string{
			`\d{19}-rank-0\.\d{19}\.pt\.trace\.json\.gz`, host + `_\d+\.async_llm\.\d{19}\.pt\.trace\.json\.gz`, `profiler_out_0\.txt`,
		}},
		{"0.15 plain, no frontend", Config{Dialect: V015, NoGzip: true, IgnoreFrontend: true}, []string{
			`\d{19}-rank-0\.\d{19}\.pt\.trace\.json`, `profiler_out_0\.txt`,
		}},
		{"0.32", Config{Dialect: V032}, []string{
			`rank0\.\d{19}\.pt\.trace\.json\.gz`, host + `_\d+\.async_llm\.\d{19}\.pt\.trace\.json\.gz`,
			`rank0\.profiler_out\.txt`, host + `_\d+\.async_llm\.profiler_out\.txt`,
		}},
		{"0.32 no frontend", Config{Dialect: V032, IgnoreFrontend: true}, []string{
			`rank0\.\d{19}\.pt\.trace\.json\.gz`, `rank0\.profiler_out\.txt`,
		}},
		{"no file", Config{Dialect: V032, IgnoreFrontend: true, Faults: Faults{NoTraceFile: true}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir, _, _ := record(t, tc.config)
			found := files(t, dir, "*")
			for _, pattern := range tc.want {
				i := slices.IndexFunc(found, func(path string) bool {
					return regexp.MustCompile("^" + pattern + "$").MatchString(filepath.Base(path))
				})
				if i < 0 {
					t.Errorf("no file matches %s", pattern)
					continue
				}
				found = slices.Delete(found, i, i+1)
			}
			if len(found) > 0 {
				t.Errorf("unexpected files %q", found)
			}
		})
	}
}

func TestPrefixNamesTheFiles(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, Config{Dialect: V032, TraceDir: dir})
	r.ok("POST", "/start_profile", `{"profile_prefix":"night.7"}`)
	r.ok("POST", "/stop_profile", "")
	one(t, dir, "night.7_rank0.*.pt.trace.json.gz")
	one(t, dir, "night.7_rank0.profiler_out.txt")
	one(t, dir, "night.7_*.async_llm.*.pt.trace.json.gz")
	r.ok("POST", "/start_profile", "")
	r.ok("POST", "/stop_profile", "")
	one(t, dir, "rank0.*.pt.trace.json.gz")
}

// worker is the pattern of a worker's trace in every dialect.
func workerTrace(t *testing.T, dir string) traceFile {
	t.Helper()
	found := slices.DeleteFunc(files(t, dir, "*.pt.trace.json*"), func(path string) bool {
		return strings.Contains(path, "async_llm")
	})
	if len(found) != 1 {
		t.Fatalf("%d traces of the worker: %q", len(found), found)
	}
	return readTrace(t, found[0])
}

func TestTraceHoldsExactlyTheSteps(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			dir, before, after := record(t, Config{Dialect: dialect, Record: Record{Shapes: true}})
			trace := workerTrace(t, dir)

			var tokens []any
			for _, e := range trace.named("cpu_op", "aten::embedding") {
				tokens = append(tokens, e.Args["Input Dims"].([]any)[1].([]any)[0])
			}
			if len(tokens) != 3 {
				t.Fatalf("%d embeddings, want 3", len(tokens))
			}
			for i, want := range []string{"5", "1", "1"} {
				if got := tokens[i].(interface{ String() string }).String(); got != want {
					t.Errorf("step %d has %s tokens, want %s", i, got, want)
				}
			}
			if n := len(trace.named("cpu_op", "aten::argmax")); n != 3 {
				t.Errorf("%d times sampled, want 3", n)
			}

			want := []string{"execute_context_1(5)_generation_0(0)", "execute_context_0(0)_generation_1(1)", "execute_context_0(0)_generation_1(1)"}
			got := trace.annotations()
			if dialect == V011 {
				want = nil
			}
			// The stop may come before the idle pass or after it.
			if len(got) > len(want) && got[len(got)-1] == "execute_context_0(0)_generation_0(0)" {
				got = got[:len(got)-1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("annotations %q, want %q", got, want)
			}
			checkTimes(t, trace, before, after)
			checkSampling(t, trace)
		})
	}
}

// checkTimes checks that all times are Unix times of the recording.
func checkTimes(t *testing.T, trace traceFile, before, after time.Time) {
	t.Helper()
	for _, e := range trace.events {
		start := trace.base + ns(t, e.Ts)
		end := start
		if e.Dur != "" {
			end += ns(t, e.Dur)
		}
		if start < before.UnixNano() || end > after.UnixNano() || end < start {
			t.Fatalf("%s %q from %d to %d, recorded from %d to %d", e.Ph, e.Name, start, end, before.UnixNano(), after.UnixNano())
		}
	}
}

// checkSampling checks that the model runs inside the annotations and sampling after.
func checkSampling(t *testing.T, trace traceFile) {
	t.Helper()
	spans := trace.named("user_annotation", "")
	inside := func(e traceEvent) bool {
		at := ns(t, e.Ts)
		return slices.ContainsFunc(spans, func(s traceEvent) bool {
			return at >= ns(t, s.Ts) && at < ns(t, s.Ts)+ns(t, s.Dur)
		})
	}
	if len(spans) == 0 {
		return
	}
	for _, e := range trace.named("cpu_op", "") {
		if got, want := inside(e), e.Name != "aten::argmax"; got != want {
			t.Fatalf("%s at %s inside an annotation: %t, want %t", e.Name, e.Ts, got, want)
		}
	}
}

func TestOptionsAreWhatTheTraceSays(t *testing.T) {
	keys := map[string]func(*Record){
		"record_shapes":  func(r *Record) { r.Shapes = true },
		"profile_memory": func(r *Record) { r.Memory = true },
		"with_stack":     func(r *Record) { r.Stack = true },
		"with_flops":     func(r *Record) { r.FLOPs = true },
	}
	for _, dialect := range Dialects() {
		for option := range keys {
			t.Run(string(dialect)+" "+option, func(t *testing.T) {
				t.Parallel()
				c := Config{Dialect: dialect}
				keys[option](&c.Record)
				dir, _, _ := record(t, c)
				trace := workerTrace(t, dir)
				for key := range keys {
					if on := string(trace.keys[key]) == "1"; on != (key == option) || !on && trace.keys[key] != nil {
						t.Errorf("%s is %s", key, trace.keys[key])
					}
				}
				op := trace.named("cpu_op", "aten::mm")[0]
				if on := op.Args["Input Dims"] != nil; on != (option == "record_shapes") {
					t.Errorf("arguments of an operator: %v", op.Args)
				}
				if on := len(trace.named("cpu_instant_event", "[memory]")) > 0; on != (option == "profile_memory") {
					t.Errorf("memory events: %t", on)
				}
				if on := len(trace.named("python_function", "")) > 0; on != (option == "with_stack") {
					t.Errorf("function events: %t", on)
				}
			})
		}
	}
}

func TestHeader(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			dir, _, _ := record(t, Config{Dialect: dialect})
			trace := workerTrace(t, dir)
			always := []string{"schemaVersion", "deviceProperties", "distributedInfo", "trace_id", "displayTimeUnit", "baseTimeNanoseconds", "traceEvents", "traceName"}
			if dialect == V032 {
				always = append(always, "vllm_version", "vllm_version_tuple", "host_name")
			}
			for key := range trace.keys {
				if !slices.Contains(always, key) {
					t.Errorf("key %s is not expected", key)
				}
			}
			for _, key := range always {
				if trace.keys[key] == nil {
					t.Errorf("key %s is missing", key)
				}
			}
			if dialect == V032 && string(trace.keys["vllm_version"]) != `"0.32.0"` {
				t.Errorf("vllm_version is %s", trace.keys["vllm_version"])
			}
			var process []string
			for _, e := range trace.events {
				if e.Ph == "M" && e.Name == "process_name" {
					process = append(process, e.Args["name"].(string))
				}
			}
			if want := map[Dialect]string{V011: "VLLM::EngineCore", V015: "VLLM::EngineCore", V032: "VLLM::Worker"}[dialect]; !slices.Equal(process, []string{want}) {
				t.Errorf("process names %q, want %q", process, want)
			}
		})
	}
}

func TestFrontendTraceHasNoOperators(t *testing.T) {
	dir, before, after := record(t, Config{Dialect: V032, Record: Record{Shapes: true, Stack: true}})
	trace := readTrace(t, one(t, dir, "*.async_llm.*.pt.trace.json.gz"))
	if n := len(trace.named("cpu_op", "")) + len(trace.named("user_annotation", "")); n != 0 {
		t.Errorf("%d operators and annotations", n)
	}
	if len(trace.named("python_function", "")) == 0 {
		t.Error("no functions")
	}
	checkTimes(t, trace, before, after)
}

func TestTableOfOperators(t *testing.T) {
	for _, tc := range []struct {
		config     Config
		file       string
		want, wont []string
	}{
		{Config{Dialect: V015, Record: Record{Shapes: true}}, "profiler_out_0.txt", []string{"aten::mm", "# of Calls", "Self CPU time total: "}, []string{"Input Shapes"}},
		{Config{Dialect: V032, Record: Record{Shapes: true, Memory: true, FLOPs: true}}, "rank0.profiler_out.txt",
			[]string{"aten::mm", "Input Shapes", "[[5, 128], [128, 768]]", "CPU Mem", "Total KFLOPs"}, nil},
		{Config{Dialect: V032}, "rank0.profiler_out.txt", []string{"execute_context_1(5)_generation_0(0)"}, []string{"Input Shapes", "CPU Mem", "FLOPs"}},
	} {
		dir, _, _ := record(t, tc.config)
		text, err := os.ReadFile(one(t, dir, tc.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s of %s has no %q:\n%s", tc.file, tc.config.Dialect, want, text)
			}
		}
		for _, wont := range tc.wont {
			if strings.Contains(string(text), wont) {
				t.Errorf("%s of %s has %q:\n%s", tc.file, tc.config.Dialect, wont, text)
			}
		}
	}
}

// The embedded engine's traces have no event, key or argument that vLLM's lack.
func TestTraceHasTheFormOfRealOnes(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared", "traces", "vllm-cpu")
	for _, tc := range []struct {
		file   string
		config Config
	}{
		{"v0.11.0-manual-shapes.json.gz", Config{Dialect: V011, Record: Record{Shapes: true}}},
		{"v0.15.1-delay1-max4-memory.json.gz", Config{Dialect: V015, Record: Record{Memory: true}}},
		{"v0.32.0-max6-all-options.json.gz", Config{Dialect: V032, Record: Record{Shapes: true, Memory: true, Stack: true, FLOPs: true}}},
		{"v0.32.0-four-steps.json.gz", Config{Dialect: V032}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			path := filepath.Join(shared, tc.file)
			if _, err := os.Stat(path); err != nil {
				t.Skipf("real traces are not here: %v", err)
			}
			dir, _, _ := record(t, tc.config)
			real, ours := readTrace(t, path), workerTrace(t, dir)
			for key := range ours.keys {
				if real.keys[key] == nil {
					t.Errorf("key %s is not in the real one", key)
				}
			}
			for key := range real.keys {
				if ours.keys[key] == nil && key != "ERROR" {
					t.Errorf("key %s is missing", key)
				}
			}
			if real.base != ours.base {
				// Both were recorded in the same quarter when this was written.
				t.Logf("base times %d and %d", real.base, ours.base)
			}
			want, got := forms(real), forms(ours)
			for form := range got {
				if !want[form] {
					t.Errorf("events of the form %s are not in the real one", form)
				}
			}
			for form := range want {
				if !got[form] {
					t.Errorf("events of the form %s are missing", form)
				}
			}
		})
	}
}

// forms are the kinds of event in a trace: phase, category, and the names of
// the arguments. Operators that record none of their inputs are left out.
func forms(f traceFile) map[string]bool {
	found := map[string]bool{}
	for _, e := range f.events {
		var args []string
		for key := range e.Args {
			args = append(args, key)
		}
		slices.Sort(args)
		name := ""
		if e.Cat == "" || e.Cat == "Trace" {
			name = e.Name
		}
		if e.Cat == "cpu_op" && strings.Contains(e.Name, "ipex::") {
			continue
		}
		found[e.Ph+" "+e.Cat+" "+name+" "+strings.Join(args, ",")] = true
	}
	return found
}
