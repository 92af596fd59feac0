package steps

import (
	"maps"
	"slices"

	"profjob/internal/archive"
	"profjob/internal/engine"
)

// option is one record option with the name that job files give it.
type option struct {
	name string
	on   bool
}

func options(r engine.Record) []option {
	return []option{{"shapes", r.Shapes}, {"memory", r.Memory}, {"stack", r.Stack}, {"flops", r.FLOPs}}
}

func manifestOptions(r engine.Record) archive.Options {
	return archive.Options{Shapes: r.Shapes, Memory: r.Memory, Stack: r.Stack, FLOPs: r.FLOPs}
}

// lacking names the options that are on in want and off in have.
func lacking(want, have []option) []string {
	var names []string
	for i := range want {
		if want[i].on && !have[i].on {
			names = append(names, want[i].name)
		}
	}
	return names
}

// sortedEnv gives KEY=value in order.
func sortedEnv(env map[string]string) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		all = append(all, k+"="+env[k])
	}
	return all
}
