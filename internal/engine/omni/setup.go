package omni

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"profjob/internal/engine"
	"profjob/internal/engine/vllm"
)

// The environment variables of the profiler up to G3 (vllm/envs.py; read in
// omni_npu/worker/npu_worker.py, _init_profiler). From G4 on vLLM's
// --profiler-config says the same.
const (
	envDir    = "VLLM_TORCH_PROFILER_DIR"
	envShapes = "VLLM_TORCH_PROFILER_RECORD_SHAPES"
	envMemory = "VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY"
	envStack  = "VLLM_TORCH_PROFILER_WITH_STACK"
	envFLOPs  = "VLLM_TORCH_PROFILER_WITH_FLOPS"
)

// unreached is a threshold that no step reaches: the largest number that any
// version of the fork takes.
const unreached = 1<<31 - 1

// SetupLaunch says what a launch of the fork needs so that its profiler records
// what is asked for: with r.Tokens the variables of the token logic, without none
// of them, so that start and stop work over HTTP.
//
// What the user has set already stays; where it contradicts what is asked for, or
// where it would end the server's start, the error names both. A window that the
// generation's rule cannot give is an error that holds a *Refusal.
func SetupLaunch(r engine.SetupRequest) (engine.Setup, error) {
	if r.NoProfiler {
		return engine.Setup{}, nil
	}
	g, notes, err := generation(r.Options, r.Version)
	if err != nil {
		return engine.Setup{}, fmt.Errorf("set up the launch: %w", err)
	}
	if !path.IsAbs(r.TraceDir) {
		return engine.Setup{}, fmt.Errorf("set up the launch: trace_dir %q is not an absolute path", r.TraceDir)
	}
	w := writer{request: r, generation: g, trait: g.trait(), out: engine.Setup{Dialect: g.dialect(), Env: map[string]string{}, Notes: notes}}
	if err := w.write(); err != nil {
		return engine.Setup{}, fmt.Errorf("set up the launch of the fork (generation %s): %w", g, err)
	}
	return w.out, nil
}

// writer turns a request into a Setup.
type writer struct {
	request    engine.SetupRequest
	generation Generation
	trait      trait
	out        engine.Setup
	kept       []string // what the user has set to the value that is wanted
}

func (w *writer) write() error {
	if err := w.writeProfiler(); err != nil {
		return err
	}
	if err := w.writeLogic(); err != nil {
		return err
	}
	if len(w.kept) > 0 {
		w.note("left as it is set: %s", strings.Join(w.kept, ", "))
	}
	return nil
}

func (w *writer) writeProfiler() error {
	if w.trait.config {
		return w.writeConfig()
	}
	if has(w.request.Command, "profiler-config") {
		return fmt.Errorf("launch.command has --profiler-config, which the workers of this generation do not read: remove it")
	}
	if a := w.request.Record.Activities; len(a) == 1 {
		return fmt.Errorf("record.activities: the fork always records both cpu and device, not %q alone", a[0])
	}
	if err := w.setDir(); err != nil {
		return err
	}
	return w.setOptions()
}

// writeConfig: G4 and G5 are configured as the vLLM below them is.
func (w *writer) writeConfig() error {
	s, err := vllm.SetupLaunch(w.request)
	if err != nil {
		return err
	}
	if err := w.checkIterations(); err != nil {
		return err
	}
	maps.Copy(w.out.Env, s.Env)
	w.out.Args = s.Args
	w.out.Notes = append(w.out.Notes, s.Notes...)
	return nil
}

// checkIterations refuses what waits for vLLM's count of iterations, which is kept
// in the part of its worker that the fork's replaces: Worker.annotate_profile, which
// NPUWorker.execute_model does not call (vllm/v1/worker/gpu_worker.py,
// vllm/profiler/wrapper.py; omni/worker/npu_worker.py, G5).
func (w *writer) checkIterations() error {
	config, err := vllm.ProfilerConfig(w.request.Command)
	if err != nil {
		return err
	}
	for _, key := range []string{"delay_iterations", "wait_iterations", "warmup_iterations"} {
		if n, ok := config[key].(float64); ok && n > 0 {
			return fmt.Errorf("launch.command has --profiler-config.%s=%v: the fork's worker counts no iterations, so that the profiler would never begin: remove it", key, n)
		}
	}
	if n, ok := config["max_iterations"].(float64); ok && n > 0 {
		w.note("launch.command has --profiler-config.max_iterations=%v: the fork's worker counts no iterations, so that it ends no recording", n)
	}
	return nil
}

func (w *writer) setDir() error {
	dir := path.Clean(w.request.TraceDir)
	text, set := w.request.Env[envDir]
	switch {
	case !set:
		w.out.Env[envDir] = dir
	case text != "" && path.Clean(text) == dir:
		w.kept = append(w.kept, envDir+"="+text)
	default:
		return fmt.Errorf("launch.env has %s=%s, but trace_dir = %s is asked for: take one of them back", envDir, text, dir)
	}
	return nil
}

// setOptions writes 1 and 0 only: "False" is true to the vLLM below G1 and G2
// (vllm/envs.py reads != "0"), and "1" alone is true to that below G3.
func (w *writer) setOptions() error {
	for _, o := range []struct {
		name, variable string
		on             bool
	}{
		{"record.shapes", envShapes, w.request.Record.Shapes},
		{"record.memory", envMemory, w.request.Record.Memory},
		{"record.stack", envStack, w.request.Record.Stack},
		{"record.flops", envFLOPs, w.request.Record.FLOPs},
	} {
		text, set := w.request.Env[o.variable]
		has := text != "0"
		if w.generation == G3 {
			has = text == "1"
		}
		switch {
		case !w.trait.options && o.on:
			return fmt.Errorf("%s = true: this generation records neither shapes, memory, stacks nor FLOPs, whatever it is told; the fork does from g2 on", o.name)
		case !w.trait.options:
		case !set:
			w.out.Env[o.variable] = map[bool]string{false: "0", true: "1"}[o.on]
		case has == o.on:
			w.kept = append(w.kept, o.variable+"="+text)
		case o.on:
			return fmt.Errorf("launch.env has %s=%s, but %s = true is asked for: take one of them back", o.variable, text, o.name)
		default:
			w.note("launch.env has %s=%s: left as it is, so that traces hold more than %s = false asks for", o.variable, text, o.name)
		}
	}
	return nil
}

func (w *writer) writeLogic() error {
	if err := w.checkNumbers(); err != nil {
		return err
	}
	switch {
	case w.request.Tokens != nil:
		return w.writeRule(*w.request.Tokens)
	case w.trait.always:
		w.note("the token logic of g1 cannot be turned off: its threshold is set to a number that no step reaches")
		return w.setVariables(map[string]string{w.trait.variables.threshold: strconv.Itoa(unreached)})
	}
	return w.checkOff()
}

func (w *writer) writeRule(tokens engine.TokenWindow) error {
	ask := Ask{Generation: w.generation, Ray: runsRay(w.request), Launched: true, Tokens: &tokens, Limits: LimitsOf(w.request.Command)}
	v, err := Judge(ask)
	if err != nil {
		return err
	}
	w.out.Notes = append(w.out.Notes, v.Notes...)
	if w.trait.samplesApart {
		w.note("%d passes are recorded, since the last may be without its sampling: the trace is cut to %d", v.Rule.Passes(), tokens.Steps)
	}
	return w.setVariables(v.Rule.Variables(w.generation))
}

// setVariables sets those that are not set yet.
func (w *writer) setVariables(values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		found, text, set := w.find(name)
		switch {
		case !set:
			w.out.Env[name] = values[name]
		case same(text, values[name]):
			w.kept = append(w.kept, found+"="+text)
		default:
			return fmt.Errorf("launch.env has %s=%s, but the window needs %s=%s: take it out of the environment, since profjob sets it", found, text, name, values[name])
		}
	}
	return nil
}

// find looks a variable up as the fork does: its name, then the older one.
func (w *writer) find(name string) (found, text string, set bool) {
	if text, set = w.request.Env[name]; set {
		return name, text, true
	}
	older := map[string]string{}
	if w.trait.fallback != (variables{}) {
		v, f := w.trait.variables, w.trait.fallback
		older = map[string]string{v.threshold: f.threshold, v.stop: f.stop, v.prefill: f.prefill, v.skip: f.skip}
	}
	text, set = w.request.Env[older[name]]
	return older[name], text, set
}

// same compares two values as the fork reads them.
func same(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), b)
}

// checkNumbers: int() of an empty text, or of a word, ends the server's start.
func (w *writer) checkNumbers() error {
	v := w.trait.variables
	for _, name := range []string{v.threshold, v.stop, v.skip} {
		found, text, set := w.find(name)
		if name == "" || !set {
			continue
		}
		if _, err := strconv.Atoi(strings.TrimSpace(text)); err != nil {
			return fmt.Errorf("launch.env has %s=%q, which is no whole number: the server would not start", found, text)
		}
	}
	return nil
}

// checkOff: set at all, the variable of the threshold means token mode.
func (w *writer) checkOff() error {
	found, text, set := w.find(w.trait.variables.threshold)
	if !set {
		return nil
	}
	return fmt.Errorf("launch.env has %s=%s: %w", found, text, &Refusal{
		What:    "a window that is started over HTTP",
		Why:     "with that variable " + w.generation.holdsProfiler(),
		Instead: "take it out of the environment; a window by tokens has it set by profjob",
	})
}

func (w *writer) note(format string, args ...any) {
	w.out.Notes = append(w.out.Notes, fmt.Sprintf(format, args...))
}

func runsRay(r engine.SetupRequest) bool {
	ray, _ := r.Options[optionRay].(bool)
	return ray || RunsRay(r.Command)
}

// generation is the target's option, else what the version tells.
func generation(options map[string]any, version string) (Generation, []string, error) {
	switch said := options[optionGeneration].(type) {
	case nil:
	case string:
		if said != "" {
			g, err := ParseGeneration(said)
			return g, nil, err
		}
	default:
		return "", nil, fmt.Errorf("generation: want a string, not %v", said)
	}
	if version == "" {
		return "", nil, errors.New("neither the version nor the generation of the fork is known: set version or generation in the target")
	}
	return GenerationOf(version)
}
