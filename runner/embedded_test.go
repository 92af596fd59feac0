package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/embedded"
	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/event"
	"profjob/internal/trace"
	"profjob/steps"
)

// serve runs an embedded engine until the test ends and gives its endpoint.
func serve(t testing.TB, c embedded.Config) string {
	t.Helper()
	s, err := embedded.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, embedded.ErrDied) {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

// server is the engine of most tests: slow enough for its traces to stay small.
func server(dir string, dialect embedded.Dialect) embedded.Config {
	return embedded.Config{Dialect: dialect, TraceDir: dir, StepFloor: 3 * time.Millisecond}
}

// busy is a load that keeps a server at work.
const busy = `concurrency = 3
  input_tokens = 8
  output_tokens = { min = 16, max = 48 }`

// jobText is a job on running servers; body has what differs.
func jobText(dir string, endpoints []string, load, body string) string {
	text := fmt.Sprintf(`target "embedded" "server" {
  endpoints = [%s]
  trace_dir = %q
}
`, strings.Join(quoted(endpoints), ", "), dir)
	if load != "" {
		text += "load \"some\" {\n  " + load + "\n}\n"
		body = "load = load.some\n" + body
	}
	return text + "job \"job\" {\n  targets = [target.embedded.server]\n  retry {\n    attempts = 2\n    initial = \"10ms\"\n  }\n" + body + "\n}\n"
}

func quoted(all []string) []string {
	out := slices.Clone(all)
	for i := range out {
		out[i] = fmt.Sprintf("%q", out[i])
	}
	return out
}

func stepsBlock(count, delay int) string {
	return fmt.Sprintf("window {\n    steps {\n      count = %d\n      delay = %d\n    }\n    timeout = \"60s\"\n  }", count, delay)
}

// runJob compiles and runs a job.
func runJob(t testing.TB, text string, change ...func(*Options)) Result {
	t.Helper()
	return run(t, compile(t, jobOf(t, text)), change...)
}

// idle checks that a server's profiler is off, by starting it, and leaves it off.
func idle(t testing.TB, endpoint string) {
	t.Helper()
	kind, _ := kinds.Find("embedded")
	client, err := kind.New(engine.Config{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(t.Context(), engine.StartOptions{}); err != nil {
		t.Errorf("a session goes on: %v", err)
	}
	if err := client.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func scanned(t testing.TB, r Result, rel string) *trace.Summary {
	t.Helper()
	s, err := trace.Scan(t.Context(), filepath.Join(r.Path, filepath.FromSlash(rel)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A window of engine steps is exact in every dialect, with a delay as well: its
// steps are those of the uncut trace behind the delay.
func TestStepsOfEveryDialect(t *testing.T) {
	for _, c := range []struct {
		dialect  embedded.Dialect
		evidence string
		strategy string
	}{
		{embedded.V011, "structure", steps.StrategyObserved},
		{embedded.V015, "annotation", steps.StrategyObserved},
		{embedded.V032, "annotation", steps.StrategyBounded},
	} {
		t.Run(string(c.dialect), func(t *testing.T) {
			dir := t.TempDir()
			endpoint := serve(t, server(dir, c.dialect))
			result := runJob(t, jobText(dir, []string{endpoint}, busy, "warmup {\n requests = 3\n }\n"+stepsBlock(5, 3)))
			result.ended(t, archive.StatusOK, 0, "")
			idle(t, endpoint)
			m := result.Manifest
			w := m.Rounds[0].Windows[0]
			if !w.Exact || w.Got.Steps != 5 || w.Got.RecordedSteps < 8 || w.Evidence != c.evidence || w.Strategy != c.strategy ||
				w.Asked.Steps != 5 || w.Asked.Delay != 3 || *w.Endpoint != endpoint || !w.Got.Trimmed {
				t.Errorf("window %+v", w)
			}
			cut := m.Files[slices.IndexFunc(m.Files, func(f archive.File) bool { return f.Path == w.File })]
			uncut := scanned(t, result, cut.TrimmedFrom)
			var behind []trace.Pass
			for _, p := range uncut.Passes {
				if p.IsStep() {
					behind = append(behind, p)
				}
			}
			for i, s := range w.Got.EngineSteps {
				if p := behind[3+i]; s.Name != p.Name || s.StartNS != p.Start || p.Tokens != trace.NotKnown && int64(*s.Tokens) != p.Tokens {
					t.Errorf("step %d is %+v, recorded %+v", i, s, p)
				}
			}
			if got, _ := scanned(t, result, w.File).Steps(); got != 5 {
				t.Errorf("the cut trace has %d steps", got)
			}
			if m.Targets[0].Version != c.dialect.Version() || m.Targets[0].Endpoints[0] != endpoint {
				t.Errorf("target %+v", m.Targets[0])
			}
			if kinds := kindsOf(m); kinds[archive.KindTrace] != 2 || kinds[archive.KindFrontend] != 1 || kinds[archive.KindMetrics] != 3 || kinds[archive.KindLoad] != 2 {
				t.Errorf("files %v", kinds)
			}
		})
	}
}

func kindsOf(m *archive.Manifest) map[string]int {
	n := map[string]int{}
	for _, f := range m.Files {
		n[f.Kind]++
	}
	return n
}

// In thin traffic there are idle passes between the steps: they are not counted, do
// not use up a bound, and are told.
func TestStepsInThinTraffic(t *testing.T) {
	for _, dialect := range []embedded.Dialect{embedded.V015, embedded.V032} {
		t.Run(string(dialect), func(t *testing.T) {
			dir := t.TempDir()
			endpoint := serve(t, server(dir, dialect))
			thin := "concurrency = 1\n  input_tokens = 4\n  output_tokens = 1" // one request at a time, of one step
			result := runJob(t, jobText(dir, []string{endpoint}, thin, stepsBlock(6, 2)))
			result.ended(t, archive.StatusOK, 0, "")
			w := result.Manifest.Rounds[0].Windows[0]
			if !w.Exact || w.Got.Steps != 6 || w.Got.IdlePasses < 3 {
				t.Errorf("window %+v", w)
			}
			between := 0
			for _, p := range scanned(t, result, w.File).Passes {
				if !p.IsStep() {
					between++
				}
			}
			if between == 0 {
				t.Error("no idle pass lies between the steps of the window: the test does not show what it should")
			}
			for _, s := range w.Got.EngineSteps {
				if s.Class != "prefill" || *s.Tokens != 4 {
					t.Errorf("step %+v", s)
				}
			}
		})
	}
}

func TestManualWindow(t *testing.T) {
	dir := t.TempDir()
	endpoint := serve(t, server(dir, embedded.V015))
	result := runJob(t, jobText(dir, []string{endpoint}, busy, "window {\n    manual {\n      duration = \"400ms\"\n    }\n  }"))
	result.ended(t, archive.StatusOK, 0, "")
	w := result.Manifest.Rounds[0].Windows[0]
	if open := time.Duration(w.Got.DurationNS); !w.Exact || w.Strategy != steps.StrategyTimed || w.Got.Trimmed || w.Got.Steps < 1 ||
		open < 350*time.Millisecond || open > 450*time.Millisecond {
		t.Errorf("open for %s: %+v", open, w)
	}
	if kinds := kindsOf(result.Manifest); kinds[archive.KindTrace] != 1 {
		t.Errorf("files %v", kinds)
	}
}

// Two servers that write into one directory, where others' files lie already: each
// has its window, whose rank and endpoint nobody can tell.
func TestTwoEndpointsOneDirectory(t *testing.T) {
	dir := t.TempDir()
	foreign := map[string]string{"rank0.1.pt.trace.json.gz": "an earlier session's", "rank0.profiler_out.txt": "overwritten later", "notes.txt": "x"}
	for name, text := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	endpoints := []string{serve(t, server(dir, embedded.V032)), serve(t, server(dir, embedded.V032))}
	result := runJob(t, jobText(dir, endpoints, busy, stepsBlock(4, 0)))
	result.ended(t, archive.StatusOK, 0, "")
	windows := result.Manifest.Rounds[0].Windows
	if len(windows) != 2 || result.Manifest.Rounds[0].SkewNS == nil {
		t.Fatalf("windows %+v", windows)
	}
	for _, w := range windows {
		if !w.Exact || w.Got.Steps != 4 || w.Rank != nil || w.Endpoint != nil {
			t.Errorf("window %+v", w)
		}
	}
	for _, f := range result.Manifest.Files {
		if strings.Contains(f.OriginalName, "rank0.1.") || strings.Contains(f.OriginalName, "notes") {
			t.Errorf("collected %s", f.OriginalName)
		}
	}
	if kinds := kindsOf(result.Manifest); kinds[archive.KindTable] != 2 || kinds[archive.KindFrontend] != 2 {
		t.Errorf("files %v", kinds)
	}
	for _, e := range endpoints {
		idle(t, e)
	}
}

// Each round has its own files, also of a name that every session writes over.
func TestRounds(t *testing.T) {
	dir := t.TempDir()
	endpoint := serve(t, server(dir, embedded.V032))
	result := runJob(t, jobText(dir, []string{endpoint}, busy, "repeat = 2\n"+stepsBlock(3, 0)))
	result.ended(t, archive.StatusOK, 0, "")
	if len(result.Manifest.Rounds) != 2 {
		t.Fatalf("rounds %+v", result.Manifest.Rounds)
	}
	tables := map[int]int{}
	for _, f := range result.Manifest.Files {
		if f.Kind == archive.KindTable && f.OriginalName == "rank0.profiler_out.txt" {
			tables[f.Round]++
		}
	}
	for n := 1; n <= 2; n++ {
		if w := result.Manifest.Rounds[n-1].Windows[0]; !w.Exact || tables[n] != 1 || !strings.HasPrefix(w.File, fmt.Sprintf("rounds/%02d/attempt-1/", n)) {
			t.Errorf("round %d: %d tables, %+v", n, tables[n], w)
		}
	}
}

// Without traffic the window is missed in every attempt, and the profiler is off.
func TestNoTraffic(t *testing.T) {
	dir := t.TempDir()
	endpoint := serve(t, server(dir, embedded.V032))
	result := runJob(t, jobText(dir, []string{endpoint}, "", "window {\n    steps {\n      count = 3\n    }\n    timeout = \"200ms\"\n    attempts = 2\n  }"))
	result.ended(t, archive.StatusWindowNotMet, steps.ExitWindow, "no engine step")
	round := result.Manifest.Rounds[0]
	if len(round.Attempts) != 2 || round.Attempts[0].Error == "" || len(round.Windows) != 1 || round.Windows[0].Exact || round.Windows[0].Attempt != 2 {
		t.Errorf("round %+v", round)
	}
	if kinds := kindsOf(result.Manifest); kinds[archive.KindTrace] != 2 {
		t.Errorf("the traces of both attempts are not kept: %v", kinds)
	}
	idle(t, endpoint)
}

// front stands in front of a server and answers as a test says; next is the server.
func front(t testing.TB, endpoint string, answer func(w http.ResponseWriter, r *http.Request, next http.Handler)) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{DisableKeepAlives: true}
	proxy.Transport, proxy.FlushInterval = transport, -1
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, proxy) })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = web.Serve(l) }()
	t.Cleanup(func() {
		_ = web.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// A start that fails ends its attempt; the load that ran by then is stopped and its
// records are kept, and the next attempt has a folder of its own.
func TestAttemptAfterAStartThatFailed(t *testing.T) {
	for name, first := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"409": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var starts atomic.Int32
			endpoint := front(t, serve(t, server(dir, embedded.V032)), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Path == "/start_profile" && starts.Add(1) == 1 {
					first(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
			result := runJob(t, jobText(dir, []string{endpoint}, busy, "warmup {\n requests = 1\n }\n"+stepsBlock(3, 0)))
			result.ended(t, archive.StatusOK, 0, "")
			round := result.Manifest.Rounds[0]
			if len(round.Attempts) != 2 || round.Attempts[0].Error == "" || round.Attempts[1].Error != "" || round.Windows[0].Attempt != 2 {
				t.Errorf("round %+v", round)
			}
			for _, f := range []string{"rounds/01/attempt-1/load.jsonl", "rounds/01/attempt-1/load.json", "rounds/01/attempt-2/load.jsonl"} {
				if !slices.ContainsFunc(result.Manifest.Files, func(have archive.File) bool { return have.Path == f && have.Size > 0 }) {
					t.Errorf("%s is not kept", f)
				}
			}
			stops := 0
			for _, e := range only(journaled(t, result.Path), "intent") {
				if e.Data.Attempt == 1 && strings.Contains(e.raw, `"action":"stop"`) {
					stops++
				}
			}
			if want := map[string]int{"500": 1, "409": 0, "cut": 1}[name]; stops != want {
				t.Errorf("%d stops in the first attempt, want %d", stops, want)
			}
		})
	}
}

// A stop that is answered with 500 although everything was written: the files are
// what counts.
func TestStopAnswered500(t *testing.T) {
	dir := t.TempDir()
	direct := serve(t, server(dir, embedded.V032))
	endpoint := front(t, direct, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != "/stop_profile" {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusInternalServerError)
	})
	result := runJob(t, jobText(dir, []string{endpoint}, busy, stepsBlock(3, 0)))
	result.ended(t, archive.StatusOK, 0, "")
	if m := result.Manifest; len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "answered 500") || !m.Rounds[0].Windows[0].Exact {
		t.Errorf("warnings %q, windows %+v", m.Warnings, m.Rounds[0].Windows)
	}
	idle(t, direct)
}

func TestServersThatFail(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults embedded.Faults
		status archive.Status
		exit   int
		text   string
	}{
		{"500 at start", embedded.Faults{StartStatus: 500}, archive.StatusFailed, steps.ExitServer, "answered 500"},
		{"dies at the first pass after the start", embedded.Faults{DieAfterStart: true}, archive.StatusFailed, steps.ExitServer, "died while it recorded"},
		{"cuts the stop's connection", embedded.Faults{StopDrop: true}, archive.StatusOK, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			config := server(dir, embedded.V032)
			config.Faults = c.faults
			endpoint := serve(t, config)
			body := strings.Replace(stepsBlock(3, 0), "timeout", "attempts = 1\n    timeout", 1)
			result := runJob(t, jobText(dir, []string{endpoint}, busy, body))
			result.ended(t, c.status, c.exit, c.text)
			if result.Manifest == nil {
				t.Fatal("the run is not sealed")
			}
			if c.faults.StopDrop && (len(result.Manifest.Warnings) == 0 || !result.Manifest.Rounds[0].Windows[0].Exact) {
				t.Errorf("manifest %+v", result.Manifest)
			}
		})
	}
}

// when calls f once, at the first event for which it is asked.
func when(is func(event.Event) bool, f func()) event.Reader {
	var done atomic.Bool
	return reader(func(e event.Entry) error {
		if is(e.Event) && done.CompareAndSwap(false, true) {
			go f()
		}
		return nil
	})
}

// started tells of the event by which a profiler has begun.
func started(e event.Event) bool {
	o, ok := e.(event.Outcome)
	return ok && o.Action == "start"
}

// The first interrupt in a window of steps: stopped, collected, verified, sealed.
func TestInterruptInAWindow(t *testing.T) {
	dir := t.TempDir()
	endpoint := serve(t, server(dir, embedded.V032))
	result := runJob(t, jobText(dir, []string{endpoint}, busy, "repeat = 3\n"+stepsBlock(100_000, 0)), func(o *Options) {
		o.Readers = append(o.Readers, when(started, func() { o.Interrupts.Signal() }))
	})
	result.ended(t, archive.StatusInterrupted, steps.ExitInterrupted, "interrupted")
	m := result.Manifest
	if m == nil || len(m.Rounds) != 1 || len(m.Rounds[0].Attempts) != 1 || len(m.Rounds[0].Windows) != 1 || m.Rounds[0].Windows[0].Exact || kindsOf(m)[archive.KindTrace] != 1 {
		t.Errorf("manifest %+v", m)
	}
	idle(t, endpoint)
}

// A window that lasts until it is stopped takes an interrupt for itself and ends well.
func TestUntilStopped(t *testing.T) {
	dir := t.TempDir()
	endpoint := serve(t, server(dir, embedded.V011))
	result := runJob(t, jobText(dir, []string{endpoint}, busy, "window {\n    manual {\n      until = \"stopped\"\n    }\n  }"), func(o *Options) {
		o.Readers = append(o.Readers, when(func(e event.Event) bool {
			p, ok := e.(event.Progress)
			return ok && p.Text == "recording until stopped" && p.Done >= 1
		}, func() { o.Interrupts.Signal() }))
	})
	result.ended(t, archive.StatusOK, 0, "")
	w := result.Manifest.Rounds[0].Windows[0]
	if !w.Exact || w.Asked.Until != "stopped" || w.Got.Steps < 1 || w.Got.DurationNS < int64(time.Second) {
		t.Errorf("window %+v", w)
	}
}

// What is asked of the record and what is seen: the probe refuses what a server
// tells that it cannot give, the traces show what it does not tell.
func TestRecordOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		record embedded.Record
		dev    bool
		asked  string
		exit   int
		text   string
		extra  []string
	}{
		{"as asked", embedded.Record{Shapes: true}, false, "shapes = true", 0, "", nil},
		{"more than asked", embedded.Record{Shapes: true, Stack: true}, false, "shapes = true", 0, "", []string{"stack"}},
		{"less, told", embedded.Record{}, true, "memory = true", steps.ExitServer, "was launched without memory", nil},
		{"less, seen", embedded.Record{}, false, "memory = true", steps.ExitServer, "were recorded without memory", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			config := server(dir, embedded.V015)
			config.Record, config.DevMode = c.record, c.dev
			endpoint := serve(t, config)
			result := runJob(t, jobText(dir, []string{endpoint}, busy, "record {\n "+c.asked+"\n }\n"+stepsBlock(3, 0)))
			status := archive.StatusOK
			if c.exit != 0 {
				status = archive.StatusFailed
			}
			result.ended(t, status, c.exit, c.text)
			if !slices.Equal(result.Manifest.Record.Extra, c.extra) && len(c.extra)+len(result.Manifest.Record.Extra) > 0 {
				t.Errorf("record %+v", result.Manifest.Record)
			}
		})
	}
}
