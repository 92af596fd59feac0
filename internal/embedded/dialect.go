package embedded

import "slices"

// Dialect is a server whose protocol is spoken.
type Dialect string

// The releases of vLLM.
const (
	// V011 is vLLM 0.11.0: no bounds, no step annotations, bodies ignored, a
	// stop without a start is an error.
	V011 Dialect = "vllm-0.11"
	// V015 is vLLM 0.15.1: bounds at launch; after the recording ended by
	// itself it stays active until a stop, and ignores starts.
	V015 Dialect = "vllm-0.15"
	// V032 is vLLM 0.32.0: bounds at launch and per request, a start while
	// active is a conflict, a stop is never an error.
	V032 Dialect = "vllm-0.32"
)

// The generations of Omni-Infer, a fork of vLLM that starts its profiler by
// itself; see automatic.
const (
	OmniG1 Dialect = "omni-g1"
	OmniG2 Dialect = "omni-g2"
	OmniG3 Dialect = "omni-g3"
	OmniG4 Dialect = "omni-g4"
	OmniG5 Dialect = "omni-g5"
)

// Dialects lists the releases of vLLM, oldest first.
func Dialects() []Dialect { return []Dialect{V011, V015, V032} }

// OmniDialects lists the generations of Omni-Infer, oldest first.
func OmniDialects() []Dialect { return []Dialect{OmniG1, OmniG2, OmniG3, OmniG4, OmniG5} }

// below are the releases of vLLM that the generations are forks of: what
// /version answers, and the release of those above whose protocol, file names
// and annotations are taken for theirs, the nearest that was measured.
//
// Those of G1, G3 and G5 are known. That of G2 is the one whose interfaces its
// worker was written against: execute_model samples, and the record options are
// variables. That of G4 is an assumption, as is its logic; see automatic.
var below = map[Dialect]struct {
	version string
	release Dialect
}{
	OmniG1: {"0.9.0", V011},
	OmniG2: {"0.11.0", V011},
	OmniG3: {"0.14.0", V015},
	OmniG4: {"0.20.0", V015},
	OmniG5: {"0.25.1", V015},
}

// Version is the release's number, as /version answers it; "" for no dialect.
func (d Dialect) Version() string {
	switch d {
	case V011:
		return "0.11.0"
	case V015:
		return "0.15.1"
	case V032:
		return "0.32.0"
	}
	return below[d].version
}

// release is the release of vLLM whose protocol is spoken.
func (d Dialect) release() Dialect {
	if b, ok := below[d]; ok {
		return b.release
	}
	return d
}

// generation is the fork's, 1 to 5; 0 for vLLM itself.
func (d Dialect) generation() int { return slices.Index(OmniDialects(), d) + 1 }

// torch is the release of torch whose traces are imitated.
func (d Dialect) torch() string {
	switch d.release() {
	case V011:
		return "2.8.0+cpu"
	case V015:
		return "2.10.0+cpu"
	}
	return "2.13.0+cpu"
}

// release is the release of vLLM whose protocol is spoken.
func (c Config) release() Dialect { return c.Dialect.release() }
