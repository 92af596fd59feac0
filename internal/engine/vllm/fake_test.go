package vllm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"profjob/internal/engine/enginetest"
)

// fake answers as a recorded server does, and keeps the state that its
// profiler's answers depend on.
type fake struct {
	version    string // that of the folder in testdata whose answers it gives
	claims     string // another version that it says it is, "": its own
	configured bool
	tellsBusy  bool
	idleStop   int // status of a stop while idle

	mu        sync.Mutex
	recording bool
	steps     int
	bodies    []string // of the starts
}

func recorded(t testing.TB, version, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", version, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// handler serves the recorded answers of /version, /v1/models, /openapi.json and
// /server_info, and the rules of the dialect for the profiler.
func (f *fake) handler(t testing.TB) http.Handler {
	mux := http.NewServeMux()
	give := func(path, file, contentType string) {
		text := recorded(t, f.version, file)
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(text)
		})
	}
	give("/v1/models", "models.json", "application/json")
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		version := f.version
		if f.claims != "" {
			version = f.claims
		}
		fmt.Fprintf(w, `{"version":%q}`, version)
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		text := string(recorded(t, f.version, "openapi.json"))
		if !f.configured {
			text = strings.NewReplacer(`"/start_profile"`, `"/x"`, `"/stop_profile"`, `"/y"`).Replace(text)
		}
		_, _ = io.WriteString(w, text)
	})
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", f.metrics)
	if f.configured {
		mux.HandleFunc("POST /start_profile", f.start)
		mux.HandleFunc("POST /stop_profile", f.stop)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"Not Found"}`)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (f *fake) start(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies = append(f.bodies, string(body))
	var bounds struct {
		Max int `json:"max_iterations"`
	}
	if f.recording && f.tellsBusy {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"error":{"message":"A profiling session is already active.","type":"Conflict","param":null,"code":409}}`)
		return
	}
	if len(body) > 0 && (json.Unmarshal(body, &bounds) != nil || bounds.Max < 0) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":"max_iterations must be greater than or equal to 0","type":"Bad Request","param":null,"code":400}}`)
		return
	}
	f.recording = true
}

func (f *fake) stop(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.recording && f.idleStop != http.StatusOK {
		http.Error(w, "Internal Server Error", f.idleStop)
		return
	}
	f.recording = false
}

func (f *fake) metrics(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(w, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\"} 0.0\nvllm:num_requests_waiting{engine=\"0\"} 0.0\n")
	fmt.Fprintf(w, "vllm:prompt_tokens_total{engine=\"0\"} %d\nvllm:generation_tokens_total{engine=\"0\"} %d\n", 3*f.steps, f.steps)
	fmt.Fprintf(w, "vllm:iteration_tokens_total_count{engine=\"0\"} %d\n", f.steps)
}

func (f *fake) load(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps += 4
	return nil
}

func (f *fake) serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(f.handler(t))
	t.Cleanup(s.Close)
	return s.URL
}

// TestSuite runs the common suite against the recorded answers of each dialect.
func TestSuite(t *testing.T) {
	for _, c := range []struct {
		name   string
		fake   *fake
		expect enginetest.Expect
	}{
		{"environment", &fake{version: "0.11.0", idleStop: 500},
			enginetest.Expect{Version: "0.11.0", Dialect: "environment", Evidence: "structure", IdleStop: enginetest.IdleStopAmbiguous}},
		{"both", &fake{version: "0.15.1", idleStop: 500},
			enginetest.Expect{Version: "0.15.1", Dialect: "both", Evidence: "annotation", AnnotatesTokens: true, IdleStop: enginetest.IdleStopAmbiguous}},
		{"config", &fake{version: "0.15.1", claims: "0.25.1", idleStop: 200},
			enginetest.Expect{Version: "0.25.1", Dialect: "config", Evidence: "annotation", AnnotatesTokens: true}},
		{"per-request", &fake{version: "0.32.0", idleStop: 200, tellsBusy: true},
			enginetest.Expect{Version: "0.32.0", Dialect: "per-request", Evidence: "annotation", AnnotatesTokens: true, PerRequestBounds: true, TellsBusy: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.expect.Engine = "vllm"
			enginetest.Run(t, enginetest.Env{
				New:    New,
				Expect: c.expect,
				Server: func(t *testing.T, l enginetest.Launch) enginetest.Server {
					f := &fake{version: c.fake.version, claims: c.fake.claims, idleStop: c.fake.idleStop, tellsBusy: c.fake.tellsBusy, configured: l.Profiling}
					return enginetest.Server{Endpoint: f.serve(t), Load: f.load}
				},
			})
		})
	}
}
