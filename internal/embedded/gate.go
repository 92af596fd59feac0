package embedded

import "profjob/internal/embedded/gate"

// newGate makes the gate of an engine, beside the engine's own profiler.
func newGate(c Config, p process, own *profiler) *gate.Gate {
	return gate.New(gate.Config{
		Root: c.GateRoot, VLLM: c.Dialect.Version(), Torch: c.release().torch(), Python: "3.11.0",
		MaxNumBatchedTokens: c.MaxNumBatchedTokens, MaxNumSeqs: c.MaxNumSeqs,
		Hooks: hooks(c.release()), Ray: c.Ray,
		Host: p.host, Meta: own.files.meta(own.files.title()),
		OthersRecord: func() bool { return own.recorder != nil },
		Logger:       c.Logger.Named("gate"),
	})
}

// hooks are the methods of the release's worker that the plugin wraps: up to
// 0.11.0 execute_model samples, too.
func hooks(release Dialect) []string {
	if release == V011 {
		return []string{"execute_model"}
	}
	return []string{"execute_model", "sample_tokens"}
}
