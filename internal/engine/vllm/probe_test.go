package vllm

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"profjob/internal/engine"
)

// routes serves fixed answers; a path that is not there is FastAPI's 404.
type routes map[string]string

func (r routes) serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, ok := r[req.URL.Path]
		status, body, _ := strings.Cut(text, " ")
		switch {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"Not Found"}`)
		case status == "401" || status == "500":
			w.WriteHeader(map[string]int{"401": 401, "500": 500}[status])
			_, _ = io.WriteString(w, body)
		default:
			_, _ = io.WriteString(w, text)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func probe(t *testing.T, endpoint string) (engine.Info, error) {
	t.Helper()
	c, err := New(engine.Config{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return c.Probe(t.Context())
}

func recordedRoutes(t *testing.T, version string) routes {
	r := routes{}
	for path, file := range map[string]string{
		"/version": "version.json", "/v1/models": "models.json", "/openapi.json": "openapi.json", "/server_info": "server_info.json",
	} {
		r[path] = string(recorded(t, version, file))
	}
	return r
}

func TestProbeRecorded(t *testing.T) {
	r := recordedRoutes(t, "0.15.1")
	info, err := probe(t, r.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.TraceDir != "/var/tmp/traces/0.15.1/traces" || info.Record == nil || info.Record.Stack || info.Record.Shapes {
		t.Errorf("trace dir %q, record %+v", info.TraceDir, info.Record)
	}
	want := map[string]string{
		"model": "/models/tiny", "dtype": "bfloat16", "max_model_len": "2048", "max_num_seqs": "16", "max_num_batched_tokens": "2048",
		"tensor_parallel_size": "1", "data_parallel_size": "1", "gpu_memory_utilization": "0.9", "enforce_eager": "true", "profiler": "torch",
	}
	for name, value := range want {
		if info.Fingerprint[name] != value {
			t.Errorf("fingerprint %s is %q, want %q", name, info.Fingerprint[name], value)
		}
	}
	for name := range info.Fingerprint {
		if strings.Contains(name, "token") && name != "max_num_batched_tokens" {
			t.Errorf("the fingerprint holds %s", name)
		}
	}
	if !slices.Equal(info.Models, []string{"tiny"}) || len(info.Notes) != 0 {
		t.Errorf("models %q, notes %q", info.Models, info.Notes)
	}

	// 0.11.0 tells its configuration, but nothing of its profiler.
	info, err = probe(t, recordedRoutes(t, "0.11.0").serve(t))
	if err != nil || info.Record != nil || info.TraceDir != "" || info.Profiling != engine.ProfilingConfigured || info.Fingerprint["max_num_seqs"] != "16" {
		t.Errorf("0.11.0: %+v, %v", info, err)
	}

	// 0.32.0 failed to answer /server_info on a host without some programs.
	r = recordedRoutes(t, "0.32.0")
	r["/server_info"] = "500 " + r["/server_info"]
	info, err = probe(t, r.serve(t))
	if err != nil || !info.PerRequestBounds || len(info.Notes) != 1 || !strings.Contains(info.Notes[0], "splitlines") {
		t.Errorf("0.32.0: %+v, %v", info, err)
	}
	if want := map[string]string{"max_model_len": "2048"}; !maps.Equal(info.Fingerprint, want) {
		t.Errorf("fingerprint %v, want %v", info.Fingerprint, want)
	}
}

func TestProbeVariants(t *testing.T) {
	const models = `{"object":"list","data":[{"id":"m","owned_by":"vllm","max_model_len":4096}]}`
	const withProfiler = `{"paths":{"/version":{},"/load":{},"/v1/models":{},"/start_profile":{"post":{}}}}`
	withBounds := string(recorded(t, "0.32.0", "openapi.json"))
	for _, c := range []struct {
		name   string
		routes routes
		want   engine.Info
		note   string
	}{
		{
			"no description of its routes", routes{"/version": `{"version":"0.32.0"}`, "/v1/models": models},
			engine.Info{Version: "0.32.0", Dialect: "per-request", Profiling: engine.ProfilingUnknown, PerRequestBounds: true}, "only a start will tell",
		},
		{
			"what it has beats what its version promises", routes{"/version": `{"version":"0.31.0"}`, "/v1/models": models, "/openapi.json": withBounds},
			engine.Info{Version: "0.31.0", Dialect: "per-request", Profiling: engine.ProfilingConfigured, PerRequestBounds: true}, "takes bounds",
		},
		{
			"and what it lacks", routes{"/version": `{"version":"0.40.0"}`, "/v1/models": models, "/openapi.json": withProfiler},
			engine.Info{Version: "0.40.0", Dialect: "config", Profiling: engine.ProfilingConfigured}, "takes no bounds",
		},
		{
			"a build without a number", routes{"/version": `{"version":"0.1.dev1+g123"}`, "/v1/models": models, "/openapi.json": withBounds},
			engine.Info{Version: "0.1.dev1+g123", Dialect: "per-request", Profiling: engine.ProfilingConfigured, PerRequestBounds: true}, "without a release number",
		},
		{
			"an API key that was not given", routes{"/version": `{"version":"0.15.1"}`, "/v1/models": `401 {"error":"Unauthorized"}`, "/openapi.json": withProfiler},
			engine.Info{Version: "0.15.1", Dialect: "both", Profiling: engine.ProfilingConfigured}, "another API key",
		},
		{
			"that, and no description", routes{"/version": `{"version":"0.15.1"}`, "/v1/models": `401 {"error":"Unauthorized"}`, "/metrics": "vllm:num_requests_running 0\n"},
			engine.Info{Version: "0.15.1", Dialect: "both", Profiling: engine.ProfilingUnknown}, "another API key",
		},
		{
			"the configuration alone tells", routes{"/version": `{"version":"0.16.0"}`, "/v1/models": models, "/server_info": `{"vllm_config":{"profiler_config":{"profiler":null}}}`},
			engine.Info{Version: "0.16.0", Dialect: "config", Profiling: engine.ProfilingNotConfigured}, "",
		},
		{
			"another profiler", routes{"/version": `{"version":"0.28.0"}`, "/v1/models": models, "/openapi.json": withProfiler + " ", "/server_info": `{"vllm_config":{"profiler_config":{"profiler":"proton"}}}`},
			engine.Info{Version: "0.28.0", Dialect: "config", Profiling: engine.ProfilingConfigured}, "",
		},
		{
			"nonsense for a description", routes{"/version": `{"version":"0.15.1"}`, "/v1/models": models, "/openapi.json": `{"paths":[]}`},
			engine.Info{Version: "0.15.1", Dialect: "both", Profiling: engine.ProfilingUnknown}, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := probe(t, c.routes.serve(t))
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != c.want.Version || got.Dialect != c.want.Dialect || got.Profiling != c.want.Profiling || got.PerRequestBounds != c.want.PerRequestBounds {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if !strings.Contains(strings.Join(got.Notes, "; "), c.note) {
				t.Errorf("notes %q, want %q", got.Notes, c.note)
			}
		})
	}
}

func TestProbeOfOthers(t *testing.T) {
	python := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "SimpleHTTP/0.6 Python/3.11.9")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<!DOCTYPE HTML>\n<html><title>Error response</title></html>")
	}
	nginx := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "nginx/1.24.0")
		_, _ = io.WriteString(w, "<html><title>Welcome to nginx!</title></html>")
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		routes  routes
		says    []string
	}{
		{name: "python -m http.server", handler: python, says: []string{"answered 404", "SimpleHTTP/0.6 Python/3.11.9"}},
		{name: "nginx with a page for everything", handler: nginx, says: []string{"Welcome to nginx", "Server: nginx/1.24.0"}},
		{name: "SGLang", routes: routes{"/v1/models": `{"data":[{"id":"m","owned_by":"sglang"}]}`}, says: []string{`owned_by "sglang"`, "SGLang server"}},
		{name: "a proxy that forwards /v1 alone", routes: routes{"/v1/models": `{"data":[{"id":"m","owned_by":"vllm"}]}`}, says: []string{"a proxy?"}},
		{name: "another server with a version", routes: routes{"/version": `{"version":"0.5.1"}`, "/v1/models": `{"data":[{"id":"m","owned_by":"library"}]}`}, says: []string{`owned_by "library"`}},
		{name: "a version and nothing else", routes: routes{"/version": `{"version":"1.2.3"}`}, says: []string{"/v1/models answered 404"}},
		{name: "a version that is none", routes: routes{"/version": `{"version":7}`}, says: []string{"/version answered 200"}},
		{name: "no version in it", routes: routes{"/version": `{"gitVersion":"v1.30.0"}`}, says: []string{"without a version", "v1.30.0"}},
		{name: "no models", routes: routes{"/version": `{"version":"1.2.3"}`, "/v1/models": `{"data":[]}`}, says: []string{"lists no models"}},
		{name: "closed and unknown", routes: routes{"/version": `{"version":"1.2.3"}`, "/v1/models": "401 no"}, says: []string{"cannot tell", "401"}},
		{name: "endless version", handler: func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, says: []string{"limit of 1048576 bytes"}},
		{name: "bytes that are no text", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0xfe, 0, 27}) }, says: []string{"\ufffd\ufffd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := ""
			if c.handler != nil {
				s := httptest.NewServer(c.handler)
				t.Cleanup(s.Close)
				endpoint = s.URL
			} else {
				endpoint = c.routes.serve(t)
			}
			_, err := probe(t, endpoint)
			if !errors.Is(err, engine.ErrNotServer) {
				t.Fatalf("got %v, want ErrNotServer", err)
			}
			for _, want := range append(c.says, endpoint) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if len(err.Error()) > 1500 || strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("%q is not one short line", err)
			}
		})
	}
}

// TestProbeOfFailing: a server in trouble, or a gateway without one behind it,
// is not taken for another kind of server.
func TestProbeOfFailing(t *testing.T) {
	for _, r := range []routes{
		{"/version": "500 Internal Server Error"},
		{"/version": `{"version":"0.15.1"}`, "/v1/models": "500 Internal Server Error"},
	} {
		_, err := probe(t, r.serve(t))
		var status *engine.StatusError
		if !errors.As(err, &status) || status.Code != 500 || errors.Is(err, engine.ErrNotServer) {
			t.Errorf("got %v, want a StatusError alone", err)
		}
	}
}

func TestProbeCancelledHalfway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.json" {
			cancel()
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `{"version":"0.15.1"}`)
	}))
	defer s.Close()
	c, err := New(engine.Config{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Probe(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrNotServer) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestServerInfoText(t *testing.T) {
	// VllmConfig.__str__ of 0.11.0, as an older /server_info gives it.
	text := `{"vllm_config":"model='/models/tiny', speculative_config=None, tokenizer='/models/tiny', skip_tokenizer_init=False, revision=None, trust_remote_code=False, dtype=torch.bfloat16, max_seq_len=2048, download_dir=None, load_format=dummy, tensor_parallel_size=2, pipeline_parallel_size=1, data_parallel_size=1, quantization=None, enforce_eager=True, kv_cache_dtype=auto, device_config=cpu, compilation_config={'level': 0, 'model': 'x', dtype=y}, profiler=z"}`
	got, err := parseServerInfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"model": "/models/tiny", "dtype": "bfloat16", "max_seq_len": "2048", "load_format": "dummy", "tensor_parallel_size": "2",
		"pipeline_parallel_size": "1", "data_parallel_size": "1", "enforce_eager": "True", "kv_cache_dtype": "auto",
	}
	if !maps.Equal(got.fingerprint, want) {
		t.Errorf("got %v, want %v", got.fingerprint, want)
	}
}

func TestServerInfoScopes(t *testing.T) {
	r := recordedRoutes(t, "0.11.0")
	r["/server_info"] = `{"vllm_config":{},"vllm_env":{"VLLM_CUSTOM_SCOPES_FOR_PROFILING":true}}`
	if info, err := probe(t, r.serve(t)); err != nil || info.Evidence != "scope" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestOpenAPIRing(t *testing.T) {
	o, err := parseOpenAPI([]byte(`{"paths":{"/start_profile":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/A"}}}}}}},
		"components":{"schemas":{"A":{"anyOf":[{"$ref":"#/components/schemas/B"}]},"B":{"$ref":"#/components/schemas/A"}}}}`))
	if err != nil || o.bounds {
		t.Errorf("%+v, %v", o, err)
	}
}

func FuzzParseOpenAPI(f *testing.F) {
	f.Add([]byte(`{"paths":{"/start_profile":{"post":{"requestBody":{"content":{"application/json":{"schema":{"anyOf":[{"$ref":"#/components/schemas/A"},{"type":"null"}]}}}}}}},"components":{"schemas":{"A":{"properties":{"profile_prefix":{}}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := parseOpenAPI(text)
		if err != nil && o.readable {
			t.Error("readable in spite of an error")
		}
		o.refine(&engine.Info{})
	})
}

func FuzzParseServerInfo(f *testing.F) {
	f.Add([]byte(`{"vllm_config":"model='a', dtype=torch.float16","vllm_env":{}}`))
	f.Add([]byte(`{"vllm_config":{"profiler_config":{"profiler":"torch","torch_profiler_dir":"/t"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseServerInfo(text)
		if err != nil {
			return
		}
		info := engine.Info{}
		s.refine(&info)
		if !printable(info.TraceDir) {
			t.Errorf("trace dir %q", info.TraceDir)
		}
		for name, value := range s.fingerprint {
			if !printable(value) {
				t.Errorf("%s: %q", name, value)
			}
		}
	})
}
