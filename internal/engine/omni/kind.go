package omni

import (
	"github.com/zclconf/go-cty/cty"

	"profjob/internal/engine"
	"profjob/internal/engine/vllm"
)

// The attributes of a target "omni" block that this kind adds.
const (
	optionGeneration = "generation"
	optionRay        = "ray"
	optionTokenMode  = "token_mode"
)

const name = "omni"

// Kind is the target "omni".
func Kind() engine.Kind {
	return engine.Kind{
		Name:          name,
		Doc:           "The vLLM fork of Omni-Infer, which can begin to record by itself, at a number of tokens.",
		NeedsEndpoint: true,
		Launchable:    true,
		Gate:          true,
		Options: []engine.Option{
			{Name: optionGeneration, Type: cty.String, OneOf: names(), Doc: "Form of its token logic. Without it, what the server's version tells."},
			{Name: optionRay, Type: cty.Bool, Doc: "Whether its executor is Ray, under which its token logic never records. Without it, what the command of the launch block says."},
			{Name: optionTokenMode, Type: cty.Bool, Doc: "Whether a server that runs already was launched with the variable of its token threshold set. The server does not tell."},
		},
		New:     New,
		Setup:   SetupLaunch,
		Version: vllm.FindVersion,
	}
}
