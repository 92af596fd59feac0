package omni

import (
	"cmp"
	"fmt"

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
		LogNotes: logNotes,
		Version:  vllm.FindVersion,
	}
}

// byItself asks Judge. A server that profjob launches is launched anew for each
// window, so that each is the first of its process.
func byItself(r engine.SelfRequest) (engine.Self, error) {
	mode, _ := r.Options[optionTokenMode].(bool) // the language lets nothing else through
	g, notes, err := generation(r.Options, r.Info.Version)
	if err != nil && r.Tokens == nil && !mode {
		return engine.Self{Notes: []string{err.Error()}}, nil // over HTTP all generations are alike
	}
	if err != nil {
		return engine.Self{}, err
	}
	v, err := Judge(Ask{Generation: g, Ray: runsRay(engine.SetupRequest{Options: r.Options, Command: r.Command}), Launched: r.Launched,
		TokenMode: mode, Tokens: r.Tokens, Repeat: r.Windows, Warmup: r.Warmup, Limits: limitsFor(r)})
	if err != nil {
		return engine.Self{}, err
	}
	return engine.Self{Started: r.Tokens != nil, Notes: append(notes, v.Notes...)}, nil
}

// limitsFor are those that the server tells, else those of its command.
func limitsFor(r engine.SelfRequest) Limits {
	l, told := LimitsOf(r.Command), LimitsOfInfo(r.Info)
	l.MaxNumSeqs = cmp.Or(told.MaxNumSeqs, l.MaxNumSeqs)
	l.MaxNumBatchedTokens = cmp.Or(told.MaxNumBatchedTokens, l.MaxNumBatchedTokens)
	return l
}

// logNotes says where the log of a server that was launched contradicts what it was
// taken for. A generation that the target says is not doubted.
func logNotes(r engine.SetupRequest, log string) (notes []string) {
	signs := ReadLog(log)
	if said, _ := r.Options[optionGeneration].(string); said == "" && signs.Generation != "" {
		if g, _, err := GenerationOf(cmp.Or(r.Version, signs.Version)); err == nil && g != signs.Generation {
			notes = append(notes, fmt.Sprintf("its log is that of generation %s, and it was taken for %s: set generation = %q in the target", signs.Generation, g, signs.Generation))
		}
	}
	if signs.Ray && !runsRay(r) {
		notes = append(notes, "its log says that its executor is Ray, under which its token logic never records: set ray = true in the target, or give it a gate block")
	}
	return notes
}
