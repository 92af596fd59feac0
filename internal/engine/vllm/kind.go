package vllm

import "profjob/internal/engine"

// Kind is the target "vllm".
func Kind() engine.Kind {
	return engine.Kind{
		Name:          "vllm",
		Doc:           "vLLM's OpenAI API server, 0.8.5 and later.",
		NeedsEndpoint: true,
		Launchable:    true,
		Gate:          true,
		Options:       Options(),
		New:           New,
		Setup:         SetupLaunch,
		Version:       FindVersion,
	}
}
