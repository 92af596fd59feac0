package omni

import (
	"strings"
	"testing"
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
