package embedded

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"profjob/internal/gate/gatetest"
)

const gateSecret = "s3cret"

// completions asks a server for completions of so many tokens.
func (r *running) completions(ctx context.Context, prompt, output int) error {
	ids := strings.Repeat("65,", prompt-1) + "66"
	got, err := r.do(ctx, "POST", "/v1/completions", fmt.Sprintf(`{"prompt":[%s],"max_tokens":%d,"ignore_eos":true}`, ids, output))
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", got.status, got.body)
	}
	return err
}

// The gate is the same in every dialect, whatever the server was launched with.
func TestGate(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			c := Config{Dialect: dialect, GateSecret: gateSecret, GateRoot: t.TempDir() + "/root", StepFloor: time.Millisecond}
			if dialect == V015 { // a profiler of its own that is configured and off changes nothing
				c.TraceDir, c.Record = t.TempDir(), Record{Stack: true, Shapes: true, Memory: true}
			}
			r := serve(t, c)
			gatetest.Run(t, gatetest.Server{
				Endpoint: r.url, Secret: gateSecret, Complete: r.completions,
				VLLM: dialect.Version(), Hooks: hooks(dialect),
			})
		})
	}
}
