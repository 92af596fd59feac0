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
		New:      New,
		Setup:    SetupLaunch,
		ByItself: byItself,
		Version:  vllm.FindVersion,
	}
}

// byItself asks Judge. A server that profjob launches is launched anew for each
// window, so that each is the first of its process.
func byItself(r engine.SelfRequest) (engine.Self, error) {
	g, notes, err := generation(r.Options, r.Version)
	if err != nil {
		return engine.Self{}, err
	}
	mode, _ := r.Options[optionTokenMode].(bool) // the language lets nothing else through
	v, err := Judge(Ask{Generation: g, Ray: runsRay(engine.SetupRequest{Options: r.Options, Command: r.Command}), Launched: r.Launched,
		TokenMode: mode, Tokens: r.Tokens, Repeat: r.Windows, Warmup: r.Warmup, Limits: LimitsOf(r.Command)})
	if err != nil {
		return engine.Self{}, err
	}
	return engine.Self{Started: r.Tokens != nil, Notes: append(notes, v.Notes...)}, nil
}
