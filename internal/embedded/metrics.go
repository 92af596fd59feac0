package embedded

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"profjob/internal/embedded/model"
)

// metrics are the numbers under /metrics, with the names, labels and buckets of
// vLLM (vllm/v1/metrics/loggers.py; the ones here are the same from 0.11.0 to
// 0.32.0).
type metrics struct {
	model string

	mu               sync.Mutex
	running, waiting int
	cacheUsage       float64
	promptTokens     int
	generationTokens int
	successes        map[string]int
	iterationTokens  histogram
	firstToken       histogram
	nextToken        histogram
	latency          histogram
}

func newMetrics(model string) *metrics {
	seconds := []float64{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680}
	return &metrics{
		model:     model,
		successes: map[string]int{"stop": 0, "length": 0, "abort": 0},
		iterationTokens: newHistogram([]float64{
			1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}),
		firstToken: newHistogram([]float64{
			0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
			1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560}),
		nextToken: newHistogram([]float64{
			0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}),
		latency: newHistogram(seconds),
	}
}

// load sets the gauges. vLLM sets them once a pass.
func (m *metrics) load(running, waiting, blocks int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.waiting = running, waiting
	m.cacheUsage = float64(blocks) / float64(model.Tiny(0).Blocks)
}

// pass counts a pass whose tokens are about to be sent. As in vLLM a prompt
// counts whole when its first token comes, and a pass that only read chunks of
// prompts is not seen.
func (m *metrics) pass(batch []work, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	prompt, generated := 0, 0
	for _, w := range batch {
		if !w.sample {
			continue
		}
		generated++
		if w.prefilling() {
			prompt += len(w.prompt)
			m.firstToken.observe(now.Sub(w.arrived).Seconds())
		} else {
			m.nextToken.observe(now.Sub(w.spoke).Seconds())
		}
	}
	if generated == 0 {
		return
	}
	m.promptTokens += prompt
	m.generationTokens += generated
	m.iterationTokens.observe(float64(prompt + generated))
}

func (m *metrics) finished(r *request, reason string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.successes[reason]++
	m.latency.observe(now.Sub(r.arrived).Seconds())
}

func (m *metrics) serve(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	m.write(&b)
	w.Header().Set("Content-Type", "text/plain; version=1.0.0; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (m *metrics) write(b *bytes.Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	labels := fmt.Sprintf("engine=\"0\",model_name=%q", m.model)
	family := func(kind, name, help string) {
		fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	single := func(kind, name, help string, value float64) {
		family(kind, name, help)
		fmt.Fprintf(b, "%s{%s} %s\n", name, labels, number(value))
	}
	single("gauge", "vllm:num_requests_running", "Number of requests in model execution batches.", float64(m.running))
	single("gauge", "vllm:num_requests_waiting", "Number of requests waiting to be processed.", float64(m.waiting))
	single("gauge", "vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", m.cacheUsage)
	single("counter", "vllm:num_preemptions_total", "Cumulative number of preemption from the engine.", 0)
	single("counter", "vllm:prompt_tokens_total", "Number of prefill tokens processed.", float64(m.promptTokens))
	single("counter", "vllm:generation_tokens_total", "Number of generation tokens processed.", float64(m.generationTokens))
	family("counter", "vllm:request_success_total", "Count of successfully processed requests.")
	for _, reason := range []string{"stop", "length", "abort"} {
		fmt.Fprintf(b, "vllm:request_success_total{engine=\"0\",finished_reason=%q,model_name=%q} %s\n",
			reason, m.model, number(float64(m.successes[reason])))
	}
	for _, h := range []struct {
		name, help string
		histogram  *histogram
	}{
		{"vllm:iteration_tokens_total", "Histogram of number of tokens per engine_step.", &m.iterationTokens},
		{"vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", &m.firstToken},
		{"vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", &m.nextToken},
		{"vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", &m.latency},
	} {
		family("histogram", h.name, h.help)
		h.histogram.write(b, h.name, m.model)
	}
}

// histogram counts observations in buckets, as Prometheus' do.
type histogram struct {
	bounds []float64 // upper, ascending
	counts []int     // of each bucket alone, the last without bound
	sum    float64
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]int, len(bounds)+1)}
}

func (h *histogram) observe(v float64) {
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
}

func (h *histogram) write(b *bytes.Buffer, name, model string) {
	total := 0
	for i, n := range h.counts {
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = number(h.bounds[i])
		}
		total += n
		fmt.Fprintf(b, "%s_bucket{engine=\"0\",le=%q,model_name=%q} %s\n", name, bound, model, number(float64(total)))
	}
	fmt.Fprintf(b, "%s_count{engine=\"0\",model_name=%q} %s\n", name, model, number(float64(total)))
	fmt.Fprintf(b, "%s_sum{engine=\"0\",model_name=%q} %s\n", name, model, number(h.sum))
}

// number writes a value as Python's client does: whole ones with a ".0".
func number(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}
