package vllm

import (
	"os"
	"strings"
	"testing"

	"profjob/internal/engine"
	"profjob/internal/engine/enginetest"
)

// idleStops is what real servers answer to a stop while idle, by the beginning
// of their version.
var idleStops = map[string]enginetest.IdleStop{
	"0.11.": enginetest.IdleStopAmbiguous,
	"0.13.": enginetest.IdleStopAmbiguous,
	"0.15.": enginetest.IdleStopAmbiguous,
	"0.32.": enginetest.IdleStopOK,
}

// TestSuiteLive runs the common suite against a real server that serves a model
// called "tiny": PROFJOB_VLLM_ENDPOINT, launched with its profiler, and
// PROFJOB_VLLM_PLAIN_ENDPOINT, launched without. What needs one that is not
// given is skipped.
func TestSuiteLive(t *testing.T) {
	endpoints := map[enginetest.Launch]string{
		{Profiling: true}: os.Getenv("PROFJOB_VLLM_ENDPOINT"),
		{}:                os.Getenv("PROFJOB_VLLM_PLAIN_ENDPOINT"),
	}
	var info engine.Info
	for _, endpoint := range endpoints {
		if endpoint != "" {
			var err error
			if info, err = probe(t, endpoint); err != nil {
				t.Fatal(err)
			}
		}
	}
	if info.Version == "" {
		t.Skip("no server: set PROFJOB_VLLM_ENDPOINT or PROFJOB_VLLM_PLAIN_ENDPOINT")
	}
	known := traitsOf(info.Version)
	expect := enginetest.Expect{
		Engine: "vllm", Version: info.Version, Dialect: known.dialect, Evidence: known.evidence, AnnotatesTokens: known.tokens,
		PerRequestBounds: known.dialect == DialectPerRequest, TellsBusy: known.dialect == DialectPerRequest,
	}
	for begins, stop := range idleStops {
		if strings.HasPrefix(info.Version, begins) {
			expect.IdleStop = stop
		}
	}
	enginetest.Run(t, enginetest.Env{
		New:    New,
		Expect: expect,
		Server: func(t *testing.T, l enginetest.Launch) enginetest.Server {
			endpoint := endpoints[l]
			if endpoint == "" {
				t.Skipf("no server with profiling %t", l.Profiling)
			}
			return enginetest.Server{Endpoint: endpoint, Load: enginetest.Completions(endpoint, "", "tiny", 8)}
		},
	})
}
