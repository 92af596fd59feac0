package omni

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"profjob/internal/engine/vllm"
)

// Generation is one of the forms that the token logic of the fork has had.
type Generation string

// The generations, oldest first. What each does is in traits.
const (
	G1 Generation = "g1"
	G2 Generation = "g2"
	G3 Generation = "g3"
	G4 Generation = "g4"
	G5 Generation = "g5"
)

// Generations lists all, oldest first.
func Generations() []Generation {
	all := make([]Generation, len(traits))
	for i, t := range traits {
		all[i] = t.generation
	}
	return all
}

// ParseGeneration reads a generation as a job file writes it, e.g. "g3".
func ParseGeneration(text string) (Generation, error) {
	if g := Generation(text); slices.Contains(Generations(), g) {
		return g, nil
	}
	return "", fmt.Errorf("generation %q is none of %s", text, strings.Join(names(), ", "))
}

func names() []string {
	var all []string
	for _, g := range Generations() {
		all = append(all, string(g))
	}
	return all
}

// dialect is what engine.Info and engine.Setup call the generation.
func (g Generation) dialect() string { return "omni-" + string(g) }

// variables are the names of the token logic's environment variables; "": the
// generation has no such one.
type variables struct{ threshold, stop, prefill, skip string }

// trait is what is known of one generation.
type trait struct {
	generation Generation
	since      [2]int // the vLLM that its first release is built on
	variables  variables
	// fallback are older names that are read where those of variables are not set.
	fallback variables
	// config: the profiler is configured by --profiler-config, not by the environment.
	config bool
	// options: the record options can be told at launch.
	options bool
	// always: the token logic is on whenever the profiler is configured; else only
	// where the variable of the threshold is set, whatever it says.
	always bool
	// ignores: with its token logic on, a worker answers starts and stops over HTTP
	// and carries none out. Else it has one profiler for both, and the logic stops it
	// once its own passes are over, whoever started it.
	ignores bool
	// samplesApart: there are builds whose worker samples in a call of its own after
	// execute_model. The logic stops the profiler at the end of execute_model, so that
	// the last of the passes that they record is without its sampling: no whole engine
	// step.
	samplesApart bool
}

// The names of the variables, which from G5 on begin with OMNI_.
var (
	oldNames = variables{"PROFILER_TOKEN_THRESHOLD", "PROFILER_STOP_STEP", "ENABLE_PREFILL_PROFILER", "PROFILER_SKIP_REQUESTS"}
	newNames = variables{"OMNI_PROFILE_TOKEN_THRESHOLD", "OMNI_PROFILE_STOP_STEP", "OMNI_ENABLE_PREFILL_PROFILER", "OMNI_PROFILE_SKIP_REQUESTS"}
)

// traits are the generations, oldest first, read in the public sources of
// omni-ai-npu/omni-infer and of its plugin omni-npu:
//
//   - G1: omni/adaptors/vllm/worker/npu_worker.py, on vLLM 0.9.0. It hands fixed
//     record options to torch_npu.
//   - G2: omni_npu/v1/worker/npu_worker.py, on 0.11 and 0.12. Its first builds sample
//     within execute_model; those on 0.12 have sample_tokens, as the vLLM below them
//     has. The version need not be known where the generation is given, so that all
//     are taken for the latter: the former record a step more, which is cut off.
//   - G3: omni_npu/worker/npu_worker.py, on 0.14.0.
//   - G5: omni/worker/npu_worker.py on 0.25.1, whose NPUWorker.profile asks nothing of
//     the token logic, with the names and their fallbacks in omni_npu/envs.py. (A
//     comment there still has it that the variable turns /start_profile off.)
//
// G4 is an assumption: its source was not read. It is taken for the logic of G3 on
// the releases of vLLM in between, which are configured by --profiler-config only,
// as all are from 0.16 on.
var traits = []trait{
	{generation: G1, since: [2]int{0, 0}, variables: variables{threshold: oldNames.threshold, stop: oldNames.stop}, always: true},
	{generation: G2, since: [2]int{0, 10}, variables: variables{threshold: oldNames.threshold, stop: oldNames.stop}, options: true, ignores: true, samplesApart: true},
	{generation: G3, since: [2]int{0, 14}, variables: oldNames, options: true, ignores: true, samplesApart: true},
	{generation: G4, since: [2]int{0, 16}, variables: oldNames, config: true, options: true, ignores: true, samplesApart: true},
	{generation: G5, since: [2]int{0, 25}, variables: newNames, fallback: oldNames, config: true, options: true, samplesApart: true},
}

// trait gives what is known of a generation; of one that does not exist, of the newest.
func (g Generation) trait() trait {
	i := slices.IndexFunc(traits, func(t trait) bool { return t.generation == g })
	if i < 0 {
		return traits[len(traits)-1]
	}
	return traits[i]
}

// newestRead is the newest vLLM of which a fork was read.
var newestRead = [2]int{0, 25}

// GenerationOf tells the generation from the version of vLLM that a server
// answers. Notes say where the version does not settle it; an error that it says
// nothing at all.
func GenerationOf(version string) (g Generation, notes []string, err error) {
	number, unreleased, err := vllm.Release(version)
	if err != nil {
		return "", nil, fmt.Errorf("find the generation of the fork: %w: set generation in the target", err)
	}
	at := [2]int{number[0], number[1]}
	if unreleased && at == [2]int{0, 1} {
		return "", nil, fmt.Errorf("find the generation of the fork: version %s is that of a build without a release number: set generation in the target", version)
	}
	g = G1
	for _, t := range traits {
		if compare(at, t.since) >= 0 {
			g = t.generation
		}
	}
	return g, doubts(version, at, g), nil
}

func compare(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }

// doubts says what the version leaves open.
func doubts(version string, at [2]int, g Generation) []string {
	taken := fmt.Sprintf("the fork on vLLM %s is taken for generation %s", version, g)
	switch {
	case g == G1:
		return []string{taken + ": later builds on the same vLLM have the logic of g2, which begins only where " + oldNames.threshold + " is set: set generation in the target if this is one"}
	case g == G4:
		return []string{taken + ", which is an assumption: the logic of g3 with --profiler-config; set generation in the target if it is another"}
	case compare(newestRead, at) < 0:
		return []string{taken + ", the newest known: set generation in the target if it is another"}
	case g == G5:
		return []string{taken + ": the first builds on 0.25 have no profiler at all, and answer a start with 500"}
	}
	return nil
}
