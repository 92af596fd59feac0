package steps

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"profjob/internal/event"
	"profjob/internal/load"
	"profjob/spec"
)

// completions streams answers of so many tokens and counts the requests.
func completions(t testing.TB, tokens int, asked *atomic.Int64, see func(*http.Request)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if see != nil {
			see(r)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range tokens {
			fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}]}\n\n")
		}
		fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":%d,\"total_tokens\":8}}\n\ndata: [DONE]\n\n", tokens)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func closedLoad(endpoint string) TrafficParams {
	return TrafficParams{Name: "steady", Concurrency: 3, API: "completions", Endpoint: endpoint, Model: "m",
		InputTokens: spec.TokenRange{Min: 4, Max: 4}, OutputTokens: spec.TokenRange{Min: 2, Max: 2}}
}

// wait waits until a condition holds.
func wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !holds() {
		if err := (SystemClock{}).Sleep(ctx, 2*time.Millisecond); err != nil {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func summaryOf(t testing.TB, h *host) load.Summary {
	t.Helper()
	data, err := os.ReadFile(h.Dir.Join(h.attemptDir(), "load.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s load.Summary
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func recordsOf(t testing.TB, h *host) []load.Record {
	t.Helper()
	f, err := os.Open(h.Dir.Join(h.attemptDir(), "load.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []load.Record
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r load.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// The summary is that of the records, one line each.
func TestTrafficIsKept(t *testing.T) {
	h := newHost(t)
	var asked atomic.Int64
	target := h.serve("a")
	if err := h.startTraffic(closedLoad(completions(t, 2, &asked, nil)), []Target{target}); err != nil {
		t.Fatal(err)
	}
	wait(t, "20 requests", func() bool { return h.traffic.run.Stats().Completed >= 20 })
	if err := h.stopTraffic(); err != nil {
		t.Fatal(err)
	}
	records, sum := recordsOf(t, h), summaryOf(t, h)
	want := load.Summarize(records)
	if sum.Requests != len(records) || sum.Completed < 20 || sum.Completed != want.Completed || sum.OutputTokens != want.OutputTokens ||
		sum.OutputTokens < int64(2*sum.Completed) || sum.Duration <= 0 || sum.TTFT == nil || sum.TTFT.P50 != want.TTFT.P50 || sum.E2E.Count != sum.Completed ||
		sum.NotSent != 0 || sum.Failed != 0 || sum.RequestRate <= 0 || sum.InputTokens < int64(4*sum.Completed) {
		t.Errorf("%d records, summary %+v, want %+v", len(records), sum, want)
	}
	if err := h.stopTraffic(); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
}

// Arrivals of an open loop that could not be sent are in the summary, though they have no record.
func TestTrafficCountsWhatWasNotSent(t *testing.T) {
	h := newHost(t)
	block := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(block)
	f, err := os.Create(filepath.Join(h.Dir.Path(), "load.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	h.traffic = &traffic{file: f, out: bufio.NewWriter(f), dir: h.attemptDir()}
	h.traffic.run, err = load.Start(t.Context(), load.Config{Endpoints: []string{server.URL}, Rate: 1000, MaxInFlight: 2,
		Input: load.TokenRange{Min: 4, Max: 4}, Output: load.TokenRange{Min: 2, Max: 2}}, h.traffic.record)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "an arrival that is not sent", func() bool { return h.traffic.run.Stats().NotSent > 0 })
	run := h.traffic.run
	if err := h.stopTraffic(); err != nil {
		t.Fatal(err)
	}
	if sum := summaryOf(t, h); sum.NotSent == 0 || sum.NotSent != run.Stats().NotSent || sum.Cancelled != 2 {
		t.Errorf("summary %+v, stats %+v", sum, run.Stats())
	}
}

// Each attempt has records of its own; the earlier ones stay.
func TestTrafficOfAttempts(t *testing.T) {
	h := newHost(t)
	var asked atomic.Int64
	url := completions(t, 2, &asked, nil)
	for attempt := 1; attempt <= 2; attempt++ {
		h.Place = event.Place{Step: "round-01/warmup", Round: 1, Attempt: attempt}
		w := warmupOf(h.serve("a"))
		p := closedLoad(url)
		w.Traffic, w.Requests = &p, 5
		if _, err := h.do(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if _, err := h.do(t.Context(), w); err != nil { // tried again, the load goes on
			t.Fatal(err)
		}
		if err := w.Undo(t.Context(), h.Run); err != nil {
			t.Fatal(err)
		}
	}
	for attempt := 1; attempt <= 2; attempt++ {
		h.Place.Attempt = attempt
		if sum := summaryOf(t, h); sum.Completed < 5 || sum.Requests != len(recordsOf(t, h)) {
			t.Errorf("attempt %d: %+v", attempt, sum)
		}
	}
}

func TestTrafficBearerAndModel(t *testing.T) {
	h := newHost(t)
	h.Secrets = map[string]string{"ref": "t0k"}
	h.State.Put(event.Place{}, ProbeResult{Endpoints: []Probed{{Target: "server"}, {Target: "server"}}})
	var asked atomic.Int64
	var bearer, model atomic.Value
	url := completions(t, 2, &asked, func(r *http.Request) {
		bearer.Store(r.Header.Get("Authorization"))
		var body struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		model.Store(body.Model)
	})
	target := h.serve(strings.TrimPrefix(url, "http://"))
	target.Bearer = &spec.Secret{Ref: "ref"}
	if err := h.startTraffic(closedLoad(url), []Target{target}); err != nil {
		t.Fatal(err)
	}
	wait(t, "a request", func() bool { return asked.Load() > 0 })
	if err := h.stopTraffic(); err != nil {
		t.Fatal(err)
	}
	if bearer.Load() != "Bearer t0k" || model.Load() != "m" {
		t.Errorf("sent %v and %v", bearer.Load(), model.Load())
	}
	data, err := os.ReadFile(h.Dir.Join(h.attemptDir(), "load.jsonl"))
	if err != nil || strings.Contains(string(data), "t0k") {
		t.Errorf("the records hold the token, %v", err)
	}
}

// A token is for the endpoints of its target only.
func TestTrafficBearerOfAnEndpoint(t *testing.T) {
	target := func(name, bearer string, endpoints ...string) Target {
		return Target{Name: name, Engine: "vllm", Endpoints: endpoints, Bearer: &spec.Secret{Value: bearer}}
	}
	a, b := target("a", "of-a", "http://one:8000", "https://Two"), target("b", "of-b", "http://three:8000")
	for name, c := range map[string]struct {
		endpoint string
		targets  []Target
		bearer   string
		err      string
	}{
		"the target's own":            {"", []Target{a}, "of-a", ""},
		"one of the target's own":     {"http://one:8000", []Target{a}, "of-a", ""},
		"another path of it":          {"http://one:8000/v2", []Target{a}, "of-a", ""},
		"a port that goes unsaid":     {"https://two:443", []Target{a}, "of-a", ""},
		"elsewhere":                   {"http://proxy:8000", []Target{a}, "", ""},
		"another port":                {"http://one:8001", []Target{a}, "", ""},
		"another scheme":              {"http://two", []Target{a}, "", ""},
		"another name with its start": {"http://one:8000.example.org", []Target{a}, "", ""},
		"the second's own":            {"http://three:8000", []Target{a, b}, "of-b", ""},
		"elsewhere, two tokens":       {"http://proxy:8000", []Target{a, b}, "", ""},
		"two tokens, both asked":      {"", []Target{a, b}, "", "targets a and b have different bearer tokens"},
	} {
		h := newHost(t)
		p := closedLoad(c.endpoint)
		cfg, err := h.loadConfig(p, c.targets)
		if cfg.Access.Bearer != c.bearer || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: bearer %q, %v", name, cfg.Access.Bearer, err)
		}
	}
}

func TestTrafficRefused(t *testing.T) {
	h := newHost(t)
	a, b := h.serve("a"), h.serve("b")
	a.Bearer, b.Name = &spec.Secret{Value: "x"}, "other"
	for name, c := range map[string]struct {
		p       TrafficParams
		targets []Target
		want    string
	}{
		"two bearers": {closedLoad(""), []Target{a, b}, "targets server and other have different bearer tokens"},
		"dataset":     {TrafficParams{Name: "steady", Concurrency: 1, API: "completions", OutputTokens: spec.TokenRange{Min: 1, Max: 1}, Dataset: "no-such.jsonl"}, []Target{b}, "no-such.jsonl"},
		"no secret":   {closedLoad(""), []Target{{Name: "server", Engine: "vllm", Endpoints: a.Endpoints, Bearer: &spec.Secret{Ref: "r"}}}, "sensitive value r was not given"},
	} {
		err := h.startTraffic(c.p, c.targets)
		if err == nil || !strings.Contains(err.Error(), c.want) || h.traffic != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(h.Dir.Join(h.attemptDir(), "load.jsonl")); err == nil {
			t.Errorf("%s: records of a load that never was", name)
		}
	}
}

// Records that cannot be written fail the attempt when the load ends.
func TestTrafficCannotBeKept(t *testing.T) {
	h := newHost(t)
	var asked atomic.Int64
	if err := h.startTraffic(closedLoad(completions(t, 2, &asked, nil)), []Target{h.serve("a")}); err != nil {
		t.Fatal(err)
	}
	wait(t, "a request", func() bool { return h.traffic.run.Stats().Completed > 0 })
	h.traffic.mu.Lock()
	if err := h.traffic.file.Close(); err != nil {
		t.Error(err)
	}
	h.traffic.mu.Unlock()
	failed(t, h.stopTraffic(), ExitIncomplete, "load records")
}
