package vllm

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"profjob/internal/engine"
)

// The attributes of a target "vllm" block that this kind adds.
const (
	optionVersion = "version"
	optionDelay   = "delay_iterations"
	optionMax     = "max_iterations"
)

// Options are the attributes of a target "vllm" block that only this kind has.
func Options() []engine.Option {
	return []engine.Option{
		{Name: optionVersion, Type: cty.String, Doc: "Version of the server that is launched, e.g. \"0.15.1\". Needed only where it cannot be found from the command."},
		{Name: optionDelay, Type: cty.Number, Doc: "Passes that a launched server lets go by after a start. From vLLM 0.12.0 on."},
		{Name: optionMax, Type: cty.Number, Doc: "Passes after which a launched server ends a recording by itself; 0: none. From vLLM 0.12.0 on."},
	}
}

// Count reads an option that is a whole number, 0 if it is not set.
func Count(options map[string]any, name string) (int, error) {
	v, ok := options[name]
	if !ok || v == nil {
		return 0, nil
	}
	n, whole := 0, true
	switch v := v.(type) {
	case int:
		n = v
	case int64:
		n = int(v)
	case float64:
		n = int(v)
		whole = float64(n) == v
	case json.Number:
		i, err := strconv.Atoi(v.String())
		n, whole = i, err == nil
	default:
		whole = false
	}
	if !whole || n < 0 {
		return 0, fmt.Errorf("%s: want a whole number of at least 0, not %v", name, v)
	}
	return n, nil
}
