// Package engine is what profjob knows about the kinds of LLM inference
// servers: how each is asked what it is, how its profiler is started and
// stopped, and what must be set at its launch. It speaks HTTP and knows the
// servers' versions; it knows no plans and no trace files.
//
// Each kind has a package of its own below this one; the table of them is in
// package kinds. A new kind is a new folder and one line there.
package engine

import (
	"context"
	"net/http"
	"time"

	"github.com/zclconf/go-cty/cty"

	"profjob/internal/access"
)

// Client speaks to one API server (one endpoint) of a target.
//
// Methods send one request (or as many as they say) and never retry: whether
// something may be sent again is the caller's to decide. They may be called from
// several goroutines. Every error tells the operation and the URL; what the
// server said is bounded and is part of it. Errors that a caller must tell apart
// are *StatusError, ErrUnreachable, ErrNotServer, ErrNotConfigured, ErrBusy and
// ErrRefused, found with errors.Is and errors.As.
type Client interface {
	// Endpoint is the base URL, without a trailing slash.
	Endpoint() string

	// Probe asks the server what it is. It changes nothing on the server and
	// adds no engine step to it. ErrUnreachable: nothing answers there;
	// ErrNotServer: something answers that is no server of this kind.
	Probe(ctx context.Context) (Info, error)

	// Ready is nil once the server can serve a completion.
	Ready(ctx context.Context) error

	// Start asks for the profiler to begin. When the error is one of which
	// NotStarted is true, nothing of ours is recording; after any other error it
	// may be.
	Start(ctx context.Context, w StartOptions) error

	// Stop asks for the profiler to end and returns once the server has answered,
	// which may take minutes, since it writes its files first. A server that
	// answers that nothing was recording gives an error for which NotRecording is
	// true, where its answer can be told from a failure.
	Stop(ctx context.Context) error

	// Metrics reads the server's metrics once.
	Metrics(ctx context.Context) (Metrics, error)
}

// StartOptions bound a recording. They are sent only to servers whose Info says
// PerRequestBounds; zero values are not sent.
type StartOptions struct {
	Prefix     string // of the names of the files
	DelaySteps int    // passes that the server lets go by first
	MaxSteps   int    // passes after which the server stops by itself
}

// Profiling says whether a server was launched with its profiler configured.
type Profiling string

// The states of Profiling.
const (
	ProfilingConfigured    Profiling = "configured"
	ProfilingNotConfigured Profiling = "not configured"
	ProfilingUnknown       Profiling = "unknown" // the server does not tell; a start will
)

// Info is what a server told about itself.
type Info struct {
	Engine    string    `json:"engine"`
	Version   string    `json:"version"`
	Dialect   string    `json:"dialect"` // how this version is profiled, as the kind names it
	Models    []string  `json:"models,omitempty"`
	Profiling Profiling `json:"profiling"`
	// PerRequestBounds is true where the start's body takes StartOptions.
	PerRequestBounds bool `json:"per_request_bounds"`
	// Evidence is the best that traces of this version hold for counting engine
	// steps: "annotation", "scope" or "structure".
	Evidence string `json:"evidence"`
	// AnnotatesTokens is true where the annotation tells the tokens of a step, and so its class.
	AnnotatesTokens bool `json:"annotates_tokens"`
	// TraceDir is the directory where the server writes, empty where it does not tell.
	TraceDir string `json:"trace_dir,omitempty"`
	// Record is what the profiler was configured to record, nil where the server does not tell.
	Record *Record `json:"record,omitempty"`
	// Fingerprint is whatever of its own configuration the server tells, flat, never a secret.
	Fingerprint map[string]string `json:"fingerprint,omitempty"`
	// Notes are remarks for people: deprecated settings, what a version cannot do.
	Notes []string `json:"notes,omitempty"`
}

// Record are the options of a recording.
type Record struct {
	Shapes     bool     `json:"shapes"`
	Memory     bool     `json:"memory"`
	Stack      bool     `json:"stack"`
	FLOPs      bool     `json:"flops"`
	Activities []string `json:"activities,omitempty"` // of "cpu", "device"; empty: what the server has
}

// Metrics is one reading of a server's metrics. Sums are over all engine cores
// of the endpoint. A metric that the server does not have is −1.
type Metrics struct {
	At               time.Time // when the answer had come, by the clock of the client
	Raw              []byte    // the exposition text as the server sent it
	Running          int64     // requests running
	Waiting          int64     // requests waiting
	PromptTokens     int64     // prompt tokens since launch
	GenerationTokens int64     // generated tokens since launch
	// EngineSteps is about the number of engine steps since launch: a hint for
	// when to stop, no proof of anything.
	EngineSteps int64
	// Cores are the readings of each engine core, by the name that the server gives
	// it: a server with data parallelism has several. Nil where it does not tell.
	Cores map[string]Core
}

// Core is one reading of one engine core's metrics; −1: the server does not have
// it. Counters are since launch.
type Core struct {
	Running          int64
	PromptTokens     int64 // of the prompts that were read to their end
	FirstTokens      int64 // requests whose first token has come: prompts read to their end
	CachedTokens     int64 // prompt tokens found in the prefix cache, which no step computes
	GenerationTokens int64
	DraftTokens      int64 // proposed by speculation: steps schedule them beside those they give
	EngineSteps      int64 // those that gave a token
	StepTokens       int64 // their tokens: those given, and each prompt's with its first token
	// StepSizes tell how many of the engine steps had at most so many tokens,
	// ascending; nil where the server does not tell.
	StepSizes []StepSize
}

// StepSize is one bound of the histogram of engine steps by their tokens.
type StepSize struct {
	AtMost int64 // tokens; math.MaxInt64: any number
	Steps  int64 // steps with at most so many
}

// ByCore gives the readings of each engine core: of a server that does not tell
// its cores apart, the sums as those of the one core "".
func (m Metrics) ByCore() map[string]Core {
	if len(m.Cores) > 0 {
		return m.Cores
	}
	return map[string]Core{"": {Running: m.Running, PromptTokens: m.PromptTokens, FirstTokens: -1, CachedTokens: -1,
		GenerationTokens: m.GenerationTokens, DraftTokens: -1, EngineSteps: m.EngineSteps, StepTokens: -1}}
}

// Config is what a client needs.
type Config struct {
	Endpoint string
	// Access is shown to this endpoint's scheme, host and port only.
	Access access.Access
	HTTP   *http.Client // nil: one of the package's own, without redirects to other hosts, with Access.TLS
	Now    func() time.Time
	// StopTimeout bounds the wait for a stop's answer; 0: 30 minutes.
	StopTimeout time.Duration
	// Options are the kind's own options, as in SetupRequest; nil: none are set.
	Options map[string]any
}

// Kind describes one kind of server. It is immutable.
type Kind struct {
	Name string // the label of the target block
	Doc  string
	// NeedsEndpoint is false where the run picks the address of a server that it starts itself.
	NeedsEndpoint bool
	// Launchable is true where a launch block makes sense.
	Launchable bool
	// Gate is true where its servers can load profjob's plugin.
	Gate bool
	// Options are the attributes of the target block that only this kind has.
	Options []Option

	// New makes a client. It sends nothing.
	New func(Config) (Client, error)
	// Setup says what a launch needs so that the server can be profiled as asked.
	Setup func(SetupRequest) (Setup, error)
	// ByItself says whether a server of the kind gives a window by tokens by its own
	// token logic, without being started and stopped over HTTP; with no Tokens in the
	// request, whether it can be started and stopped at all. The error says why not,
	// and what to do. Nil: the kind has no such logic.
	ByItself func(SelfRequest) (Self, error)
	// LogNotes tells people what the log of a server that was launched as the request
	// says shows to be otherwise. Nil: the kind's logs are not read.
	LogNotes func(r SetupRequest, log string) []string
	// Version finds the version of the server that a command would launch in the
	// folder dir, without starting it. env is the whole environment that the server
	// will have. Nil where it need not be known.
	Version func(ctx context.Context, command []string, env map[string]string, dir string) (string, error)
}

// Option is one attribute of a target block that only one kind has.
type Option struct {
	Name    string
	Type    cty.Type
	Default cty.Value // cty.NilVal: absent
	OneOf   []string
	Doc     string
}

// SetupRequest is what a server shall be able to do once it is launched.
type SetupRequest struct {
	// NoProfiler: the server shall have no profiler of its own, since the gate
	// records. TraceDir, Record and Version are not looked at.
	NoProfiler bool

	Version  string // of the server, e.g. "0.15.1"
	TraceDir string // absolute
	Record   Record
	Options  map[string]any    // the kind's own options
	Command  []string          // as the user wrote it, to see what is set there already
	Env      map[string]string // the whole environment of the launch; nil: not known
	// Tokens is the window that the server shall record by itself, by its own token
	// logic; nil: its profiler is started and stopped over HTTP, or something else
	// records. Kinds whose servers have no such logic take no notice of it.
	Tokens *TokenWindow
}

// TokenWindow is a window by tokens: Steps engine steps from the first that
// schedules at least Threshold tokens.
type TokenWindow struct {
	Threshold    int    // at least 1
	AtMost       int    // most tokens of the first step; 0: no bound
	Phase        string // of the first step: "any", "decode", "prefill" or "mixed"; empty: any
	Steps        int    // engine steps to record, at least 1
	SkipRequests int    // new requests to let pass first
	All          bool   // every step must qualify, not only the first
	// Spare is how many passes to record beyond those, for the idle ones among them
	// that a server counts, too: the trace is cut to Steps.
	Spare int
}

// SelfRequest is a window that a server may record by itself.
type SelfRequest struct {
	Info     Info           // what the server told; before it runs, its Version as far as that is known
	Options  map[string]any // the kind's own options
	Command  []string       // of the launch; nil: the server runs already
	Launched bool           // the run launches the server, and can do so again
	Tokens   *TokenWindow   // nil: a window by steps or by time, which is got over HTTP
	Windows  int            // that one server process shall give: rounds times attempts
	Warmup   bool           // requests are sent before the window
}

// Self is how a server gives a window by itself.
type Self struct {
	// Started: the server begins and ends the recording by itself; nothing is sent.
	Started bool
	Notes   []string // for people
}

// Setup is what must be added to a server's launch.
type Setup struct {
	Dialect string            // as in Info
	Env     map[string]string // environment variables to set
	Args    []string          // arguments to append
	Notes   []string          // for people: what was left as the user has it, and why
}
