package vllm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"profjob/internal/engine"
)

// placeholderDir stands for the trace directory, which only its owner can choose.
const placeholderDir = "/path/to/traces"

// howToConfigure says what to set on the server so that it can be profiled. It
// asks for the version if no probe has told it.
func (c *Client) howToConfigure(ctx context.Context) string {
	info, ok := c.recall()
	if !ok {
		version, err := c.askVersion(ctx)
		if err != nil {
			return "launch it with " + forVersion(newestRead.String()) + " from vLLM 0.13.0 on, with " + forVersion(changes[0].since.String()) + " before"
		}
		info.Version = version
	}
	return fmt.Sprintf("launch vLLM %s with %s", info.Version, forVersion(info.Version))
}

// forVersion is the setup of one version, short enough for an error.
func forVersion(version string) string {
	setup, err := SetupLaunch(engine.SetupRequest{Version: version, TraceDir: placeholderDir})
	if err != nil {
		return "its profiler configured"
	}
	if len(setup.Args) > 0 {
		return setup.Args[0] + " '" + strings.Join(setup.Args[1:], " ") + "'"
	}
	names := make([]string, 0, len(setup.Env))
	for name, value := range setup.Env {
		if name != envScopes {
			names = append(names, name+"="+value)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ") + " in its environment"
}
