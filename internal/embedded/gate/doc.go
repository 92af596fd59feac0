// Package gate is the gate inside the embedded engine. It speaks protocol 1 of
// the plugin that profjob loads into vLLM (internal/gate/plugin/profjob_gate.py),
// with its statuses, codes, texts, states and limits, for one engine core of one
// worker: a Gate is told of each pass by the loop that runs them, and answers
// HTTP requests between two of them.
//
// It is a server's part and shares nothing with the project's client of the
// protocol. The tests run the plugin's own code beside it.
//
// Where it differs: limits.max_bytes ends a recording by a rough count of what its
// trace will have, and not by the growth of the process; start and stop take no
// time to speak of, so there is no warm-up; and the two phases of an arming are
// one, since there is one worker to agree with.
package gate

// What the plugin says of itself.
const (
	version  = "1.0.0"
	protocol = 1
)
