package gatetest

import (
	"context"
	"os"
	"testing"

	"profjob/internal/gate"
)

// TestLive runs the suite against a real server with the gate that serves a model
// called "tiny": at PROFJOB_GATE_ENDPOINT, with the secret PROFJOB_GATE_SECRET.
func TestLive(t *testing.T) {
	s := Server{Endpoint: os.Getenv("PROFJOB_GATE_ENDPOINT"), Secret: os.Getenv(gate.SecretEnv)}
	if s.Endpoint == "" || s.Secret == "" {
		t.Skipf("no server: set PROFJOB_GATE_ENDPOINT and %s", gate.SecretEnv)
	}
	s.Complete = func(ctx context.Context, prompt, output int) error {
		return complete(ctx, s.Endpoint, prompt, output)
	}
	Run(t, s)
}
