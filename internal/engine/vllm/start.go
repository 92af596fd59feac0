package vllm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// startBody is the body of /start_profile from 0.32.0 on
// (vllm/entrypoints/serve/profile/api_router.py, class StartProfileRequest:
// strict types, unknown keys ignored).
type startBody struct {
	Prefix string `json:"profile_prefix,omitempty"`
	Delay  int    `json:"delay_iterations,omitempty"`
	Max    int    `json:"max_iterations,omitempty"`
}

// Start asks for the profiler to begin. Bounds go only to a server of which the
// last Probe said that it takes them; if there was none, one is made first. Up
// to 0.31 a server that is already recording answers a start as if it had begun
// it, so that ErrBusy is never told; from 0.32.0 on it is, unless the server has
// several API server processes (vllm/v1/engine/async_llm.py). It is told of a
// recording that has ended by its own bound too, until a stop. The answer is
// waited for as long as ctx allows.
func (c *Client) Start(ctx context.Context, w engine.StartOptions) error {
	body, err := c.startBody(ctx, w)
	if err != nil {
		return err
	}
	a, err := c.ask.Do(ctx, exchange.Request{
		Op: "start profile", Method: http.MethodPost, Path: "/start_profile", JSON: body,
	})
	if err != nil {
		return err
	}
	if a.OK() {
		return nil
	}
	if a.Status == http.StatusNotFound {
		return a.StatusError(fmt.Errorf("%w: %s", engine.ErrNotConfigured, c.howToConfigure(ctx)))
	}
	return a.StatusError(startRefusal(a.Status))
}

// startBody is nil where there is nothing to say: a start without a body means
// the same to every version.
func (c *Client) startBody(ctx context.Context, w engine.StartOptions) ([]byte, error) {
	if w == (engine.StartOptions{}) {
		return nil, nil
	}
	info, ok := c.recall()
	if !ok {
		var err error
		if info, err = c.Probe(ctx); err != nil {
			return nil, fmt.Errorf("start profile: %w: %w", engine.ErrNotSent, err)
		}
	}
	if !info.PerRequestBounds {
		return nil, nil
	}
	body, err := json.Marshal(startBody{Prefix: w.Prefix, Delay: w.DelaySteps, Max: w.MaxSteps})
	if err != nil {
		return nil, fmt.Errorf("start profile: %w: %w", engine.ErrNotSent, err)
	}
	return body, nil
}

// startRefusal is what a status says about a start, nil where it proves
// nothing. A redirect that keeps the method was not followed and so did not
// reach the profiler; after 302 and 303 it may have.
func startRefusal(status int) error {
	switch status {
	case http.StatusConflict:
		return engine.ErrBusy
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
		http.StatusMethodNotAllowed,
		http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return engine.ErrRefused
	}
	return nil
}
