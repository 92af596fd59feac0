package embedded

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"
)

const idle = "execute_context_0(0)_generation_0(0)"

// bench drives an engine pass by pass, without HTTP or a loop.
type bench struct {
	t *testing.T
	e *engine
}

func newBench(t *testing.T, c Config) *bench {
	t.Helper()
	if c.TraceDir == "" {
		c.TraceDir = t.TempDir()
	}
	return &bench{t, benchEngine(t, c)}
}

func benchEngine(t testing.TB, c Config) *engine {
	t.Helper()
	c, err := c.resolve()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(c, thisProcess(), newMetrics(c.Model))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// add queues a request of so many tokens.
func (b *bench) add(prompt, tokens int) *request {
	r := &request{
		prompt: slices.Repeat([]int32{65}, prompt), maxTokens: tokens, ignoreEOS: true,
		events: make(chan event, tokens+1), arrived: time.Now(),
	}
	b.e.scheduler.add(r)
	return r
}

// run runs passes until there is none to run, and gives how many there were.
func (b *bench) run() int {
	b.t.Helper()
	n := 0
	for ; b.e.scheduler.ready(); n++ {
		if err := b.e.pass(context.Background()); err != nil {
			b.t.Fatal(err)
		}
	}
	return n
}

func (b *bench) traces() []string { return files(b.t, b.e.config.TraceDir, "*.pt.trace.json.gz") }

func TestIdlePassFollowsTheLastRequestOnly(t *testing.T) {
	b := newBench(t, Config{Dialect: V015})
	b.add(5, 2)
	b.add(3, 4)
	b.e.profiler.start(session{})
	if n := b.run(); n != 5 {
		t.Errorf("%d passes, want 4 and an idle one", n)
	}
	if err := b.e.profiler.stop(); err != nil {
		t.Fatal(err)
	}
	got := readTrace(t, one(t, b.e.config.TraceDir, "*.gz")).annotations()
	want := []string{
		"execute_context_2(8)_generation_0(0)", "execute_context_0(0)_generation_2(2)",
		"execute_context_0(0)_generation_1(1)", "execute_context_0(0)_generation_1(1)", idle,
	}
	if !slices.Equal(got, want) {
		t.Errorf("annotations %q, want %q", got, want)
	}
}

func TestBounds(t *testing.T) {
	first, later := "execute_context_1(5)_generation_0(0)", "execute_context_0(0)_generation_1(1)"
	two, four := 2, 4
	for _, tc := range []struct {
		name   string
		config Config
		own    session
		sizes  []int // tokens of the requests, one after the other
		want   []string
		ended  bool // the recording ended by itself
	}{
		{"0.15 max", Config{Dialect: V015, MaxIterations: 4}, session{}, []int{10}, []string{first, later, later, later}, true},
		{"0.15 delay 1 is no delay", Config{Dialect: V015, DelayIterations: 1, MaxIterations: 4}, session{}, []int{10}, []string{first, later, later, later}, true},
		{"0.15 delay 3", Config{Dialect: V015, DelayIterations: 3, MaxIterations: 2}, session{}, []int{10}, []string{later, later}, true},
		{"0.15 ignores a request's", Config{Dialect: V015, MaxIterations: 4}, session{}, []int{10}, []string{first, later, later, later}, true},
		{"idle passes count", Config{Dialect: V015, MaxIterations: 4}, session{}, []int{2, 9}, []string{first, later, idle, first}, true},
		{"as many passes as asked for do not end it", Config{Dialect: V015, MaxIterations: 4}, session{}, []int{3}, []string{first, later, later, idle}, false},
		{"0.32 launch", Config{Dialect: V032, MaxIterations: 3}, session{}, []int{10}, []string{first, later, later}, true},
		{"0.32 request beats launch", Config{Dialect: V032, DelayIterations: 5, MaxIterations: 3}, session{Delay: &two, Max: &four}, []int{10}, []string{later, later, later, later}, true},
		{"0.32 unbounded", Config{Dialect: V032}, session{}, []int{3}, []string{first, later, later, idle}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.config)
			b.e.profiler.start(tc.own)
			for _, size := range tc.sizes {
				b.add(5, size)
				b.run()
			}
			if ended := len(b.traces()) == 1; ended != tc.ended {
				t.Errorf("ended by itself: %t, want %t", ended, tc.ended)
			}
			if err := b.e.profiler.stop(); err != nil {
				t.Fatal(err)
			}
			trace := readTrace(t, one(t, b.e.config.TraceDir, "*.pt.trace.json.gz"))
			if got := trace.annotations(); !slices.Equal(got, tc.want) {
				t.Errorf("annotations\n%q, want\n%q", got, tc.want)
			}
			steps := len(slices.DeleteFunc(slices.Clone(tc.want), func(s string) bool { return s == idle }))
			if n := len(trace.named("cpu_op", "aten::argmax")); n != steps {
				t.Errorf("%d steps sampled, want all %d", n, steps)
			}
		})
	}
}

func TestDelayThatNeverPassesLeavesNoTrace(t *testing.T) {
	delay := 50
	b := newBench(t, Config{Dialect: V032})
	b.e.profiler.start(session{Delay: &delay})
	b.add(5, 3)
	b.run()
	if err := b.e.profiler.stop(); err != nil {
		t.Fatal(err)
	}
	if got := b.traces(); len(got) != 0 {
		t.Errorf("files %q", got)
	}
}

func TestSecondRecordingStartsAfresh(t *testing.T) {
	b := newBench(t, Config{Dialect: V015, MaxIterations: 2})
	for range 2 {
		b.e.profiler.start(session{})
		b.e.profiler.start(session{}) // ignored
		b.add(5, 6)
		b.run()
		if err := b.e.profiler.stop(); err != nil {
			t.Fatal(err)
		}
	}
	found := b.traces()
	if len(found) != 2 {
		t.Fatalf("files %q, want two", found)
	}
	for _, path := range found {
		if n := len(readTrace(t, path).annotations()); n != 2 {
			t.Errorf("%s has %d passes, want 2", path, n)
		}
	}
}

// What newer releases only log, 0.11 answers.
func TestTraceThatCannotBeWritten(t *testing.T) {
	for _, dialect := range Dialects() {
		b := newBench(t, Config{Dialect: dialect, TraceDir: notADirectory(t)})
		b.e.profiler.start(session{})
		err := b.e.profiler.stop()
		if failed := err != nil; failed != (dialect == V011) {
			t.Errorf("%s: %v", dialect, err)
		}
	}
}

func notADirectory(t *testing.T) string {
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
