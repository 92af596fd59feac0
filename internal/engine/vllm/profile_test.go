package vllm

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"profjob/internal/engine"
)

// recording is one request and its answer, recorded on a real server.
type recording struct {
	Note    string
	Request struct {
		Path string
		Body *string
	}
	Status  int
	Headers map[string]string
	Body    string
}

// TestRecordedExchanges gives each recorded answer of a real server's profiler
// to the client.
func TestRecordedExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/*/exchanges.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no recorded exchanges", err)
	}
	for _, file := range files {
		version := filepath.Base(filepath.Dir(file))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var exchanges []recording
		if err := json.Unmarshal(text, &exchanges); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, e := range exchanges {
			t.Run(version+"/"+e.Note, func(t *testing.T) { replay(t, e) })
		}
	}
}

func replay(t *testing.T, e recording) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != e.Request.Path {
			http.NotFound(w, r) // /version, which a 404 makes the client ask for
			return
		}
		for name, value := range e.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(e.Status)
		_, _ = io.WriteString(w, e.Body)
	}))
	defer s.Close()
	c, err := New(engine.Config{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if e.Request.Path == "/start_profile" {
		err = c.Start(t.Context(), engine.StartOptions{})
		want := map[int]error{200: nil, 400: engine.ErrRefused, 404: engine.ErrNotConfigured, 409: engine.ErrBusy}[e.Status]
		if !errors.Is(err, want) || engine.NotStarted(err) != (e.Status != 200) {
			t.Errorf("start, %d: got %v, want %v", e.Status, err, want)
		}
	} else {
		err = c.Stop(t.Context())
		if (err == nil) != (e.Status == 200) || engine.NotRecording(err) != (e.Status == 404) {
			t.Errorf("stop, %d: got %v", e.Status, err)
		}
	}
	var status *engine.StatusError
	if err != nil && (!errors.As(err, &status) || status.Code != e.Status) {
		t.Errorf("got %v, want a StatusError of %d", err, e.Status)
	}
}

func TestStartAnswers(t *testing.T) {
	for _, c := range []struct {
		name       string
		handler    http.HandlerFunc
		want       error // nil: none of the package's own
		notStarted bool
		ok         bool
	}{
		{"200", status(200), nil, false, true},
		{"204", status(204), nil, false, true},
		{"400", status(400), engine.ErrRefused, true, false},
		{"401", status(401), engine.ErrRefused, true, false},
		{"403", status(403), engine.ErrRefused, true, false},
		{"404", status(404), engine.ErrNotConfigured, true, false},
		{"405", status(405), engine.ErrRefused, true, false},
		{"409", status(409), engine.ErrBusy, true, false},
		{"422", status(422), engine.ErrRefused, true, false},
		{"429", status(429), nil, false, false},
		{"500", status(500), nil, false, false},
		{"502", status(502), nil, false, false},
		{"503", status(503), nil, false, false},
		{"301", redirect(301), engine.ErrRefused, true, false},
		{"302", redirect(302), nil, false, false},
		{"303", redirect(303), nil, false, false},
		{"307", redirect(307), engine.ErrRefused, true, false},
		{"308", redirect(308), engine.ErrRefused, true, false},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, false, false},
		{"success, then endless", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, nil, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(c.handler)
			defer s.Close()
			client, err := New(engine.Config{Endpoint: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			err = client.Start(t.Context(), engine.StartOptions{})
			if (err == nil) != c.ok || c.want != nil && !errors.Is(err, c.want) || engine.NotStarted(err) != c.notStarted {
				t.Errorf("got %v (NotStarted %t), want %v (%t)", err, engine.NotStarted(err), c.want, c.notStarted)
			}
			if err := client.Stop(t.Context()); c.name != "404" && engine.NotRecording(err) {
				t.Errorf("stop: NotRecording is true of %v", err)
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func redirect(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			return // a redirect that was followed ends in a success
		}
		http.Redirect(w, r, "/elsewhere", code)
	}
}

func TestStartBody(t *testing.T) {
	all := engine.StartOptions{Prefix: "run-1", DelaySteps: 2, MaxSteps: 5}
	for _, c := range []struct {
		name, version string
		options       engine.StartOptions
		probed        bool
		want          string
	}{
		{"nothing asked", "0.32.0", engine.StartOptions{}, true, ""},
		{"all", "0.32.0", all, true, `{"profile_prefix":"run-1","delay_iterations":2,"max_iterations":5}`},
		{"one", "0.32.0", engine.StartOptions{MaxSteps: 5}, true, `{"max_iterations":5}`},
		{"not probed yet", "0.32.0", all, false, `{"profile_prefix":"run-1","delay_iterations":2,"max_iterations":5}`},
		{"a server that would ignore it", "0.15.1", all, true, ""},
		{"that, not probed yet", "0.11.0", all, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{version: c.version, configured: true}
			client, err := New(engine.Config{Endpoint: f.serve(t)})
			if err != nil {
				t.Fatal(err)
			}
			if c.probed {
				if _, err := client.Probe(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.Start(t.Context(), c.options); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.bodies, []string{c.want}) {
				t.Errorf("sent %q, want %q", f.bodies, c.want)
			}
		})
	}
}

// TestStartUnknownServer: where it cannot be known whether bounds are taken,
// nothing is started.
func TestStartUnknownServer(t *testing.T) {
	var posts int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts++
		}
		w.WriteHeader(500)
	}))
	defer s.Close()
	c, err := New(engine.Config{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Start(t.Context(), engine.StartOptions{MaxSteps: 1})
	if !errors.Is(err, engine.ErrNotSent) || !engine.NotStarted(err) || posts != 0 {
		t.Errorf("got %v after %d posts", err, posts)
	}
}

func TestNotConfiguredSaysWhatToSet(t *testing.T) {
	for version, want := range map[string][]string{
		"0.10.1":      {"launch vLLM 0.10.1 with VLLM_TORCH_PROFILER_DIR=/path/to/traces in its environment"},
		"0.11.0+cpu":  {"VLLM_TORCH_PROFILER_DIR=/path/to/traces", "VLLM_TORCH_PROFILER_WITH_STACK=0"},
		"0.16.0":      {`--profiler-config '{"profiler":"torch","torch_profiler_dir":"/path/to/traces"`},
		"0.32.0":      {`--profiler-config '{"profiler":"torch"`},
		"not-a-thing": {`launch vLLM not-a-thing with --profiler-config '{"profiler":"torch"`},
		"":            {"from vLLM 0.13.0 on", "before"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/version" && version != "" {
				_, _ = io.WriteString(w, `{"version":"`+version+`"}`)
				return
			}
			http.NotFound(w, r)
		}))
		c, err := New(engine.Config{Endpoint: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Start(t.Context(), engine.StartOptions{})
		s.Close()
		for _, text := range want {
			if !errors.Is(err, engine.ErrNotConfigured) || !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v does not say %q", version, err, text)
			}
		}
	}
}

func TestStopTimeout(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	c, err := New(engine.Config{Endpoint: s.URL, StopTimeout: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "no complete answer within 30ms") || engine.NotRecording(err) {
		t.Errorf("got %v", err)
	}
}

func TestReady(t *testing.T) {
	code := 503
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" || r.Method != http.MethodGet {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		w.WriteHeader(code)
	}))
	defer s.Close()
	c, err := New(engine.Config{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(t.Context()); err == nil {
		t.Error("ready, though /health answered 503")
	}
	code = 200
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
}
