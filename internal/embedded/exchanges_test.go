package embedded

import (
	"net/http"
	"strings"
	"testing"
)

// exchange is a request and what its answer must be.
type exchange struct {
	path, body string
	status     int
	answer     string // whole, or "" for anything
}

const (
	conflict = `{"error":{"message":"A profiling session is already active. Call /stop_profile before starting another session.","type":"Conflict","param":null,"code":409}}`
	notFound = `{"detail":"Not Found"}`
)

// The exchanges of the three releases, as measured on them.
func TestProfilingExchanges(t *testing.T) {
	complete := exchange{"/v1/completions", `{"prompt":"hello","max_tokens":8,"ignore_eos":true}`, 200, ""}
	start, stop := "/start_profile", "/stop_profile"
	for _, tc := range []struct {
		name   string
		config Config
		want   []exchange
	}{
		{"0.11 not configured", Config{Dialect: V011}, []exchange{{start, "", 404, notFound}, {stop, "", 404, notFound}}},
		{"0.15 not configured", Config{Dialect: V015}, []exchange{{start, "", 404, notFound}, {stop, "", 404, notFound}}},
		{"0.32 not configured", Config{Dialect: V032}, []exchange{{start, "{}", 404, notFound}, {stop, "", 404, notFound}}},

		{"0.11", Config{Dialect: V011, TraceDir: "x"}, []exchange{
			{stop, "", 500, "Internal Server Error"},
			{start, "", 200, ""}, {start, "", 200, ""}, complete,
			{stop, "", 200, ""}, {stop, "", 500, "Internal Server Error"},
			{start, `not JSON`, 200, ""}, {stop, "", 200, ""},
		}},
		{"0.15", Config{Dialect: V015, TraceDir: "x"}, []exchange{
			{stop, "", 500, "Internal Server Error"},
			{start, "", 200, ""}, {start, `{"max_iterations":-1}`, 200, ""}, complete,
			{stop, "", 200, ""}, {stop, "", 500, "Internal Server Error"},
		}},
		{"0.15 auto-stop", Config{Dialect: V015, TraceDir: "x", DelayIterations: 1, MaxIterations: 4}, []exchange{
			{start, "", 200, ""}, complete,
			{start, "", 200, ""}, complete, // ignored: still active
			{stop, "", 200, ""}, {stop, "", 500, "Internal Server Error"},
			{start, "", 200, ""}, complete, {stop, "", 200, ""},
		}},
		{"0.15 without frontend", Config{Dialect: V015, TraceDir: "x", IgnoreFrontend: true}, []exchange{
			{stop, "", 200, ""}, // the 500 was the frontend's
		}},
		{"0.32", Config{Dialect: V032, TraceDir: "x"}, []exchange{
			{stop, "", 200, ""},
			{start, "", 200, ""}, {start, "", 409, conflict}, {start, `{"max_iterations":-1}`, 409, conflict}, complete,
			{stop, "", 200, ""}, {stop, "", 200, ""},
			{start, `null`, 200, ""}, {stop, "", 200, ""},
			{start, `{"unknown":[1]}`, 200, ""}, {stop, "", 200, ""},
			{start, `{"max_iterations":"5"}`, 400, ""}, {start, `{"max_iterations":-1}`, 400, ""}, {start, `not JSON`, 400, ""},
			{start, "", 200, ""}, {stop, "", 200, ""},
		}},
		{"0.32 auto-stop", Config{Dialect: V032, TraceDir: "x"}, []exchange{
			{start, `{"max_iterations":2}`, 200, ""}, complete,
			{start, "", 409, conflict}, // the session outlasts the recording
			{stop, "", 200, ""}, {start, "", 200, ""}, {stop, "", 200, ""},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.config.TraceDir != "" {
				tc.config.TraceDir = t.TempDir()
			}
			r := serve(t, tc.config)
			for i, x := range tc.want {
				got := r.send("POST", x.path, x.body)
				if got.status != x.status || x.answer != "" && got.body != x.answer {
					t.Fatalf("%d. POST %s %s: %d %s, want %d %s", i+1, x.path, x.body, got.status, got.body, x.status, x.answer)
				}
				if x.path != complete.path && x.status == 200 && got.body != "" {
					t.Errorf("%d. POST %s: body %q, want none", i+1, x.path, got.body)
				}
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	for dialect, version := range map[Dialect]string{V011: "0.11.0", V015: "0.15.1", V032: "0.32.0"} {
		t.Run(string(dialect), func(t *testing.T) {
			r := serve(t, Config{Dialect: dialect, Model: "m"})
			if got, want := r.ok("GET", "/version", ""), `{"version":"`+version+`"}`; got != want {
				t.Errorf("/version is %s, want %s", got, want)
			}
			if got := r.ok("GET", "/health", ""); got != "" {
				t.Errorf("/health is %q, want nothing", got)
			}
			var models struct {
				Data []struct {
					ID          string
					OwnedBy     string `json:"owned_by"`
					MaxModelLen int    `json:"max_model_len"`
				}
			}
			decode(t, r.ok("GET", "/v1/models", ""), &models)
			if len(models.Data) != 1 || models.Data[0].ID != "m" || models.Data[0].OwnedBy != "vllm" || models.Data[0].MaxModelLen != 2048 {
				t.Errorf("/v1/models is %+v", models)
			}
			for path, want := range map[string]string{"/server_info": notFound, "/nothing": notFound} {
				if got := r.send("GET", path, ""); got.status != 404 || got.body != want {
					t.Errorf("GET %s: %d %s", path, got.status, got.body)
				}
			}
			if got := r.send("GET", "/v1/completions", ""); got.status != 405 || got.header.Get("Allow") != "POST" ||
				got.body != `{"detail":"Method Not Allowed"}` {
				t.Errorf("GET /v1/completions: %d %v %s", got.status, got.header, got.body)
			}
		})
	}
}

func TestServerInfoOnlyInDevMode(t *testing.T) {
	r := serve(t, Config{Dialect: V015, DevMode: true, TraceDir: "/tmp/traces", MaxIterations: 4})
	var info struct {
		Config struct {
			Profiler struct {
				Profiler string `json:"profiler"`
				Dir      string `json:"torch_profiler_dir"`
				Max      int    `json:"max_iterations"`
			} `json:"profiler_config"`
		} `json:"vllm_config"`
	}
	decode(t, r.ok("GET", "/server_info?config_format=json", ""), &info)
	if p := info.Config.Profiler; p.Profiler != "torch" || p.Dir != "/tmp/traces" || p.Max != 4 {
		t.Errorf("profiler config %+v", p)
	}
	if text := r.ok("GET", "/server_info", ""); !strings.HasPrefix(text, `{"vllm_config":"model='tiny'`) {
		t.Errorf("as text: %s", text)
	}
	if got := r.send("GET", "/server_info?config_format=yaml", ""); got.status != http.StatusBadRequest {
		t.Errorf("in another format: %d %s", got.status, got.body)
	}
}

// /openapi.json tells whether profiling is configured and what a start takes.
func TestOpenAPI(t *testing.T) {
	type document struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	read := func(t *testing.T, c Config) document {
		var d document
		decode(t, serve(t, c).ok("GET", "/openapi.json", ""), &d)
		return d
	}
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			if d := read(t, Config{Dialect: dialect}); d.Paths["/start_profile"] != nil || d.Paths["/stop_profile"] != nil || d.Paths["/v1/completions"] == nil {
				t.Errorf("without a trace directory: %v", d.Paths)
			}
			d := read(t, Config{Dialect: dialect, TraceDir: t.TempDir()})
			start, ok := d.Paths["/start_profile"]["post"]
			if _, stop := d.Paths["/stop_profile"]["post"]; !ok || !stop {
				t.Fatalf("with a trace directory: %v", d.Paths)
			}
			schema := start.RequestBody.Content["application/json"].Schema
			properties := d.Components.Schemas["StartProfileRequest"].Properties
			if dialect != V032 {
				if schema != nil || properties != nil {
					t.Errorf("a body before 0.32: %v %v", schema, properties)
				}
				return
			}
			if schema["title"] != "Profile Request" || len(schema["anyOf"].([]any)) != 2 {
				t.Errorf("schema of the body: %v", schema)
			}
			for _, name := range []string{"profile_prefix", "delay_iterations", "max_iterations"} {
				if properties[name] == nil {
					t.Errorf("no property %s in %v", name, properties)
				}
			}
		})
	}
}
