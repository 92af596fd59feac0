// Package embedded is the target "embedded": profjob's own small engine, which
// speaks vLLM's dialects and is spoken to through vLLM's client. It knows the
// flags of `profjob engine`, and nothing of what is behind them.
package embedded

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"profjob/internal/engine"
	"profjob/internal/engine/vllm"
)

// DefaultDialect is the dialect of a target that names none.
const DefaultDialect = "vllm-0.32"

// dialects are what the engine imitates, oldest first, and how such a server is
// told to profile, as engine.Info says it.
var dialects = []struct{ name, profiling string }{
	{"vllm-0.11", vllm.DialectEnvironment},
	{"vllm-0.15", vllm.DialectBoth},
	{DefaultDialect, vllm.DialectPerRequest},
}

// Dialects are the dialects that the engine imitates, oldest first.
func Dialects() []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.name
	}
	return names
}

// The attributes of the target block.
const (
	optionDialect   = "dialect"
	optionMaxSeqs   = "max_num_seqs"
	optionMaxTokens = "max_num_batched_tokens"
	optionStepFloor = "step_floor"
	optionSeed      = "seed"
	optionDelay     = "delay_iterations"
	optionMax       = "max_iterations"
)

const name = "embedded"

// Kind is the target "embedded".
func Kind() engine.Kind {
	return engine.Kind{
		Name:       name,
		Doc:        "profjob's own small engine, for trying things out without a GPU.",
		Launchable: true,
		Gate:       true,
		Options: []engine.Option{
			{Name: optionDialect, Type: cty.String, Default: cty.StringVal(DefaultDialect), OneOf: Dialects(), Doc: "Version of vLLM that it imitates."},
			{Name: optionMaxSeqs, Type: cty.Number, Doc: "Most requests in one engine step."},
			{Name: optionMaxTokens, Type: cty.Number, Doc: "Most tokens in one engine step."},
			{Name: optionStepFloor, Type: cty.String, Doc: "Least duration of an engine step, e.g. \"5ms\"."},
			{Name: optionSeed, Type: cty.Number, Doc: "Seed of its weights and of what it samples."},
			{Name: optionDelay, Type: cty.Number, Doc: "Passes that it lets go by after a start."},
			{Name: optionMax, Type: cty.Number, Doc: "Passes after which it ends a recording by itself; 0: none."},
		},
		New: func(cfg engine.Config) (engine.Client, error) { return vllm.NewAs(name, cfg) },
		// The launch step gives the command: `profjob engine` and where it listens.
		Setup: setup,
	}
}

func setup(r engine.SetupRequest) (engine.Setup, error) {
	s, err := flags(r)
	if err != nil {
		return engine.Setup{}, fmt.Errorf("set up the embedded engine: %w", err)
	}
	return s, nil
}

func flags(r engine.SetupRequest) (engine.Setup, error) {
	if !r.NoProfiler && !path.IsAbs(r.TraceDir) {
		return engine.Setup{}, fmt.Errorf("trace_dir %q is not an absolute path", r.TraceDir)
	}
	dialect, err := text(r.Options, optionDialect)
	if err != nil {
		return engine.Setup{}, err
	}
	if dialect == "" {
		dialect = DefaultDialect
	}
	i := slices.Index(Dialects(), dialect)
	if i < 0 {
		return engine.Setup{}, fmt.Errorf("%s: %q is none of %s", optionDialect, dialect, strings.Join(Dialects(), ", "))
	}
	if slices.Contains(r.Record.Activities, "device") && !slices.Contains(r.Record.Activities, "cpu") {
		return engine.Setup{}, errors.New("record.activities: there is no device, only \"cpu\"")
	}
	s := engine.Setup{Dialect: dialects[i].profiling, Args: append([]string{"--dialect", dialect}, profilerFlags(r)...)}
	for _, name := range []string{optionMaxSeqs, optionMaxTokens, optionSeed, optionDelay, optionMax} {
		n, err := vllm.Count(r.Options, name)
		if err != nil {
			return engine.Setup{}, err
		}
		if n > 0 && i == 0 && (name == optionDelay || name == optionMax) {
			return engine.Setup{}, fmt.Errorf("%s: dialect %s has no bounds", name, dialect)
		}
		if n > 0 {
			s.Args = append(s.Args, flag(name), strconv.Itoa(n))
		}
	}
	floor, err := text(r.Options, optionStepFloor)
	if err != nil || floor == "" {
		return s, err
	}
	if d, err := time.ParseDuration(floor); err != nil || d < 0 {
		return engine.Setup{}, fmt.Errorf("%s: %q is no duration like \"5ms\"", optionStepFloor, floor)
	}
	s.Args = append(s.Args, flag(optionStepFloor), floor)
	return s, nil
}

// profilerFlags configure the engine's own profiler.
func profilerFlags(r engine.SetupRequest) []string {
	if r.NoProfiler {
		return nil
	}
	flags := []string{"--trace-dir", r.TraceDir}
	for _, o := range []struct {
		on   bool
		flag string
	}{{r.Record.Shapes, "--shapes"}, {r.Record.Memory, "--memory"}, {r.Record.Stack, "--stack"}, {r.Record.FLOPs, "--flops"}} {
		if o.on {
			flags = append(flags, o.flag)
		}
	}
	return flags
}

// flag is the flag of an attribute: max_num_seqs is --max-num-seqs.
func flag(attribute string) string { return "--" + strings.ReplaceAll(attribute, "_", "-") }

func text(options map[string]any, name string) (string, error) {
	v, ok := options[name]
	if !ok || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s: want a string, not %v", name, v)
	}
	return s, nil
}
