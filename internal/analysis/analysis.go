// Package analysis says what traces tell: how long each class of engine step took,
// and where the time went, on the host and on the devices, by operator and by kernel,
// and which rank the others wait for.
//
// It stands on the columns of [profjob/internal/trace] and knows neither servers nor
// runs. All times are integer nanoseconds. What it gives are plain values that are
// written as JSON; [FormatVersion] is the version of that form.
package analysis

import "profjob/internal/trace"

// FormatVersion is the version of the JSON that the values of this package make. It
// goes up with each change that a reader of the one before would misread.
const FormatVersion = 1

// NotKnown stands for a count that the trace does not tell.
const NotKnown = trace.NotKnown

// Set is what the traces that belong together say: those of one target in one round of
// a run, or the files that `analyze` was given.
type Set struct {
	FormatVersion int     `json:"format_version"`
	Round         int     `json:"round,omitempty"`  // from 1; 0 outside of a run
	Target        string  `json:"target,omitempty"` // its name; empty outside of a run
	Traces        []Trace `json:"traces"`
	// Ranks are the traces held against each other; empty with fewer than two that
	// have collectives in common.
	Ranks []RankSkew `json:"ranks,omitempty"`
}

// Trace is what one trace says.
type Trace struct {
	File      string `json:"file"` // as given, or below the run's directory
	FileBytes int64  `json:"file_bytes"`
	// Problem is set where the file is damaged: the rest is of what could be read.
	Problem string `json:"problem,omitempty"`

	Host          string           `json:"host,omitempty"`
	EngineVersion string           `json:"engine_version,omitempty"` // where the trace tells
	Rank          *int             `json:"rank,omitempty"`
	WorldSize     *int             `json:"world_size,omitempty"`
	Options       trace.Options    `json:"options"`
	Activities    trace.Activities `json:"activities"`
	Events        int              `json:"events"`
	Start         int64            `json:"start_ns"` // since the Unix epoch
	End           int64            `json:"end_ns"`

	Evidence trace.Evidence `json:"evidence"` // what the steps were found by
	Steps    []Step         `json:"steps"`    // idle passes among them, by their class

	// Total is the whole trace, whatever steps were found in it: also what was recorded
	// before, between and after them.
	Total Group `json:"total"`
	// Classes are the engine steps by class, and below each class by batch. Idle passes
	// are a class of their own.
	Classes []Group `json:"classes"`

	Memory []MemoryPeak `json:"memory,omitempty"` // where recorded
}

// Step is one pass: an engine step, or an idle pass.
type Step struct {
	Index            int         `json:"index"`
	Name             string      `json:"name"` // of the annotation, scope or operator it was found by
	Class            trace.Class `json:"class"`
	Requests         int64       `json:"requests"` // NotKnown where the evidence does not tell
	Tokens           int64       `json:"tokens"`
	ContextTokens    int64       `json:"context_tokens"`
	GenerationTokens int64       `json:"generation_tokens"`
	Whole            bool        `json:"whole"` // recorded with its sampling

	Start    int64 `json:"start_ns"`    // since the Unix epoch
	Span     int64 `json:"span_ns"`     // how long the annotation is
	Duration int64 `json:"duration_ns"` // up to where the next pass starts
	// OperatorTime is for how much of it the step's thread was in operators and runtime calls.
	OperatorTime int64 `json:"operator_ns"`
	// LaunchTime is for how much of it that thread was in calls that launch device work.
	LaunchTime int64 `json:"launch_ns"`
	Launches   int   `json:"launches"`
	// Device is what the step launched, nil where the trace has no device work of it.
	Device *DeviceTime `json:"device,omitempty"`
	// MemoryPeak is the largest number of bytes allocated on the device that memory was
	// recorded of (the host's where there is none); 0 where not recorded.
	MemoryPeak int64 `json:"memory_peak_bytes,omitempty"`
	// FLOPs of the step's operators, 0 where not known.
	FLOPs int64 `json:"flops,omitempty"`
}

// DeviceTime is what devices did for a step (or in a whole trace): by the correlation of
// kernels with launches, so that it may lie after the step's own end. Times on several
// streams at once count once.
type DeviceTime struct {
	Start   int64 `json:"start_ns"` // since the Unix epoch: of the first kernel
	Span    int64 `json:"span_ns"`  // from there to the end of the last
	Busy    int64 `json:"busy_ns"`  // of the span, with anything at work
	Idle    int64 `json:"idle_ns"`  // Span − Busy
	Compute int64 `json:"compute_ns"`
	// Communication is with collectives at work, Exposed the part of it without
	// computation beside it.
	Communication int64 `json:"communication_ns"`
	Exposed       int64 `json:"exposed_communication_ns"`
	Copies        int64 `json:"copies_ns"` // copies and fills
	Kernels       int   `json:"kernels"`   // copies and fills included
	// Delay is from the begin of the first launch to the begin of the first kernel that
	// was launched in the trace: there may be others before it.
	Delay int64 `json:"delay_ns"`
}

// Group is a number of steps and where their time went: the whole trace, a class, or
// the steps of a class with about the same batch.
type Group struct {
	Class trace.Class `json:"class,omitempty"` // empty of a whole trace
	// Batch is the range of what the steps scheduled, "64" or "64..127"; empty where they
	// are all batches together. BatchOf says of what: "tokens", or "requests" where the
	// steps of the class do not tell their tokens.
	Batch   string `json:"batch,omitempty"`
	BatchOf string `json:"batch_of,omitempty"`
	Steps   int    `json:"steps"` // without idle passes, but in their own class

	Duration Spread `json:"duration"`
	// Device is the sum over the steps (of a whole trace, all device work at once: its
	// Span and Idle are those of the trace). Nil where there is none.
	Device     *DeviceTime `json:"device,omitempty"`
	DeviceSpan *Spread     `json:"device_span,omitempty"` // of the steps that have one
	// Share is where the steps' time went, as parts of the sum of their durations, the
	// largest first.
	Share []Part `json:"share,omitempty"`

	Operators  []Operator `json:"operators"`  // by self time, the largest first
	Kernels    []Kernel   `json:"kernels"`    // by time, the largest first
	Categories []Category `json:"categories"` // of kernels, by time
	Launch     *Launching `json:"launch,omitempty"`
	FLOPs      int64      `json:"flops,omitempty"`

	// LeftOut counts the rows beyond the limit on each of the lists; their times are in
	// the sums.
	LeftOut int `json:"left_out,omitempty"`

	Batches []Group `json:"batches,omitempty"` // below a class; these have none
}

// Spread is how values lie, in ns.
type Spread struct {
	Count int   `json:"count"`
	Sum   int64 `json:"sum_ns"`
	Min   int64 `json:"min_ns"`
	P50   int64 `json:"p50_ns"`
	P90   int64 `json:"p90_ns"`
	P99   int64 `json:"p99_ns"`
	Max   int64 `json:"max_ns"`
}

// Part is a share of the steps' time: "compute", "communication" (exposed), "copies",
// "device idle" of the device's span, and "host" for the rest of the step; on a host
// without devices the categories of the operators, and "outside of operators".
type Part struct {
	Name string `json:"name"`
	Time int64  `json:"time_ns"`
}

// Operator is all calls of one operator. Total counts a call within one of the same
// name only once.
type Operator struct {
	Name     string `json:"name"`
	Category string `json:"category"`
	Count    int    `json:"count"`
	Self     int64  `json:"self_ns"`
	Total    int64  `json:"total_ns"`
	Device   int64  `json:"device_ns,omitempty"` // of the kernels that its own calls launched, not those of operators within it
	FLOPs    int64  `json:"flops,omitempty"`
	// PerStep is the self time in each step of [Trace.Steps], of the operators that
	// lead the list of the whole trace.
	PerStep []int64 `json:"per_step_ns,omitempty"`
}

// Kernel is all runs of one kernel; copies and fills are some, too.
type Kernel struct {
	Name     string  `json:"name"`
	Category string  `json:"category"`
	Count    int     `json:"count"`
	Time     int64   `json:"time_ns"`
	Min      int64   `json:"min_ns"`
	Max      int64   `json:"max_ns"`
	PerStep  []int64 `json:"per_step_ns,omitempty"`
}

// Category is all kernels of a category.
type Category struct {
	Name  string `json:"name"` // gemm, attention, normalisation, communication, memory, sampling, …
	Count int    `json:"count"`
	Time  int64  `json:"time_ns"`
}

// Launching is what it took to get work onto the device.
type Launching struct {
	Calls int   `json:"calls"`
	Time  int64 `json:"time_ns"` // of the host, in those calls
	// Delay is from the begin of a launch to the begin of its first kernel.
	Delay Spread `json:"delay"`
	// Short counts kernels that took less time than the call that launched them.
	Short int `json:"short_kernels"`
}

// MemoryPeak is the most that was allocated on a device at a time.
type MemoryPeak struct {
	Device    string `json:"device"` // "cpu", "cuda:0", …
	Peak      int64  `json:"peak_bytes"`
	Reserved  int64  `json:"reserved_bytes"` // the most that was reserved
	At        int64  `json:"at_ns"`          // since the Unix epoch
	Step      int    `json:"step"`           // index of the step it was in, -1 outside of any
	Allocated int64  `json:"allocated_bytes"`
	// Allocations is how many there were, Allocated how many bytes in all.
	Allocations int `json:"allocations"`
}

// RankSkew is how one rank stands to the others of its group, by the collectives that
// they leave together.
type RankSkew struct {
	File string `json:"file"`
	Rank int    `json:"rank"` // NotKnown where the trace does not tell
	// Collectives is how many could be matched with those of the other ranks.
	Collectives int `json:"collectives"`
	// Wait is for how long this rank was in collectives that another had not entered.
	Wait int64 `json:"wait_ns"`
	// Last counts the collectives that this rank entered last: the others waited for it.
	Last int `json:"last"`
	// Caused is for how long the others waited, in all, where this rank was last.
	Caused int64 `json:"caused_ns"`
	// Steps are the waits by step, of [Trace.Steps].
	Steps []RankStep `json:"steps,omitempty"`
}

// RankStep is a rank's part in one step.
type RankStep struct {
	Index    int   `json:"index"`
	Duration int64 `json:"duration_ns"`
	Wait     int64 `json:"wait_ns"`
	Last     int   `json:"last"`
}
