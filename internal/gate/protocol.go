package gate

import (
	"time"

	"profjob/internal/trace"
)

// Protocol is the version of the protocol that this package speaks. A gate
// refuses any other.
const Protocol = 1

// State of a session, or of one worker in it.
type State string

// The states. A session's state is that of its least advanced worker, a failure
// above all.
const (
	Armed     State = "armed"     // waits for the first step
	Recording State = "recording" // the profiler runs
	Writing   State = "writing"   // the window is over, its file is being written
	Done      State = "done"      // the window is as asked: N steps, or the duration
	Failed    State = "failed"    // Error says why; what was recorded is lost
	Disarmed  State = "disarmed"  // ended before: EndedBy says by what; what was recorded is written
)

// Ended tells whether nothing more will happen.
func (s State) Ended() bool { return s == Done || s == Failed || s == Disarmed }

// ArmRequest asks for one window on every engine core of the server.
type ArmRequest struct {
	Session string // 1 to 64 of A-Za-z0-9._-, the first a letter or digit; unique
	Prefix  string // of the file names, same characters; may be empty
	Window  Window
	Record  Record
	// Activities: "cpu", "device"; nil: all that the server has.
	Activities []string
	// Lease is how long the session lives without being renewed, 1 s to 1 h;
	// 0: 30 s.
	Lease  time.Duration
	Limits Limits
}

// Window says which engine steps to record. Exactly one of Steps and Duration is set.
type Window struct {
	Steps    int           // consecutive engine steps, 1 to 10000
	Duration time.Duration // from the start of the first step
	// Threshold and AtMost bound the tokens of the first step, Phase its class;
	// with All, of every step: a recording that meets a step that does not fit
	// is thrown away, and the wait goes on.
	Threshold int // 0: 1
	AtMost    int // 0: no bound
	Phase     Phase
	All       bool
	// SkipRequests is the number of newly scheduled requests after which the
	// first step may come; Delay the number of engine steps. Both count from
	// the moment of arming.
	SkipRequests int
	Delay        int
}

// Phase is the class of the step that opens a window.
type Phase string

// The phases. A context request has generated no token yet.
const (
	Any     Phase = "any"     // also ""
	Decode  Phase = "decode"  // no context request in the step
	Prefill Phase = "prefill" // none but context requests
	Mixed   Phase = "mixed"   // both
)

// Record is what the profiler records beside times.
type Record struct {
	Shapes bool `json:"shapes"`
	Memory bool `json:"memory"`
	Stack  bool `json:"stack"`
	FLOPs  bool `json:"flops"`
}

// Limits end a session whatever was asked. Zero values stand for the gate's
// defaults: 1000 steps, 300 s, 8 GiB.
type Limits struct {
	Steps    int           // recorded; at most 10000
	Duration time.Duration // of recording; at most 1 h
	// Bytes bounds the growth of the worker's resident set while it records, which is
	// what a profiler has not written yet; at most 64 GiB. What was recorded by then
	// is written, whatever its size.
	Bytes int64
}

// Hello is what the gate says of itself and the server.
type Hello struct {
	Gate     string   `json:"gate"`
	Protocol int      `json:"protocol"`
	VLLM     string   `json:"vllm"`
	Python   string   `json:"python"`
	Torch    string   `json:"torch"`
	Can      []string `json:"can"`
	Workers  []Worker `json:"workers"` // each with its Setting
}

// Worker is one worker process: who it is, and what it says.
type Worker struct {
	Core      int    `json:"core"` // the data parallel rank
	Rank      int    `json:"rank"` // within the core
	LocalRank int    `json:"local_rank"`
	TPRank    int    `json:"tp_rank"`
	PPRank    int    `json:"pp_rank"`
	WorldSize int    `json:"world_size"` // workers of the core
	Host      string `json:"host"`
	PID       int    `json:"pid"`
	Passes    int64  `json:"passes"` // that it has seen since it started

	Setting
	Progress
	Error Text `json:"error,omitempty"`
}

// Setting is what a worker answers to Hello.
type Setting struct {
	Profiler            string   `json:"profiler,omitempty"`   // torch or torch_npu
	Activities          []string `json:"activities,omitempty"` // that it can record
	MaxNumBatchedTokens int      `json:"max_num_batched_tokens,omitempty"`
	MaxNumSeqs          int      `json:"max_num_seqs,omitempty"`
	Hooks               []string `json:"hooks,omitempty"` // the methods of its worker that the gate wraps
	Busy                string   `json:"busy,omitempty"`  // the session that is armed
	Root                string   `json:"root,omitempty"`  // where its files go
}

// Progress is how far a worker is with a session.
type Progress struct {
	State     State  `json:"state,omitempty"`
	EndedBy   string `json:"ended_by,omitempty"`  // steps, duration, disarm, lease, max_steps, max_seconds, max_bytes, error
	Begin     int64  `json:"begin,omitempty"`     // the pass from which on steps counted
	Counted   int64  `json:"counted,omitempty"`   // engine steps seen while armed
	Recorded  int    `json:"recorded,omitempty"`  // engine steps
	Discarded int    `json:"discarded,omitempty"` // recordings thrown away, since All did not hold
	// Stopping is why a recording is to end that only the next pass can end:
	// its profiler belongs to a thread that waits for one (older Ray executors).
	Stopping string `json:"stopping,omitempty"`
	Steps    []Step `json:"steps,omitempty"` // once the recording is over
	Files    []File `json:"files,omitempty"` // once they are written
	Cost     Cost   `json:"cost"`
}

// Step is one recorded engine step.
type Step struct {
	Pass               int64       `json:"pass"`
	Class              trace.Class `json:"class"`
	Requests           int64       `json:"requests"`
	Tokens             int64       `json:"tokens"`
	ContextRequests    int64       `json:"context_requests"`
	ContextTokens      int64       `json:"context_tokens"`
	GenerationRequests int64       `json:"generation_requests"`
	GenerationTokens   int64       `json:"generation_tokens"`
	Start              int64       `json:"start_ns"` // since the Unix epoch
	End                int64       `json:"end_ns"`   // of its sampling
	Sampled            bool        `json:"sampled"`  // the recording holds its sampling
}

// File is a finished file of a session.
type File struct {
	Name   string `json:"name"` // relative to the worker's root, with slashes
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Cost is the time that the gate took, in seconds: start and stop of the
// profiler in the thread that runs the steps, writing beside it.
type Cost struct {
	Start float64 `json:"start_s,omitempty"`
	Stop  float64 `json:"stop_s,omitempty"`
	Write float64 `json:"write_s,omitempty"`
}

// Status is the state of a session on every worker.
type Status struct {
	Protocol int      `json:"protocol"`
	Session  string   `json:"session"`
	State    State    `json:"state"`
	Workers  []Worker `json:"workers"`
}

// wire forms of what is sent

type armBody struct {
	Protocol   int        `json:"protocol"`
	Session    string     `json:"session"`
	Prefix     string     `json:"prefix,omitempty"`
	Window     windowBody `json:"window"`
	Record     Record     `json:"record"`
	Activities []string   `json:"activities,omitempty"`
	Lease      float64    `json:"lease_s,omitempty"`
	Limits     limitsBody `json:"limits"`
}

type windowBody struct {
	Steps        int     `json:"steps,omitempty"`
	Duration     float64 `json:"duration_s,omitempty"`
	Threshold    int     `json:"threshold"`
	AtMost       int     `json:"at_most,omitempty"`
	Phase        Phase   `json:"phase,omitempty"`
	All          bool    `json:"all,omitempty"`
	SkipRequests int     `json:"skip_requests,omitempty"`
	Delay        int     `json:"delay,omitempty"`
}

type limitsBody struct {
	Steps   int     `json:"max_steps,omitempty"`
	Seconds float64 `json:"max_seconds,omitempty"`
	Bytes   int64   `json:"max_bytes,omitempty"`
}

func (r ArmRequest) body() armBody {
	w := windowBody{
		Steps: r.Window.Steps, Duration: r.Window.Duration.Seconds(), Threshold: r.Window.Threshold, AtMost: r.Window.AtMost,
		Phase: r.Window.Phase, All: r.Window.All, SkipRequests: r.Window.SkipRequests, Delay: r.Window.Delay,
	}
	if w.Threshold == 0 {
		w.Threshold = 1
	}
	return armBody{
		Protocol: Protocol, Session: r.Session, Prefix: r.Prefix, Window: w, Record: r.Record, Activities: r.Activities,
		Lease:  r.Lease.Seconds(),
		Limits: limitsBody{Steps: r.Limits.Steps, Seconds: r.Limits.Duration.Seconds(), Bytes: r.Limits.Bytes},
	}
}
