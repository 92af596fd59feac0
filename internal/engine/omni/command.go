package omni

import "strings"

// argument finds the value of an argument of vLLM in a command, the last one that
// is there, with "=" or without, with dashes or underscores
// (vllm/utils/argparse_utils.py, FlexibleArgumentParser).
func argument(command []string, name string) (value string, ok bool) {
	for i, word := range command {
		flag, inline, hasInline := strings.Cut(word, "=")
		if !strings.HasPrefix(flag, "--") || strings.ReplaceAll(flag[2:], "_", "-") != name {
			continue
		}
		switch {
		case hasInline:
			value, ok = inline, true
		case i+1 < len(command):
			value, ok = command[i+1], true
		}
	}
	return value, ok
}

// has tells whether a command has any argument, or argument's key, of that name.
func has(command []string, name string) bool {
	for _, word := range command {
		flag, _, _ := strings.Cut(word, "=")
		flag, _, _ = strings.Cut(flag, ".")
		if strings.HasPrefix(flag, "--") && strings.ReplaceAll(flag[2:], "_", "-") == name {
			return true
		}
	}
	return false
}

// RunsRay tells whether a command launches the server with Ray's executor. One
// that vLLM chooses by itself, where it runs within a Ray cluster, is not seen:
// such a target says ray = true.
func RunsRay(command []string) bool {
	value, _ := argument(command, "distributed-executor-backend")
	return value == "ray"
}
