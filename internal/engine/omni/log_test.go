package omni

import (
	"strings"
	"testing"

	"profjob/internal/engine"
)

func TestReadLog(t *testing.T) {
	const (
		version  = "(APIServer pid=1) INFO 01-01 00:00:00 [api_server.py:1351] vLLM API server version 0.14.0\n"
		armed    = "INFO 01-01 00:00:00 [npu_worker.py:301] Profiler armed on request #1 (skipped 0)\n"
		ignored  = "INFO 01-01 00:00:00 [npu_worker.py:180] origin profiler is disabled because PROFILER_TOKEN_THRESHOLD is set.\n"
		legacy   = "WARNING [envs.py:118] Environment variable 'PROFILER_TOKEN_THRESHOLD' is deprecated, use 'OMNI_PROFILE_TOKEN_THRESHOLD' instead. (value taken from 'PROFILER_TOKEN_THRESHOLD')\n"
		wrapper  = "INFO 01-01 00:00:00 [wrapper.py:41] NPU profiling enabled. Traces will be saved to: /t; record_shapes=False, profile_memory=False, with_stack=False, with_flops=False\n"
		older    = "INFO 01-01 00:00:00 [npu_worker.py:301] Profiling enabled. Traces will be saved to: /t\n"
		executor = "INFO non-default args: {'model': 'm', 'distributed_executor_backend': 'ray'}\n"
	)
	for _, c := range []struct {
		name, log string
		want      Signs
	}{
		{"nothing", "", Signs{}},
		{"version", version, Signs{Version: "0.14.0", Generation: G3}},
		{"last version", version + strings.Replace(version, "0.14.0", "0.25.1", 1), Signs{Version: "0.25.1", Generation: G5}},
		{"version that says nothing", "vLLM API server version 0.1.dev1+g123", Signs{Version: "0.1.dev1+g123"}},
		{"armed", version + armed, Signs{Version: "0.14.0", Generation: G3, TokenMode: true, Armed: true}},
		{"armed, on a version that is taken for one without", strings.Replace(version, "0.14.0", "0.9.0", 1) + armed, Signs{Version: "0.9.0", Generation: G3, TokenMode: true, Armed: true}},
		{"ignored, on a version that is taken for one without", strings.Replace(version, "0.14.0", "0.9.0", 1) + ignored, Signs{Version: "0.9.0", Generation: G2, TokenMode: true, Ignored: true}},
		{"ignored", ignored, Signs{TokenMode: true, Ignored: true}},
		{"old names on a new one", legacy, Signs{Generation: G5, TokenMode: true}},
		{"the profiler of the newest", wrapper, Signs{Generation: G5}},
		{"that of others", older, Signs{}},
		{"Ray", executor, Signs{Ray: true}},
		{"not Ray", strings.Replace(executor, "'ray'", "'mp'", 1), Signs{}},
	} {
		if got := ReadLog(c.log); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add("vLLM API server version 0.14.0\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s := ReadLog(text); (s.Armed || s.Ignored) && !s.TokenMode {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

// TestLogNotes: a log that contradicts what the server was taken for is told of.
func TestLogNotes(t *testing.T) {
	const armed = "vLLM API server version 0.11.0\nProfiler armed on request #3\n"
	for _, c := range []struct {
		name    string
		request engine.SetupRequest
		log     string
		want    string // a part of the only note; empty: none
	}{
		{"as taken", engine.SetupRequest{Version: "0.14.0"}, "vLLM API server version 0.14.0\n", ""},
		{"another generation", engine.SetupRequest{Version: "0.11.0"}, armed, `generation g3, and it was taken for g2: set generation = "g3"`},
		{"the target says it", engine.SetupRequest{Version: "0.11.0", Options: map[string]any{"generation": "g2"}}, armed, ""},
		{"Ray", engine.SetupRequest{Version: "0.14.0"}, "distributed_executor_backend='ray'\n", "set ray = true"},
		{"Ray, as said", engine.SetupRequest{Version: "0.14.0", Options: map[string]any{"ray": true}}, "distributed_executor_backend='ray'\n", ""},
	} {
		got := logNotes(c.request, c.log)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
