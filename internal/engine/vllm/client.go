// Package vllm speaks to vLLM's API server in every dialect of its profiler
// since 0.8.5: it asks a server what it is, starts and stops its profiler, reads
// its metrics, and says what a launch needs so that the server can be profiled.
// dialect.go holds what is known of each version.
package vllm

import (
	"context"
	"net/http"
	"sync"
	"time"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// How long to wait for an answer.
const (
	askTimeout = 10 * time.Second
	// infoTimeout is for /server_info, which from 0.16 on runs programs on the
	// host (nvidia-smi, pip) the first time it is asked (vllm/collect_env.py).
	infoTimeout = 30 * time.Second
	stopTimeout = 30 * time.Minute // vLLM 22748: more than 20 minutes seen with stacks at TP=2
)

// Limits of answers, in bytes. A real /openapi.json has 300 kB, a /metrics 50 kB
// for each engine core.
const (
	maxSmall   = 1 << 20
	maxInfo    = 16 << 20
	maxOpenAPI = 16 << 20
	maxMetrics = 16 << 20
)

// owner is what /v1/models says in owned_by (vllm/entrypoints/**/protocol.py,
// class ModelCard).
const owner = "vllm"

// Client is an engine.Client for one API server of vLLM.
type Client struct {
	name        string // as in engine.Info.Engine
	ask         *exchange.Client
	now         func() time.Time
	stopTimeout time.Duration

	mu    sync.Mutex
	known *engine.Info // of the last probe that succeeded
}

var _ engine.Client = (*Client)(nil)

// New makes a client for a vLLM server. It sends nothing.
func New(cfg engine.Config) (engine.Client, error) { return NewAs("vllm", cfg) }

// NewAs makes a client for a server that speaks as vLLM does and goes by another
// name. It sends nothing.
func NewAs(name string, cfg engine.Config) (*Client, error) {
	ask, err := exchange.New(cfg.Endpoint, cfg.Access, cfg.HTTP)
	if err != nil {
		return nil, err
	}
	c := &Client{name: name, ask: ask, now: cfg.Now, stopTimeout: cfg.StopTimeout}
	if c.now == nil {
		c.now = time.Now
	}
	if c.stopTimeout <= 0 {
		c.stopTimeout = stopTimeout
	}
	return c, nil
}

// Endpoint is the base URL, without a trailing slash.
func (c *Client) Endpoint() string { return c.ask.Endpoint() }

// Ready asks /health, which answers 200 once the engine runs and 503 when it
// has died. On vLLM that reads a flag and adds no engine step
// (vllm/v1/engine/async_llm.py, check_health).
func (c *Client) Ready(ctx context.Context) error {
	a, err := c.ask.Do(ctx, exchange.Request{Op: "ask for health", Path: "/health", Timeout: askTimeout})
	if err != nil {
		return err
	}
	if !a.OK() {
		return a.StatusError(nil)
	}
	return nil
}

func (c *Client) get(ctx context.Context, op, path string, limit int64) (*exchange.Answer, error) {
	return c.ask.Do(ctx, exchange.Request{
		Op: op, Method: http.MethodGet, Path: path, Accept: "application/json", Limit: limit, Timeout: askTimeout,
	})
}

func (c *Client) remember(info engine.Info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = &info
}

func (c *Client) recall() (engine.Info, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		return engine.Info{}, false
	}
	return *c.known, true
}
