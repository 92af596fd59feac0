package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrStart is what New returns where the server that is imitated would not start
// with the environment that it has.
var ErrStart = errors.New("the server does not start")

// readOmni takes over what a server of the fork reads from its environment. Up to
// G3 its profiler is configured there, unless TraceDir says where traces go; then
// the options are those of the environment alone. Later ones are built on a vLLM
// that no longer looks there.
func (c *Config) readOmni() error {
	generation := c.Dialect.generation()
	if generation == 0 {
		return nil
	}
	if generation <= 3 && c.TraceDir == "" {
		if err := c.readProfiler(generation); err != nil {
			return err
		}
	}
	if c.TraceDir == "" { // nothing else is looked at
		return nil
	}
	r, err := readRule(generation, c.Env)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	c.automatic = r
	return nil
}

// readProfiler reads the variables of the vLLM below: 0.9.0 knows the directory
// alone; in 0.11.0 an option is on unless it is "0", and stacks are on where
// nothing is said; in 0.14.0 an option is on if it is "1" (vllm/envs.py,
// vllm/config/profiler.py of 0.13.0 and 0.15.1).
func (c *Config) readProfiler(generation int) error {
	dir, set := c.Env["VLLM_TORCH_PROFILER_DIR"]
	if !set || dir == "" && generation == 3 { // before, an empty one is the working directory
		return nil
	}
	dir, err := expandHome(dir)
	if err != nil {
		return err
	}
	if c.TraceDir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("VLLM_TORCH_PROFILER_DIR: %w", err)
	}
	c.Record = Record{}
	on := func(name string, otherwise bool) bool {
		value, set := c.Env[name]
		switch {
		case !set:
			return otherwise
		case generation == 2:
			return value != "0"
		}
		return value == "1"
	}
	if generation == 1 {
		return nil
	}
	c.Record = Record{
		Shapes: on("VLLM_TORCH_PROFILER_RECORD_SHAPES", false),
		Memory: on("VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY", false),
		Stack:  on("VLLM_TORCH_PROFILER_WITH_STACK", generation == 2),
		FLOPs:  on("VLLM_TORCH_PROFILER_WITH_FLOPS", false),
	}
	if generation == 3 {
		c.IgnoreFrontend = on("VLLM_TORCH_PROFILER_DISABLE_ASYNC_LLM", false)
		c.NoGzip = !on("VLLM_TORCH_PROFILER_USE_GZIP", true)
	}
	return nil
}

func expandHome(dir string) (string, error) {
	rest, ok := strings.CutPrefix(dir, "~")
	if !ok || rest != "" && !strings.HasPrefix(rest, "/") {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return home + rest, nil
}

// readRule reads the variables of the automatic logic; nil where it is off. The
// whole numbers are read even then, where there are any.
func readRule(generation int, env map[string]string) (*rule, error) {
	r := &rule{generation: generation, threshold: 1, stopStep: 5}
	variables := []struct {
		name  string
		value *int
		since int
	}{
		{"TOKEN_THRESHOLD", &r.threshold, 1}, {"STOP_STEP", &r.stopStep, 1}, {"SKIP_REQUESTS", &r.skip, 3},
	}
	for _, v := range variables {
		if generation < v.since {
			continue
		}
		name, text, set := variable(generation, env, v.name)
		if !set {
			continue
		}
		n, err := parseInt(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*v.value = n
	}
	r.prefill = enablesPrefill(generation, env)
	if _, _, set := variable(generation, env, "TOKEN_THRESHOLD"); !set && generation > 1 {
		return nil, nil
	}
	return r, nil
}

// variable looks one of the fork's variables up: G5 has names of its own, and the
// old ones where those are not set (omni_npu/envs.py).
func variable(generation int, env map[string]string, name string) (found, text string, set bool) {
	names := []string{"PROFILER_" + name}
	if generation == 5 {
		names = []string{"OMNI_PROFILE_" + name, "PROFILER_" + name}
	}
	for _, found = range names {
		if text, set = env[found]; set {
			return found, text, true
		}
	}
	return "", "", false
}

// enablesPrefill tells whether prefills may start a recording. Only the word
// "true" enables them in G3; G5 takes "1", too.
func enablesPrefill(generation int, env map[string]string) bool {
	if generation < 3 {
		return false
	}
	if generation < 5 {
		return strings.EqualFold(env["ENABLE_PREFILL_PROFILER"], "true")
	}
	text, set := env["OMNI_ENABLE_PREFILL_PROFILER"]
	if !set {
		text = env["ENABLE_PREFILL_PROFILER"]
	}
	text = strings.TrimSpace(text)
	return text == "1" || strings.EqualFold(text, "true")
}

// parseInt reads what Python's int() does: a sign, digits with single underscores
// between them, white space around. Numbers that are too large for us are as good
// as the largest.
func parseInt(text string) (int, error) {
	invalid := fmt.Errorf("invalid literal for int() with base 10: %s", quotePython(text))
	s := strings.TrimSpace(text)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return 0, invalid
	}
	plain := strings.ReplaceAll(digits, "_", "")
	if strings.Trim(plain, "0123456789") != "" {
		return 0, invalid
	}
	n, err := strconv.Atoi(plain)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, invalid
	}
	if strings.HasPrefix(s, "-") {
		n = -n
	}
	return n, nil
}
