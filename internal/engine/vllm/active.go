package vllm

import (
	"context"
	"net/http"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// SessionActive tells whether a profiling session is active, where the server's start
// takes bounds. The start that it sends has one that is refused in any case, and
// before that is looked at a session that is active makes it a conflict: vLLM 0.32.0,
// vllm/v1/engine/async_llm.py, start_profile. It is false of other versions, and of a
// server with several API server processes, which does not look.
func (c *Client) SessionActive(ctx context.Context) (bool, error) {
	info, ok := c.recall()
	if !ok {
		var err error
		if info, err = c.Probe(ctx); err != nil {
			return false, err
		}
	}
	if !info.PerRequestBounds {
		return false, nil
	}
	a, err := c.ask.Do(ctx, exchange.Request{Op: "ask whether a profiling session is active", Method: http.MethodPost,
		Path: "/start_profile", JSON: []byte(`{"max_iterations": -1}`), Timeout: askTimeout})
	if err != nil {
		return false, err
	}
	return a.Status == http.StatusConflict, nil
}

var _ engine.Stateful = (*Client)(nil)
