package embedded

import (
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	commonmodel "github.com/prometheus/common/model"
)

// families reads /metrics with Prometheus' own parser.
func (r *running) families() map[string]*dto.MetricFamily {
	r.t.Helper()
	parser := expfmt.NewTextParser(commonmodel.LegacyValidation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(r.ok("GET", "/metrics", "")))
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// metric gives a gauge's or counter's value; a label's value may be asked for
// as in name{label="value"}.
func (r *running) metric(name string) float64 {
	r.t.Helper()
	name, label, _ := strings.Cut(strings.TrimSuffix(name, `"}`), "{")
	key, value, _ := strings.Cut(label, `="`)
	family := r.families()[name]
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			if label == "" || l.GetName() == key && l.GetValue() == value {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	r.t.Fatalf("no metric %s in %v", name, family)
	return 0
}

func TestMetrics(t *testing.T) {
	r := serve(t, Config{Model: `the "model"`})
	r.complete(7, 5)
	r.complete(3, 2)
	wait(t, "the requests to end", func() bool { return r.metric("vllm:num_requests_running") == 0 })
	for name, want := range map[string]float64{
		"vllm:num_requests_waiting":                            0,
		"vllm:prompt_tokens_total":                             10,
		"vllm:generation_tokens_total":                         7,
		`vllm:request_success_total{finished_reason="length"}`: 2,
		`vllm:request_success_total{finished_reason="stop"}`:   0,
		"vllm:kv_cache_usage_perc":                             0,
	} {
		if got := r.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	families := r.families()
	for name, count := range map[string]uint64{
		"vllm:iteration_tokens_total":      7,
		"vllm:time_to_first_token_seconds": 2,
		"vllm:inter_token_latency_seconds": 5,
		"vllm:e2e_request_latency_seconds": 2,
	} {
		h := families[name].GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != count {
			t.Errorf("%s has %d samples, want %d", name, h.GetSampleCount(), count)
		}
	}
	if sum := families["vllm:iteration_tokens_total"].GetMetric()[0].GetHistogram().GetSampleSum(); sum != 17 {
		t.Errorf("%v tokens in iterations, want 17", sum)
	}
	for name, family := range families {
		labels := map[string]string{}
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["engine"] != "0" || labels["model_name"] != `the "model"` {
			t.Errorf("%s has the labels %v", name, labels)
		}
	}
}

// A pass that only reads a chunk of a prompt is not seen, and a prompt counts
// whole, as in vLLM.
func TestChunksAreNotCounted(t *testing.T) {
	r := serve(t, Config{MaxNumSeqs: 4, MaxNumBatchedTokens: 8})
	r.complete(30, 2) // four passes read it
	h := r.families()["vllm:iteration_tokens_total"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 2 || h.GetSampleSum() != 32 {
		t.Errorf("%d iterations with %v tokens, want 2 with 32", h.GetSampleCount(), h.GetSampleSum())
	}
}

func TestWaitingRequestsAreCounted(t *testing.T) {
	r := serve(t, Config{MaxNumSeqs: 2, StepFloor: 5 * time.Millisecond})
	answered := make(chan error, 1)
	go func() {
		_, err := r.do(t.Context(), "POST", "/v1/completions", `{"prompt":["a","b","c","d","e"],"max_tokens":20,"ignore_eos":true}`)
		answered <- err
	}()
	wait(t, "two requests to run and three to wait", func() bool {
		return r.metric("vllm:num_requests_running") == 2 && r.metric("vllm:num_requests_waiting") == 3
	})
	if r.metric("vllm:kv_cache_usage_perc") <= 0 {
		t.Error("the KV cache is not used")
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}
