package embedded

import (
	"context"
	"errors"
	"net"
	"testing"

	"go.uber.org/goleak"

	server "profjob/internal/embedded"
	"profjob/internal/engine"
	"profjob/internal/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// launch runs an embedded engine until the test ends.
func launch(t *testing.T, c server.Config) string {
	t.Helper()
	s, err := server.New(c)
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
	expect := map[server.Dialect]enginetest.Expect{
		server.V011: {Version: "0.11.0", Dialect: "environment", Evidence: "structure", IdleStop: enginetest.IdleStopAmbiguous},
		server.V015: {Version: "0.15.1", Dialect: "both", Evidence: "annotation", AnnotatesTokens: true, IdleStop: enginetest.IdleStopAmbiguous},
		server.V032: {Version: "0.32.0", Dialect: "per-request", Evidence: "annotation", AnnotatesTokens: true, PerRequestBounds: true, TellsBusy: true},
	}
	for _, dialect := range server.Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			want := expect[dialect]
			want.Engine = "embedded"
			enginetest.Run(t, enginetest.Env{
				New:    Kind().New,
				Expect: want,
				Server: func(t *testing.T, l enginetest.Launch) enginetest.Server {
					c := server.Config{Dialect: dialect}
					if l.Profiling {
						c.TraceDir = t.TempDir()
					}
					endpoint := launch(t, c)
					return enginetest.Server{Endpoint: endpoint, Load: enginetest.Completions(endpoint, "", "tiny", 8)}
				},
			})
		})
	}
}

// TestToldConfiguration: a server with /server_info says where its traces go and what is in them.
func TestToldConfiguration(t *testing.T) {
	for _, dialect := range []server.Dialect{server.V015, server.V032} {
		t.Run(string(dialect), func(t *testing.T) {
			dir := t.TempDir()
			endpoint := launch(t, server.Config{Dialect: dialect, TraceDir: dir, DevMode: true, Record: server.Record{Shapes: true}, MaxNumSeqs: 7})
			client, err := Kind().New(engine.Config{Endpoint: endpoint})
			if err != nil {
				t.Fatal(err)
			}
			info, err := client.Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.TraceDir != dir || info.Record == nil || !info.Record.Shapes || info.Record.Stack {
				t.Errorf("trace dir %q, record %+v; want %q, shapes alone", info.TraceDir, info.Record, dir)
			}
			if info.Fingerprint["max_num_seqs"] != "7" || info.Fingerprint["max_model_len"] != "2048" {
				t.Errorf("fingerprint %v", info.Fingerprint)
			}
		})
	}
}
