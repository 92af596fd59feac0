package vllm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const configFlag = "--profiler-config"

// userConfig is what a command says of the profiler already.
type userConfig struct {
	whole  bool           // as one JSON object; else as dotted arguments, which vLLM merges
	values map[string]any // nil: it says nothing
}

// ProfilerConfig gives what a command says in --profiler-config, by the keys of
// vLLM's ProfilerConfig, as JSON has it; nil where it says nothing.
func ProfilerConfig(command []string) (map[string]any, error) {
	u, err := readUserConfig(command)
	return u.values, err
}

// readUserConfig finds --profiler-config JSON and --profiler-config.KEY VALUE in
// a command, each also with "=" and with underscores (vllm/utils/argparse_utils.py,
// FlexibleArgumentParser.parse_args).
func readUserConfig(command []string) (userConfig, error) {
	var u userConfig
	var dotted bool
	for i := 0; i < len(command); i++ {
		flag, value, inline := strings.Cut(command[i], "=")
		name, key, isDotted := strings.Cut(flag, ".")
		if strings.ReplaceAll(name, "_", "-") != configFlag {
			continue
		}
		if !inline {
			if i++; i == len(command) {
				return userConfig{}, fmt.Errorf("launch.command: %s has no value", flag)
			}
			value = command[i]
		}
		if u.values == nil {
			u.values = map[string]any{}
		}
		if isDotted {
			dotted = true
			u.values[key] = dottedValue(value)
			continue
		}
		u.whole = true
		if err := json.Unmarshal([]byte(value), &u.values); err != nil {
			return userConfig{}, fmt.Errorf("launch.command: the value of %s is no JSON object: %w", flag, err)
		}
	}
	if u.whole && dotted {
		return userConfig{}, errors.New("launch.command: --profiler-config JSON and --profiler-config.KEY in one command: vLLM takes only the latter")
	}
	return u, nil
}

// dottedValue is JSON if it can be, else a string.
func dottedValue(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	return v
}

// checkKeys refuses keys that end the server's start, where the table knows all
// the keys of its version.
func (u userConfig) checkKeys(t traits) error {
	if !t.read {
		return nil
	}
	var unknown []string
	for key := range u.values {
		if !t.knowsKey(key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("launch.command: --profiler-config of vLLM %s has no %s: it would not start", t.version, strings.Join(unknown, ", "))
}
