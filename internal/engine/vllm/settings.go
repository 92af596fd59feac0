package vllm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"profjob/internal/engine"
)

// setting is one thing that a launch must say, in both of its forms.
type setting struct {
	name     string // in the words of a job file
	variable string // "": only --profiler-config can say it
	key      string // of --profiler-config; "": only the environment can say it
	value    any    // string, bool, int or []string
	standard any    // what vLLM takes if it is told nothing, nil: unknown
	// asked is true where the job asks for the value: a server that can't give it
	// is an error, and one that was told otherwise too.
	asked bool
}

// settingsFor lists what a launch must say for the request, in the order in
// which it is written.
func settingsFor(r engine.SetupRequest) ([]setting, error) {
	delay, err := Count(r.Options, optionDelay)
	if err != nil {
		return nil, err
	}
	limit, err := Count(r.Options, optionMax)
	if err != nil {
		return nil, err
	}
	settings := []setting{
		{name: "the torch profiler", key: keyProfiler, value: "torch", asked: true},
		{name: "trace_dir", variable: envDir, key: keyDir, value: path.Clean(r.TraceDir), asked: true},
		{name: "record.shapes", variable: envShapes, key: keyShapes, value: r.Record.Shapes, standard: false, asked: r.Record.Shapes},
		{name: "record.memory", variable: envMemory, key: keyMemory, value: r.Record.Memory, standard: false, asked: r.Record.Memory},
		{name: "record.stack", variable: envStack, key: keyStack, value: r.Record.Stack, standard: true, asked: r.Record.Stack},
		{name: "record.flops", variable: envFLOPs, key: keyFLOPs, value: r.Record.FLOPs, standard: false, asked: r.Record.FLOPs},
		// The frontend's trace holds no engine steps, and of several API servers
		// only the one that was called writes it.
		{name: "ignore_frontend", variable: envIgnoreFrontend, key: keyIgnoreFrontend, value: true, standard: false},
	}
	if delay > 0 {
		settings = append(settings, setting{name: optionDelay, variable: envDelay, key: keyDelay, value: delay, standard: 0, asked: true})
	}
	if limit > 0 {
		settings = append(settings, setting{name: optionMax, variable: envMax, key: keyMax, value: limit, standard: 0, asked: true})
	}
	activities, err := vllmActivities(r.Record.Activities, strings.Contains(r.Version, "+cpu"))
	if err != nil {
		return nil, err
	}
	if activities != nil {
		settings = append(settings, setting{name: "record.activities", key: keyActivities, value: activities, asked: true})
	}
	return settings, nil
}

// vllmActivities is nil where the activities are what the server records
// anyway, as the CPU is by a build for CPUs.
func vllmActivities(activities []string, cpuBuild bool) ([]string, error) {
	var cpu, device bool
	for _, a := range activities {
		switch a {
		case "cpu":
			cpu = true
		case "device":
			device = true
		default:
			return nil, fmt.Errorf("record.activities: %q is neither \"cpu\" nor \"device\"", a)
		}
	}
	switch {
	case cpuBuild && device:
		return nil, errors.New("record.activities: a vLLM for CPUs has no \"device\"")
	case cpu == device, cpuBuild:
		return nil, nil
	case cpu:
		return []string{"CPU"}, nil
	}
	return []string{"CUDA"}, nil
}

// text is the value as the environment and dotted arguments have it.
func (s setting) text(bools [2]string) string {
	switch v := s.value.(type) {
	case bool:
		if v {
			return bools[1]
		}
		return bools[0]
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	}
	return string(compactJSON(s.value))
}

// The words for false and true: the environment's, where "False" may mean true,
// and those of arguments.
var (
	environmentBools = [2]string{"0", "1"}
	argumentBools    = [2]string{"false", "true"}
)

// readVariable gives what vLLM makes of a variable's text: a value of the type
// of the setting's own.
func (s setting) readVariable(text string, t traits) any {
	switch s.value.(type) {
	case bool:
		if t.dialect == DialectEnvironment {
			return text != "0"
		}
		return text == "1"
	case int:
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
			return n
		}
	case string:
		if s.key == keyDir && text != "" {
			return path.Clean(text)
		}
	}
	return text
}

// readJSON gives what vLLM makes of a value of --profiler-config.
func (s setting) readJSON(v any) any {
	switch v := v.(type) {
	case string:
		if s.key == keyDir && v != "" {
			return path.Clean(v)
		}
	case float64:
		if _, ok := s.value.(int); ok && v == float64(int(v)) {
			return int(v)
		}
	}
	return v
}

// matches tells whether what the user set comes to the same.
func (s setting) matches(v any) bool {
	return bytes.Equal(compactJSON(s.value), compactJSON(v))
}

// compactJSON is v in one line, without the escapes for HTML.
func compactJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(fmt.Sprintf("%q", fmt.Sprint(v)))
	}
	return bytes.TrimSpace(b.Bytes())
}

// profilerConfigJSON writes the settings as the value of --profiler-config.
func profilerConfigJSON(settings []setting) string {
	var b strings.Builder
	for i, s := range settings {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(&b, "%s%s:%s", sep, compactJSON(s.key), compactJSON(s.value))
	}
	return b.String() + "}"
}
