package omni

import (
	"regexp"
	"strings"
)

// Signs are what a server's log tells that HTTP does not. What the log does not
// say is empty or false, which proves nothing.
type Signs struct {
	Version string // of vLLM
	// Generation is known where the log has a line that only one has, or where the
	// version tells; "" elsewhere.
	Generation Generation
	Ray        bool // the executor is Ray
	TokenMode  bool // the variable of the threshold is set
	// Ignored: a start or a stop over HTTP was answered and not carried out.
	Ignored bool
	// Armed: as many requests as were to be skipped have come.
	Armed bool
}

// Lines of the log, as the fork's sources write them (omni_npu/worker/npu_worker.py
// and envs.py), and vLLM's own (vllm/entrypoints/openai/api_server.py).
var (
	versionLine = regexp.MustCompile(`vLLM API server version (\S+)`)
	rayLine     = regexp.MustCompile(`distributed_executor_backend['"]?[:=]\s*['"]?ray\b`)
	legacyLine  = regexp.MustCompile(`Environment variable '?` + oldNames.threshold + `'? is deprecated`)
)

const (
	armedLine   = "Profiler armed on request #"
	ignoredLine = "origin profiler is disabled because "  // …PROFILER_TOKEN_THRESHOLD is set
	wrapperLine = "NPU profiling enabled. Traces will be" // omni_npu/profiler/wrapper.py, which the first builds on 0.25 do not have
)

// ReadLog finds signs in the log of a server.
func ReadLog(text string) Signs {
	s := Signs{
		Ray:     rayLine.MatchString(text),
		Ignored: strings.Contains(text, ignoredLine),
		Armed:   strings.Contains(text, armedLine),
	}
	legacy := legacyLine.MatchString(text)
	s.TokenMode = s.Ignored || s.Armed || legacy
	if all := versionLine.FindAllStringSubmatch(text, -1); len(all) > 0 {
		s.Version = all[len(all)-1][1] // of the last launch that the log holds
		if g, _, err := GenerationOf(s.Version); err == nil {
			s.Generation = g
		}
	}
	switch {
	case legacy, strings.Contains(text, wrapperLine): // only G5 has new names, and a profiler of that kind
		s.Generation = G5
	case s.Armed && (s.Generation == G1 || s.Generation == G2):
		s.Generation = G3 // the first that counts requests
	case s.Ignored && s.Generation == G1:
		s.Generation = G2 // the first that ignores a start
	}
	return s
}
