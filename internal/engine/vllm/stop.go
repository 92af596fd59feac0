package vllm

import (
	"context"
	"fmt"
	"net/http"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// Stop asks for the profiler to end. The server answers once its files are
// written.
//
// What it answers when nothing was recording depends on the version: 0.32.0
// says 200; 0.11.0, 0.13.0 and 0.15.1 say 500 with "Internal Server Error" or
// without a word, as they do for a stop that failed, so that the two cannot be
// told apart and the error is a *engine.StatusError that stands for nothing.
// 0.15.1 says 200 after a recording that ended by itself, once. A server without the route, which was
// launched without its profiler, cannot have recorded: engine.NotRecording is
// true of that.
func (c *Client) Stop(ctx context.Context) error {
	a, err := c.ask.Do(ctx, exchange.Request{
		Op: "stop profile", Method: http.MethodPost, Path: "/stop_profile", Timeout: c.stopTimeout,
	})
	if err != nil {
		return err
	}
	switch {
	case a.OK():
		return nil
	case a.Status == http.StatusNotFound:
		return a.StatusError(fmt.Errorf("%w: %w", engine.ErrIdle, engine.ErrNotConfigured))
	}
	return a.StatusError(nil)
}
