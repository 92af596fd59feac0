package omni

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"profjob/internal/embedded"
	"profjob/internal/engine"
	"profjob/internal/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// launch runs an embedded engine, which speaks as the vLLM below a generation does,
// until the test ends.
func launch(t *testing.T, c embedded.Config) string {
	t.Helper()
	s, err := embedded.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func TestSuite(t *testing.T) {
	for _, c := range []struct {
		dialect embedded.Dialect
		expect  enginetest.Expect
	}{
		{embedded.V011, enginetest.Expect{Version: "0.11.0", Dialect: "omni-g2", IdleStop: enginetest.IdleStopAmbiguous}},
		{embedded.V015, enginetest.Expect{Version: "0.15.1", Dialect: "omni-g3", IdleStop: enginetest.IdleStopAmbiguous}},
		{embedded.V032, enginetest.Expect{Version: "0.32.0", Dialect: "omni-g5", PerRequestBounds: true, TellsBusy: true}},
	} {
		t.Run(c.expect.Dialect, func(t *testing.T) {
			c.expect.Engine, c.expect.Evidence = "omni", "structure"
			enginetest.Run(t, enginetest.Env{
				New:    Kind().New,
				Expect: c.expect,
				Server: func(t *testing.T, l enginetest.Launch) enginetest.Server {
					config := embedded.Config{Dialect: c.dialect}
					if l.Profiling {
						config.TraceDir = t.TempDir()
					}
					endpoint := launch(t, config)
					return enginetest.Server{Endpoint: endpoint, Load: enginetest.Completions(endpoint, "", "tiny", 8)}
				},
			})
		})
	}
}

func client(t *testing.T, endpoint string, options map[string]any) engine.Client {
	t.Helper()
	c, err := New(engine.Config{Endpoint: endpoint, Options: options, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGenerationGiven: what the target says goes before what the version tells.
func TestGenerationGiven(t *testing.T) {
	endpoint := launch(t, embedded.Config{Dialect: embedded.V011})
	for said, want := range map[string]Generation{"": G2, "g1": G1, "g5": G5} {
		info, err := client(t, endpoint, map[string]any{"generation": said}).Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.Dialect != want.dialect() {
			t.Errorf("%q: %s, want %s", said, info.Dialect, want)
		}
	}
}

// TestGenerationUnknown: a version that says nothing is worth a note, and no error:
// windows that need no generation are got all the same.
func TestGenerationUnknown(t *testing.T) {
	info := describe(engine.Info{Version: "0.1.dev1+g1"}, nil)
	if info.Dialect != name || len(info.Notes) == 0 || !strings.Contains(info.Notes[0], "set generation") {
		t.Errorf("%+v", info)
	}
	hand := engine.SelfRequest{Info: engine.Info{Version: "0.1.dev1+g1"}}
	if self, err := byItself(hand); err != nil || self.Started || len(self.Notes) == 0 {
		t.Errorf("by hand: %+v, %v", self, err)
	}
	hand.Tokens = &engine.TokenWindow{Threshold: 1, Steps: 1}
	if _, err := byItself(hand); err == nil || !strings.Contains(err.Error(), "set generation") {
		t.Errorf("by tokens: %v", err)
	}
}

// TestLimitsTold: what a server tells of its limits goes before its command.
func TestLimitsTold(t *testing.T) {
	r := engine.SelfRequest{Command: []string{"vllm", "serve", "m", "--max-num-seqs", "8", "--max-num-batched-tokens", "64"},
		Info: engine.Info{Fingerprint: map[string]string{"max_num_seqs": "4"}}}
	if got := limitsFor(r); got.MaxNumSeqs != 4 || got.MaxNumBatchedTokens != 64 {
		t.Errorf("%+v", got)
	}
}

// TestNotConfigured: the error says what the fork needs, not what vLLM would.
func TestNotConfigured(t *testing.T) {
	for dialect, want := range map[embedded.Dialect]string{
		embedded.V015: "VLLM_TORCH_PROFILER_DIR=/path/to/traces",
		embedded.V032: "--profiler-config",
	} {
		err := client(t, launch(t, embedded.Config{Dialect: dialect}), nil).Start(t.Context(), engine.StartOptions{})
		var status *engine.StatusError
		if !errors.As(err, &status) || !engine.NotStarted(err) || !strings.Contains(err.Error(), "launch the fork with") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dialect, err)
		}
	}
}
