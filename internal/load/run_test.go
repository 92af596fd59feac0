package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestClosedLoop(t *testing.T) {
	const n, workers = 300, 7
	var inFlight, most atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := inFlight.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		a, ok := readAsked(w, r)
		inFlight.Add(-1) // before the answer ends: the next request may come right then
		if ok {
			sendTokens(w, a.MaxTokens, func() {})
		}
	}))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Concurrency, config.Requests = []string{server.URL + "/"}, workers, n
	records, stats := runLoad(t, config)

	if len(records) != n || stats.Started != n || stats.Completed != n || stats.InFlight != 0 || stats.Failed+stats.Cancelled+stats.NotSent != 0 {
		t.Fatalf("%d records, %+v", len(records), stats)
	}
	seen := make([]bool, n)
	for _, r := range records {
		if seen[r.Sequence] || !r.OK() || r.Status != 200 || r.OutputTokens != 4 || r.Chunks != 4 || len(r.ITL) != 3 || r.PromptTokens != 16 {
			t.Fatalf("record %+v", r)
		}
		seen[r.Sequence] = true
		sum := r.TTFT
		for _, itl := range r.ITL {
			sum += itl
		}
		if r.Start.Location() != time.UTC {
			t.Errorf("request %d: start is not in UTC: %s", r.Sequence, r.Start)
		}
		if sum != r.E2E || r.TTFT <= 0 {
			t.Errorf("request %d: TTFT and ITLs are %d ns, E2E %d ns", r.Sequence, sum, r.E2E)
		}
	}
	if m := most.Load(); m > workers {
		t.Errorf("%d requests in flight, want at most %d", m, workers)
	}
	if stats.FirstCompleted.Before(stats.StartedAt) || stats.LastCompleted.Before(stats.FirstCompleted) {
		t.Errorf("times %s, %s, %s", stats.StartedAt, stats.FirstCompleted, stats.LastCompleted)
	}
}

// With answers of known length, the number in flight is exactly the concurrency at every moment.
func TestClosedLoopKeepsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inFlight atomic.Int64
		config := validConfig()
		config.Concurrency, config.Output = 5, TokenRange{Min: 1, Max: 9}
		config.Transport = pipeServer(t, func(w http.ResponseWriter, r *http.Request) {
			inFlight.Add(1)
			defer inFlight.Add(-1)
			if a, ok := readAsked(w, r); ok {
				sendTokens(w, a.MaxTokens, func() { time.Sleep(10 * time.Millisecond) })
			}
		})
		run, err := Start(t.Context(), config, func(Record) {})
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			time.Sleep(3 * time.Millisecond)
			synctest.Wait()
			if got, stats := inFlight.Load(), run.Stats(); got != 5 || stats.InFlight != 5 {
				t.Fatalf("%d requests at the server, %d counted, want 5", got, stats.InFlight)
			}
		}
		run.Stop()
		stats := run.Stats()
		if stats.Cancelled != 5 || stats.InFlight != 0 || stats.Failed != 0 || stats.Completed+5 != stats.Started || stats.Completed < 30 {
			t.Errorf("after Stop: %+v", stats)
		}
	})
}

func TestRequestsAsSent(t *testing.T) {
	var mu sync.Mutex
	bodies := make(map[string]bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := readAsked(w, r)
		if !ok {
			return
		}
		var ids []int
		err := json.Unmarshal(a.Prompt, &ids)
		switch {
		case r.Method != "POST" || r.URL.Path != "/prefix/v1/completions":
			t.Errorf("%s %s", r.Method, r.URL.Path)
		case r.Header.Get("Authorization") != "Bearer geheim" || r.Header.Get("Content-Type") != "application/json":
			t.Errorf("header %v", r.Header)
		case a.Model != "tiny" || !a.IgnoreEOS || !a.Stream || !a.StreamOptions.IncludeUsage || a.Temperature == nil || *a.Temperature != 0:
			t.Errorf("request %+v", a)
		case err != nil || len(ids) < 3 || len(ids) > 5 || a.MaxTokens < 1 || a.MaxTokens > 3:
			t.Errorf("prompt %s (%v), %d tokens asked", a.Prompt, err, a.MaxTokens)
		}
		mu.Lock()
		bodies[string(a.Prompt)] = true
		mu.Unlock()
		sendTokens(w, a.MaxTokens, func() {})
	}))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Model, config.Access.Bearer, config.Requests = []string{server.URL + "/prefix/"}, "tiny", "geheim", 50
	config.Input, config.Output = TokenRange{Min: 3, Max: 5}, TokenRange{Min: 1, Max: 3}
	records, _ := runLoad(t, config)
	if len(bodies) != 50 {
		t.Errorf("%d different prompts, want 50", len(bodies))
	}
	for _, r := range records {
		if r.OutputTokens != r.MaxTokens || !r.OK() {
			t.Errorf("record %+v", r)
		}
	}
}

func TestDatasetLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prompts.jsonl")
	lines := `{"messages": [{"role": "user", "content": "one"}], "output_tokens": 2}` + "\n" + `{"prompt": "two"}` + "\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := readAsked(w, r); ok {
			got = append(got, fmt.Sprintf("%s %s %d", r.URL.Path, a.Messages, a.MaxTokens))
			sendTokens(w, a.MaxTokens, func() {})
		}
	}))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.API, config.Dataset, config.Requests, config.Input = []string{server.URL}, Chat, path, 3, TokenRange{}
	runLoad(t, config)
	one := `/v1/chat/completions [{"role": "user", "content": "one"}] 2`
	two := `/v1/chat/completions [{"role":"user","content":"two"}] 4`
	if len(got) != 3 || got[0] != one || got[1] != two || got[2] != one {
		t.Errorf("requests %q", got)
	}

	config.Dataset = path + ".missing"
	if _, err := Start(t.Context(), config, func(Record) {}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that the dataset does not exist", err)
	}
}

func TestEndpointsShareTheLoad(t *testing.T) {
	tests := []struct {
		name        string
		concurrency int
		rate        float64
		want        [3]int // of 12 requests
	}{
		{"one worker goes round", 1, 0, [3]int{4, 4, 4}},
		{"open loop goes round", 0, 1, [3]int{4, 4, 4}},
		{"a worker keeps to its endpoint", 12, 0, [3]int{4, 4, 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := validConfig()
				config.Endpoints = []string{"http://a", "http://b", "http://c"}
				config.Concurrency, config.Rate, config.Requests = test.concurrency, test.rate, 12
				var mu sync.Mutex
				hosts := make(map[string]int)
				config.Transport = pipeServer(t, func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					hosts[r.Host]++
					mu.Unlock()
					time.Sleep(time.Millisecond)
					answerTokens(w, r)
				})
				runLoad(t, config)
				if got := [3]int{hosts["a"], hosts["b"], hosts["c"]}; got != test.want {
					t.Errorf("requests at the endpoints %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		config := validConfig()
		config.Concurrency, config.Rate, config.Burstiness, config.Seed, config.Requests = 0, 10, 0.5, 9, n
		// Answers take far longer than the time between requests.
		config.Transport = pipeServer(t, func(w http.ResponseWriter, r *http.Request) {
			if a, ok := readAsked(w, r); ok {
				sendTokens(w, a.MaxTokens, func() { time.Sleep(time.Second) })
			}
		})
		records, stats := runLoad(t, config)
		if stats.Completed != n || len(records) != n || stats.NotSent != 0 {
			t.Fatalf("%d records, %+v", len(records), stats)
		}
		starts := make([]time.Time, n)
		for _, r := range records {
			starts[r.Sequence] = r.Start
		}
		arrivals := newGammaPacer(10, 0.5, 9)
		for i, at := range starts {
			if want := stats.StartedAt.Add(arrivals.next()); !at.Equal(want) {
				t.Fatalf("request %d sent at %s, want %s", i, at, want)
			}
		}
	})
}

func TestOpenLoopBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := validConfig()
		config.Concurrency, config.Rate, config.MaxInFlight = 0, 100, 8
		var inFlight, most atomic.Int64
		config.Transport = pipeServer(t, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			readAsked(w, r) // the server sees the client go only once it has read the request
			<-r.Context().Done()
		})
		var l log
		run, err := Start(t.Context(), config, l.add)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		stats := run.Stats()
		if stats.InFlight != 8 || stats.Started != 8 || stats.NotSent < 400 || most.Load() != 8 {
			t.Errorf("%+v, most in flight %d", stats, most.Load())
		}
		run.Stop()
		if stats := run.Stats(); stats.Cancelled != 8 || len(l.records) != 8 || stats.Failed != 0 {
			t.Errorf("%d records, %+v", len(l.records), stats)
		}
	})
}

func TestStopCancels(t *testing.T) {
	arrived := make(chan struct{}, 3)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := readAsked(w, r); ok {
			send(w, `{"choices":[{"text":"a"}]}`)
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Concurrency = []string{server.URL}, 3
	for _, how := range []string{"Stop", "context"} {
		t.Run(how, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var l log
			run, err := Start(ctx, config, l.add)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				<-arrived
			}
			select {
			case <-run.Done():
				t.Fatal("done before it was stopped")
			default:
			}
			if how == "context" {
				cancel()
				<-run.Done()
			}
			run.Stop()
			run.Stop()
			<-run.Done()
			if len(l.records) != 3 {
				t.Fatalf("%d records", len(l.records))
			}
			for _, r := range l.records {
				if !r.Cancelled || r.Error != "" || r.OK() || r.E2E <= 0 || r.TPOT != 0 {
					t.Errorf("record %+v", r)
				}
			}
			if s := run.Stats(); s.Cancelled != 3 || s.Failed != 0 || s.LastError != "" || s.InFlight != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	if _, err := Start(t.Context(), Config{}, func(Record) {}); err == nil {
		t.Error("an empty configuration: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, validConfig(), func(Record) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: error %v", err)
	}
}

// refuse is a server that is not there.
type refuse struct{ attempts atomic.Int64 }

func (r *refuse) RoundTrip(*http.Request) (*http.Response, error) {
	r.attempts.Add(1)
	return nil, errors.New("connection refused")
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := new(refuse)
		config := validConfig()
		config.Concurrency, config.Transport = 10, transport
		run, err := Start(t.Context(), config, func(Record) {})
		if err != nil {
			t.Fatal(err)
		}
		// At 0, 50, 150, 350, 750, 1550 ms and each second from then: 6 and 8 to 10 s.
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := transport.attempts.Load(); got != 10*(6+8) {
			t.Errorf("%d attempts of 10 workers in 10 s, want 140", got)
		}
		stats := run.Stats()
		if stats.Failed != 140 || stats.InFlight != 0 || !strings.Contains(stats.LastError, "connection refused") {
			t.Errorf("%+v", stats)
		}
		run.Stop()
	})
}

func TestBackoffEndsWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		config := validConfig()
		config.Requests = 8
		var starts []time.Duration
		began := time.Now()
		config.Transport = pipeServer(t, func(w http.ResponseWriter, r *http.Request) {
			starts = append(starts, time.Since(began))
			if n := requests.Add(1); n == 4 || n == 5 {
				answerTokens(w, r)
				return
			}
			http.Error(w, "busy", http.StatusServiceUnavailable)
		})
		records, stats := runLoad(t, config)
		const ms = time.Millisecond
		want := []time.Duration{0, 50 * ms, 150 * ms, 350 * ms, 350 * ms, 350 * ms, 400 * ms, 500 * ms}
		if fmt.Sprint(starts) != fmt.Sprint(want) {
			t.Errorf("requests at %v, want %v", starts, want)
		}
		if stats.Completed != 2 || stats.Failed != 6 || stats.LastError != `HTTP 503: "busy"` {
			t.Errorf("%+v", stats)
		}
		if len(records) != 8 {
			t.Errorf("%d records", len(records))
		}
	})
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Error("the other server was asked")
	}))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/away"):
			http.Redirect(w, r, other.URL+"/v1/completions", http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/get"):
			http.Redirect(w, r, "/v1/completions", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/within"):
			http.Redirect(w, r, "/v1/completions", http.StatusPermanentRedirect)
		default:
			answerTokens(w, r)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{
		"/away":   "redirect to another server (" + other.URL + ") is not followed",
		"/get":    "redirect would turn POST into GET",
		"/loop":   "more than 3 redirects",
		"/within": "",
	} {
		config := validConfig()
		config.Endpoints, config.Requests = []string{server.URL + path}, 1
		records, _ := runLoad(t, config)
		if got := records[0].Error; !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: error %q, want %q", path, got, want)
		}
	}
}

// A server that resets connections gives one kind of error, not one a connection.
func TestErrorsAreOfOneKind(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := readAsked(w, r); !ok {
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.(interface{ SetLinger(int) error }).SetLinger(0) // a reset, not an end
		conn.Close()
	}))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Concurrency, config.Requests = []string{server.URL}, 4, 8
	records, stats := runLoad(t, config)
	if summary := Summarize(records); stats.Failed != 8 || len(summary.Errors) != 1 {
		t.Errorf("%+v", summary.Errors)
	}
}

// Connections are used again. At the start there may be up to two for a worker: one
// it dialled, and another's that came free before the dial was through.
func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(answerTokens))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Concurrency, config.Requests = []string{server.URL}, 5, 200
	runLoad(t, config)
	if n := connections.Load(); n > 10 {
		t.Errorf("%d connections for 200 requests of 5 workers", n)
	}
}

// The bearer token is in no record, whatever the server does with it.
func TestBearerIsInNoRecord(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error":{"message":"bad token `+r.Header.Get("Authorization")+`"}}`, http.StatusUnauthorized)
	}))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Access.Bearer, config.Requests = []string{server.URL}, "geheim", 1
	records, stats := runLoad(t, config)
	text, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "geheim") || strings.Contains(stats.LastError, "geheim") {
		t.Errorf("record %s", text)
	}
	if !strings.Contains(stats.LastError, "HTTP 401: bad token") {
		t.Errorf("error %s", stats.LastError)
	}
}

// The sink is called by one goroutine at a time and gets every record before Done.
func TestSinkIsAlone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(answerTokens))
	defer server.Close()
	config := validConfig()
	config.Endpoints, config.Concurrency, config.Requests = []string{server.URL}, 8, 200
	var inside atomic.Int64
	calls := 0
	run, err := Start(t.Context(), config, func(Record) {
		if inside.Add(1) != 1 {
			t.Error("two calls of the sink at a time")
		}
		calls++
		inside.Add(-1)
	})
	if err != nil {
		t.Fatal(err)
	}
	<-run.Done()
	if calls != 200 {
		t.Errorf("%d records", calls)
	}
}
