package embedded

import "profjob/internal/embedded/gate"

// automatic is Omni-Infer's own logic of when to record, one of each worker
// (NPUWorker.execute_model in omni/adaptors/vllm/worker/npu_worker.py of the first
// generation, omni_npu/worker/npu_worker.py of later ones). It looks at each pass
// before the model runs, starts the profiler once in the life of the process, and
// counts every pass from there on, idle ones and the first included; it stops
// when it has counted more than the stop step, so that stop step + 1 passes are
// recorded.
//
// From G3 on sampling is a call of its own, after the one that counts: the last
// pass of a recording is not whole there.
//
//	G1  starts with at least threshold tokens; always on
//	G2  starts where tokens, requests and threshold are the same
//	G3  starts with exactly threshold tokens, or with more if prefills are
//	    enabled, once more than the requests to skip were seen
//	G4  as G3. No source of this generation was at hand: that its logic is that
//	    of G3, on a vLLM that is configured by --profiler-config alone, is an
//	    assumption
//	G5  as G3, and with exactly threshold tokens only where no request is new
//
// From G2 on the logic is on where the threshold is set at all ("token mode").
// Starts and stops over HTTP are answered with 200 then and do nothing, but in G5,
// where they drive the same profiler, as in G1, which is always on.
type automatic struct {
	rule
	seen     int // requests, until the recording starts
	started  bool
	finished bool
	counted  int // passes since it started
}

// rule is what an automatic was told at its launch.
type rule struct {
	generation int
	threshold  int // tokens
	stopStep   int
	prefill    bool
	skip       int // requests
}

// before is told of a pass as it begins, and says whether to start the profiler.
func (a *automatic) before(p gate.Pass) bool {
	if a == nil || a.started {
		return false
	}
	a.seen += p.New
	a.started = a.triggers(p)
	return a.started
}

func (a *automatic) triggers(p gate.Pass) bool {
	tokens := p.Tokens()
	switch a.generation {
	case 1:
		return tokens >= a.threshold
	case 2:
		return tokens == p.Requests() && tokens == a.threshold
	}
	if a.seen <= a.skip {
		return false
	}
	if a.prefill && tokens > a.threshold {
		return true
	}
	return tokens == a.threshold && (a.generation < 5 || p.New == 0)
}

// after is told that the call which counts has ended, and says whether to stop
// the profiler. With a negative stop step that is so before anything has started,
// and never again: such a recording has no end.
func (a *automatic) after() bool {
	if a == nil || a.finished {
		return false
	}
	if a.started {
		a.counted++
	}
	a.finished = a.counted > a.stopStep
	return a.finished
}

// countsBeforeSampling says that the call which counts does not sample.
func (a *automatic) countsBeforeSampling() bool { return a != nil && a.generation >= 3 }

// mutes says that starts and stops over HTTP do nothing.
func (r *rule) mutes() bool { return r != nil && r.generation >= 2 && r.generation <= 4 }
