// Package kinds is the table of the kinds of servers.
package kinds

import (
	"profjob/internal/engine"
	"profjob/internal/engine/embedded"
	"profjob/internal/engine/omni"
	"profjob/internal/engine/vllm"
)

// All lists the kinds in the order in which they are shown.
func All() []engine.Kind {
	return []engine.Kind{
		vllm.Kind(),
		omni.Kind(),
		embedded.Kind(),
	}
}

// Find gives the kind with that name.
func Find(name string) (engine.Kind, bool) {
	for _, k := range All() {
		if k.Name == name {
			return k, true
		}
	}
	return engine.Kind{}, false
}
