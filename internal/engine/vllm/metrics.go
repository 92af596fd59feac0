package vllm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// The samples that are read, all with the label engine, one series an engine
// core (vllm/v1/metrics/loggers.py). The last three are of a histogram that gets one
// observation for every engine step that gave a token: the tokens given, and for
// each first token those of its prompt. Those of the prompt that the prefix cache
// had are among them up to 0.15.1, and not in 0.32.0.
const (
	sampleRunning    = "vllm:num_requests_running"
	sampleWaiting    = "vllm:num_requests_waiting"
	samplePrompt     = "vllm:prompt_tokens_total"
	sampleGeneration = "vllm:generation_tokens_total"
	sampleFirst      = "vllm:time_to_first_token_seconds_count"
	sampleCached     = "vllm:prefix_cache_hits_total" // tokens
	sampleDrafts     = "vllm:spec_decode_num_draft_tokens_total"
	sampleSteps      = "vllm:iteration_tokens_total_count"
	sampleTokens     = "vllm:iteration_tokens_total_sum"
	sampleSizes      = "vllm:iteration_tokens_total_bucket"

	labelCore  = "engine"
	labelBound = "le"
)

var samples = []string{sampleRunning, sampleWaiting, samplePrompt, sampleGeneration, sampleFirst, sampleCached, sampleDrafts,
	sampleSteps, sampleTokens, sampleSizes}

// Metrics reads /metrics once.
func (c *Client) Metrics(ctx context.Context) (engine.Metrics, error) {
	a, err := c.ask.Do(ctx, exchange.Request{
		Op: "read metrics", Path: "/metrics", Accept: "text/plain;version=0.0.4", Limit: maxMetrics, Timeout: askTimeout,
	})
	if err != nil {
		return engine.Metrics{}, err
	}
	at := c.now()
	if !a.OK() {
		return engine.Metrics{}, a.StatusError(nil)
	}
	m, err := parseMetrics(a.Body)
	if err != nil {
		return engine.Metrics{}, fmt.Errorf("%s: %s: %w: %s", a.Op, a.URL, err, a.Said())
	}
	m.At = at
	return m, nil
}

// Limits on the samples that are read of one answer: a core has about 50, and each
// takes some hundred bytes of memory. The parser compares each label with all others.
const (
	maxSamples = 1 << 16
	maxSample  = 8 << 10 // bytes
	maxLabels  = 32
)

var errNoMetrics = errors.New("the answer is no metrics text")

// parseMetrics reads the samples, summed over the engine cores and of each core. Only the lines of those
// samples are parsed, so that a family that this package never heard of cannot
// be in the way.
func parseMetrics(text []byte) (engine.Metrics, error) {
	wanted, looksRight, err := wantedLines(text)
	if err != nil {
		return engine.Metrics{}, err
	}
	if !looksRight {
		return engine.Metrics{}, errNoMetrics
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(wanted))
	if err != nil {
		return engine.Metrics{}, fmt.Errorf("parse metrics: %w", err)
	}
	return engine.Metrics{
		Raw:              text,
		Running:          sum(families[sampleRunning]),
		Waiting:          sum(families[sampleWaiting]),
		PromptTokens:     sum(families[samplePrompt]),
		GenerationTokens: sum(families[sampleGeneration]),
		EngineSteps:      sum(families[sampleSteps]),
		Cores:            cores(families),
	}, nil
}

// sum is the value over all engine cores, −1 where there is no such family.
func sum(family *dto.MetricFamily) int64 {
	if family == nil {
		return -1
	}
	var total float64
	for _, m := range family.GetMetric() {
		total += m.GetUntyped().GetValue() // their TYPE lines were left out
	}
	return whole(total)
}

// cores takes the samples apart by engine core. Those of a version that does not
// label them are of one core without a name.
func cores(families map[string]*dto.MetricFamily) map[string]engine.Core {
	var all map[string]engine.Core
	values := map[string]map[string]float64{} // by sample and core
	for _, sample := range samples {
		values[sample] = byCore(families[sample])
		for name := range values[sample] {
			if all == nil {
				all = map[string]engine.Core{}
			}
			all[name] = engine.Core{}
		}
	}
	buckets := map[string][]*dto.Metric{}
	for _, m := range families[sampleSizes].GetMetric() {
		buckets[label(m, labelCore)] = append(buckets[label(m, labelCore)], m)
	}
	for name := range all {
		of := func(sample string) int64 {
			value, ok := values[sample][name]
			if !ok {
				return -1
			}
			return whole(value)
		}
		all[name] = engine.Core{Running: of(sampleRunning), PromptTokens: of(samplePrompt), FirstTokens: of(sampleFirst),
			CachedTokens: of(sampleCached), GenerationTokens: of(sampleGeneration), DraftTokens: of(sampleDrafts),
			EngineSteps: of(sampleSteps), StepTokens: of(sampleTokens), StepSizes: sizes(buckets[name])}
	}
	return all
}

func byCore(family *dto.MetricFamily) map[string]float64 {
	values := map[string]float64{}
	for _, m := range family.GetMetric() {
		values[label(m, labelCore)] += m.GetUntyped().GetValue()
	}
	return values
}

// sizes are the steps by the buckets of one core, nil where they are no histogram.
func sizes(buckets []*dto.Metric) []engine.StepSize {
	steps := map[int64]float64{} // by bound
	for _, m := range buckets {
		bound, err := strconv.ParseFloat(label(m, labelBound), 64)
		if err != nil || !(bound >= 0) {
			return nil
		}
		atMost := int64(math.MaxInt64)
		if bound < 1<<53 {
			atMost = int64(bound) // tokens are whole: 1.5 bounds them as 1 does
		}
		steps[atMost] += m.GetUntyped().GetValue()
	}
	var all []engine.StepSize
	for _, atMost := range slices.Sorted(maps.Keys(steps)) {
		n := whole(steps[atMost])
		if n < 0 || len(all) > 0 && n < all[len(all)-1].Steps {
			return nil
		}
		all = append(all, engine.StepSize{AtMost: atMost, Steps: n})
	}
	return all
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// wantedLines picks the lines of the samples, and tells whether the text looks
// like metrics at all: a vLLM with --disable-log-stats has none of the samples.
func wantedLines(text []byte) (wanted []byte, looksRight bool, err error) {
	n := 0
	for line := range bytes.Lines(text) {
		line = bytes.TrimLeft(line, " \t")
		if bytes.HasPrefix(line, []byte("# TYPE ")) || bytes.HasPrefix(line, []byte("# HELP ")) {
			looksRight = true
			continue
		}
		for _, name := range samples {
			rest, ok := bytes.CutPrefix(line, []byte(name))
			if ok && len(rest) > 0 && (rest[0] == '{' || rest[0] == ' ' || rest[0] == '\t') {
				wanted = append(append(wanted, bytes.TrimRight(line, "\r\n")...), '\n')
				looksRight = true
				if n++; n > maxSamples {
					return nil, true, fmt.Errorf("more than %d samples of the engine's metrics (limit)", maxSamples)
				}
				if len(line) > maxSample || bytes.Count(line, []byte("=")) > maxLabels {
					return nil, true, fmt.Errorf("a sample of more than %d bytes or %d labels (limit)", maxSample, maxLabels)
				}
			}
		}
	}
	return wanted, looksRight, nil
}

// whole is a metric as a whole number; −1 for what is none.
func whole(v float64) int64 {
	if math.IsNaN(v) || v < 0 || v >= math.MaxInt64 {
		return -1
	}
	return int64(math.Round(v))
}
