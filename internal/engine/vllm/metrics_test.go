package vllm

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

func TestParseMetrics(t *testing.T) {
	type numbers struct{ running, waiting, prompt, generation, steps int64 }
	none := numbers{-1, -1, -1, -1, -1}
	const twoCores = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b, c=\"d\" }"} 3.0
vllm:num_requests_running{engine="1",model_name="a b, c=\"d\" }"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0"} 1
vllm:num_requests_waiting{engine="1"} 0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0"} 1.048577e+06
vllm:prompt_tokens_total{engine="1"} 1
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0"} 1.7e+09
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0"} 5.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf"} 10.0
vllm:iteration_tokens_total_count{engine="0"} 10.0
vllm:iteration_tokens_total_sum{engine="0"} 80.0
vllm:iteration_tokens_total_count{engine="1"} 5.0
`
	for _, c := range []struct {
		name, text string
		want       numbers
		err        string
	}{
		{"two engine cores", twoCores, numbers{7, 1, 1048578, -1, 15}, ""},
		{"Windows line ends", strings.ReplaceAll(twoCores, "\n", "\r\n"), numbers{7, 1, 1048578, -1, 15}, ""},
		{"without labels, with a time, without a last line end", "# HELP x y\n  vllm:num_requests_running 2 1700000000000\nvllm:num_requests_waiting\t3", numbers{2, 3, -1, -1, -1}, ""},
		{"0.8.5's other names are no harm", "# TYPE vllm:gpu_cache_usage_perc gauge\nvllm:gpu_cache_usage_perc{model_name=\"m\"} 0.5\n", none, ""},
		{"no statistics", "# HELP python_info x\npython_info 1\n", none, ""},
		{"nonsense in a family that is not read", "# TYPE x gauge\nx{ y\nvllm:num_requests_running 2\n", numbers{2, -1, -1, -1, -1}, ""},
		{"not a number", "vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\nvllm:prompt_tokens_total -3\nvllm:generation_tokens_total 1e300\n", none, ""},
		{"HTML", "<html><body>hello</body></html>", none, "no metrics text"},
		{"empty", "", none, "no metrics text"},
		{"broken sample", "vllm:num_requests_running{engine=\"0\" 3\n", none, "parse metrics"},
		{"broken value", "vllm:num_requests_running three\n", none, "parse metrics"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := parseMetrics([]byte(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := (numbers{m.Running, m.Waiting, m.PromptTokens, m.GenerationTokens, m.EngineSteps}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestMetricsByCore(t *testing.T) {
	core := func(running, prompt, steps int64) engine.Core {
		return engine.Core{Running: running, PromptTokens: prompt, FirstTokens: -1, CachedTokens: -1, GenerationTokens: -1, DraftTokens: -1, EngineSteps: steps, StepTokens: -1}
	}
	one := core(6, -1, 9)
	for name, c := range map[string]struct {
		text string
		want map[string]engine.Core // by ByCore
	}{
		"two cores": {"vllm:num_requests_running{engine=\"0\"} 6\nvllm:num_requests_running{engine=\"1\"} 1\n" +
			"vllm:iteration_tokens_total_count{engine=\"0\"} 9\nvllm:iteration_tokens_total_count{engine=\"1\"} 4\n" +
			"vllm:prompt_tokens_total{engine=\"1\"} 30\n", map[string]engine.Core{"0": one, "1": core(1, 30, 4)}},
		"two series of a core": {"vllm:num_requests_running{engine=\"0\",model_name=\"a\"} 4\nvllm:num_requests_running{engine=\"0\",model_name=\"b\"} 2\n" +
			"vllm:iteration_tokens_total_count{engine=\"0\"} 9\n", map[string]engine.Core{"0": one}},
		"no label":   {"vllm:num_requests_running 6\nvllm:iteration_tokens_total_count 9\n", map[string]engine.Core{"": one}},
		"no samples": {"# TYPE x gauge\n", map[string]engine.Core{"": core(-1, -1, -1)}},
		"speculation": {"vllm:spec_decode_num_draft_tokens_total{engine=\"0\"} 5\n", map[string]engine.Core{"0": {
			Running: -1, PromptTokens: -1, FirstTokens: -1, CachedTokens: -1, GenerationTokens: -1, DraftTokens: 5, EngineSteps: -1, StepTokens: -1}}},
	} {
		m, err := parseMetrics([]byte(c.text))
		if diff := cmp.Diff(c.want, m.ByCore()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestRecordedCore(t *testing.T) {
	m, err := parseMetrics(recorded(t, "0.32.0", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := engine.Core{Running: 6, PromptTokens: 78, FirstTokens: 7, CachedTokens: 0, GenerationTokens: 170, DraftTokens: -1, EngineSteps: 49, StepTokens: 248}
	for i, n := range []int64{22, 46, 48, 48, 49, 49, 49, 49, 49, 49, 49, 49, 49, 49} {
		want.StepSizes = append(want.StepSizes, engine.StepSize{AtMost: []int64{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, math.MaxInt64}[i], Steps: n})
	}
	if diff := cmp.Diff(map[string]engine.Core{"0": want}, m.Cores); diff != "" {
		t.Error(diff)
	}
}

func TestStepSizes(t *testing.T) {
	bucket := func(core, bound, steps string) string {
		return fmt.Sprintf("vllm:iteration_tokens_total_bucket{engine=%q,le=%q} %s\n", core, bound, steps)
	}
	for name, c := range map[string]struct {
		text string
		want []engine.StepSize // of core 0
	}{
		"in any order":     {bucket("0", "+Inf", "7") + bucket("0", "8.0", "4") + bucket("1", "8.0", "9"), []engine.StepSize{{AtMost: 8, Steps: 4}, {AtMost: math.MaxInt64, Steps: 7}}},
		"of two models":    {bucket("0", "8.0", "4") + "vllm:iteration_tokens_total_bucket{engine=\"0\",le=\"8\",model_name=\"b\"} 3\n", []engine.StepSize{{AtMost: 8, Steps: 7}}},
		"bounds of halves": {bucket("0", "2.5", "1"), []engine.StepSize{{AtMost: 2, Steps: 1}}},
		"not cumulative":   {bucket("0", "8", "4") + bucket("0", "16", "3"), nil},
		"no number":        {bucket("0", "8", "NaN"), nil},
		"no bound":         {bucket("0", "NaN", "1"), nil},
		"a negative bound": {bucket("0", "-1", "1"), nil},
		"of another core":  {bucket("1", "8", "4") + "vllm:num_requests_running{engine=\"0\"} 1\n", nil},
	} {
		m, err := parseMetrics([]byte(c.text))
		if diff := cmp.Diff(c.want, m.Cores["0"].StepSizes); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestRecordedMetrics(t *testing.T) {
	for version, want := range map[string]engine.Metrics{
		"0.11.0": {},
		"0.15.1": {},
		"0.32.0": {Running: 6, PromptTokens: 78, GenerationTokens: 170, EngineSteps: 49},
	} {
		text := recorded(t, version, "metrics.txt")
		got, err := parseMetrics(text)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Raw) != string(text) {
			t.Errorf("%s: the text is not kept", version)
		}
		if got.Running != want.Running || got.Waiting != want.Waiting || got.PromptTokens != want.PromptTokens ||
			got.GenerationTokens != want.GenerationTokens || got.EngineSteps != want.EngineSteps {
			got.Raw = nil
			t.Errorf("%s: got %+v, want %+v", version, got, want)
		}
	}
}

func TestMetricsRequest(t *testing.T) {
	at := time.Unix(1_700_000_000, 5)
	var handler http.HandlerFunc
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(w, r) }))
	defer s.Close()
	c, err := New(engine.Config{Endpoint: s.URL, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	handler = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json") // what older servers say it is
		_, _ = w.Write([]byte("vllm:num_requests_running 2\n"))
	}
	if m, err := c.Metrics(t.Context()); err != nil || m.Running != 2 || !m.At.Equal(at) {
		t.Errorf("got %+v, %v", m, err)
	}
	handler = func(w http.ResponseWriter, _ *http.Request) {
		line := []byte(strings.Repeat("x", 1<<16) + " 1\n")
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
	var limit *exchange.LimitError
	if _, err := c.Metrics(t.Context()); !errors.As(err, &limit) || limit.Limit != maxMetrics {
		t.Errorf("gigantic metrics: got %v", err)
	}
	handler = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone", http.StatusGone) }
	var status *engine.StatusError
	if _, err := c.Metrics(t.Context()); !errors.As(err, &status) || status.Code != http.StatusGone {
		t.Errorf("got %v", err)
	}
}

// TestHostileMetrics: what would take hours or gigabytes to parse is refused at once.
func TestHostileMetrics(t *testing.T) {
	var cores, labels strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&cores, "vllm:iteration_tokens_total_bucket{engine=\"%d\",le=\"1\"} 1\n", i)
		fmt.Fprintf(&labels, "a%d=\"\",", i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"samples":    {cores.String(), "more than 65536 samples"},
		"labels":     {"vllm:num_requests_running{" + labels.String() + "} 1\n", "32 labels"},
		"long":       {"vllm:num_requests_running{a=\"" + strings.Repeat("x", 1<<20) + "\"} 1\n", "8192 bytes"},
		"many lines": {strings.Repeat("x 1\n", 1<<20), "no metrics text"},
	} {
		began := time.Now()
		if _, err := parseMetrics([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
	}
	few := strings.Join(strings.SplitAfterN(cores.String(), "\n", 60_001)[:60_000], "")
	if m, err := parseMetrics([]byte(few)); err != nil || len(m.Cores) != 60_000 {
		t.Errorf("%d cores, %v", len(m.Cores), err)
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte("# TYPE a b\nvllm:num_requests_running{engine=\"0\"} 1\n"))
	f.Add([]byte("vllm:iteration_tokens_total_count{engine=\"0\"} 1 # {a=\"b\"} 2\n"))
	f.Add([]byte("vllm:prompt_tokens_total{\"a\xff\"=\"\\n\"} nan"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMetrics(text)
		if err != nil {
			return
		}
		for _, v := range []int64{m.Running, m.Waiting, m.PromptTokens, m.GenerationTokens, m.EngineSteps} {
			if v < -1 {
				t.Errorf("%d", v)
			}
		}
		for name, c := range m.Cores {
			for i, s := range c.StepSizes {
				if s.AtMost < 0 || s.Steps < 0 || i > 0 && (s.AtMost <= c.StepSizes[i-1].AtMost || s.Steps < c.StepSizes[i-1].Steps) {
					t.Errorf("core %q: %+v", name, c.StepSizes)
				}
			}
		}
	})
}
