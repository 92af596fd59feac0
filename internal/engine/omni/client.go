// Package omni speaks to the vLLM fork of Omni-Infer, which besides vLLM's own
// profiling has a token logic: launched with its variables set, a worker starts the
// profiler by itself at a pass with so many tokens and stops it after so many
// passes, once in its life.
//
// generation.go holds what is known of each generation of that logic, Fit and Judge
// say which windows it can give, and SetupLaunch what a launch needs. The package
// knows no plans: which of its answers a run follows is for others to decide.
package omni

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"profjob/internal/engine"
	"profjob/internal/engine/vllm"
)

// Client is an engine.Client for one API server of the fork. It speaks as vLLM
// does; methods that are not here are those of vLLM's client.
type Client struct {
	*vllm.Client
	options map[string]any
}

var _ engine.Client = (*Client)(nil)

// New makes a client for a server of the fork. It sends nothing.
func New(cfg engine.Config) (engine.Client, error) {
	c, err := vllm.NewAs(name, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{Client: c, options: cfg.Options}, nil
}

// Probe asks what vLLM's client asks, and tells the generation from the version
// where the options do not. Neither Ray nor token mode can be seen over HTTP.
func (c *Client) Probe(ctx context.Context) (engine.Info, error) {
	info, err := c.Client.Probe(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	return describe(info, c.options), nil
}

// describe says of a server that vLLM's client has probed what differs on the fork.
//
// Its worker replaces execute_model by one of its own, without vLLM's annotation
// (omni_npu/worker/npu_worker.py), and its traces have none: what counts engine
// steps is their structure.
func describe(info engine.Info, options map[string]any) engine.Info {
	info.Notes = slices.Clone(info.Notes)
	info.Evidence, info.AnnotatesTokens = evidenceStructure, false
	g, notes, err := generation(options, info.Version)
	if err != nil {
		info.Dialect = name
		info.Notes = append(info.Notes, err.Error())
		return info
	}
	info.Dialect = g.dialect()
	info.Notes = append(info.Notes, notes...)
	return info
}

const evidenceStructure = "structure"

// Start asks for the profiler to begin, as vLLM's client does. In token mode the
// server answers with success and does nothing: see Judge.
func (c *Client) Start(ctx context.Context, w engine.StartOptions) error {
	err := c.Client.Start(ctx, w)
	var status *engine.StatusError
	if !errors.Is(err, engine.ErrNotConfigured) || !errors.As(err, &status) {
		return err
	}
	told := *status
	told.Err = fmt.Errorf("%w: launch the fork with %s", engine.ErrNotConfigured, c.whatToSet(ctx))
	return &told
}

// placeholderDir stands for the trace directory, which only its owner can choose.
const placeholderDir = "/path/to/traces"

// whatToSet is short enough for an error.
func (c *Client) whatToSet(ctx context.Context) string {
	info, err := c.Probe(ctx)
	if err != nil {
		return envDir + "=" + placeholderDir + ", or with --profiler-config where it is built on vLLM 0.16 or later"
	}
	setup, err := SetupLaunch(engine.SetupRequest{Version: info.Version, TraceDir: placeholderDir, Options: c.options})
	if err != nil {
		return "its profiler configured"
	}
	if len(setup.Args) > 0 {
		return setup.Args[0] + " '" + strings.Join(setup.Args[1:], " ") + "'"
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(setup.Env)) {
		set = append(set, name+"="+setup.Env[name])
	}
	return strings.Join(set, " ") + " in its environment"
}
