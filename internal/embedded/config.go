// Package embedded is a small inference server that speaks vLLM's HTTP API and
// profiles itself the way vLLM does: continuous batching over a real (tiny)
// transformer, OpenAI completions, Prometheus metrics, /start_profile and
// /stop_profile with the quirks of three releases, the automatic logic of the
// fork in Omni-Infer in its five generations, profjob's gate, and traces of its
// own real timings as Kineto JSON.
//
// It serves the quickstart and fault tests. It is a server: the project's
// clients reach it over HTTP only, and it knows nothing of them. It takes the
// place of no test against a real server.
//
// What it imitates was read in the sources of vLLM 0.11.0, 0.15.1 and 0.32.0,
// and measured on these releases on CPU. What it leaves out: sampling other
// than greedy, stop strings, log probabilities, prefix caching, preemption.
package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"profjob/internal/embedded/kineto"
	"profjob/internal/embedded/model"
)

// Config says which server to imitate and how it was launched. Its zero value
// is a server of the newest dialect without profiling.
type Config struct {
	// Dialect is the server imitated; empty means vLLM 0.32.
	Dialect Dialect
	// Model is the served model's name; empty means "tiny".
	Model string
	// Seed makes the weights: the same seed gives the same answers.
	Seed uint64
	// Threads computes a pass with so many goroutines; 0 means two.
	Threads int

	// MaxNumSeqs is how many requests run at once; 0 means 64.
	MaxNumSeqs int
	// MaxNumBatchedTokens is how many tokens a pass may have; longer prompts
	// are read in chunks. 0 means 512.
	MaxNumBatchedTokens int
	// MaxModelLen is how many tokens a request may have, prompt and answer
	// together; 0 means 2048.
	MaxModelLen int
	// StepFloor is the least time that a pass with tokens takes in the model,
	// inside the pass's annotation. 0 means as fast as it goes.
	StepFloor time.Duration

	// TraceDir is where traces go, made when first needed. Empty means that
	// profiling is not configured: its routes do not exist.
	TraceDir string
	// Record is what traces hold; fixed at launch, as with vLLM. Unlike vLLM,
	// stacks are off unless asked for.
	Record Record
	// NoGzip writes .json instead of .json.gz (vLLM: use_gzip false; not in 0.11).
	NoGzip bool
	// DelayIterations skips passes between a start and the recording, and
	// MaxIterations ends the recording by itself after so many passes, idle
	// ones included; 0 means no bound. As in vLLM the recording begins with
	// pass number DelayIterations after the start, so 1 delays it only until
	// the first pass. Not in 0.11. In 0.32 a request may override them.
	DelayIterations, MaxIterations int
	// IgnoreFrontend leaves out the trace of the API server itself. Not in 0.11.
	IgnoreFrontend bool
	// DevMode adds /server_info (vLLM: VLLM_SERVER_DEV_MODE=1).
	DevMode bool

	// Ray imitates a server whose passes run in vLLM's older Ray executor
	// (RayWorkerWrapper.execute_model_ray): they have a thread of their own, which
	// torch's profiler does not see where another one started it, and pass by the
	// worker, which then counts none of them. So the server's own traces of 0.11,
	// 0.15 and 0.32 hold no operators and its bounds never end a recording; the
	// gate's windows open some passes after their arming and end only with a pass.
	Ray bool

	// GateSecret adds the routes of profjob's gate, as PROFJOB_GATE_SECRET in the
	// environment of a vLLM with the plugin does. They need no TraceDir. Empty
	// means that there is no gate.
	GateSecret string
	// GateRoot is where the gate's files go (PROFJOB_GATE_ROOT): an absolute path,
	// or empty for a folder of its own under /tmp.
	GateRoot string

	// Env is the environment that the server was launched with, by name. Only the
	// dialects of Omni-Infer look at it: PROFILER_TOKEN_THRESHOLD and others, and up
	// to G3 VLLM_TORCH_PROFILER_DIR with its options where TraceDir is empty.
	Env map[string]string

	// Faults are misbehaviours to show.
	Faults Faults
	// Logger gets a line for what vLLM logs; nil means nobody.
	Logger hclog.Logger

	automatic *rule // the fork's own logic, read from Env; nil where it is off
}

// Record are the options of the profiler.
type Record = kineto.Options

// Faults make the server misbehave in ways that real ones were seen to. The
// zero value has none.
type Faults struct {
	// StartStatus answers every /start_profile with this status and starts
	// nothing. 0 means no fault.
	StartStatus int
	// StartIgnored answers /start_profile with 200 and starts nothing, as the
	// Omni-Infer fork does in its token mode.
	StartIgnored bool
	// StartHalf answers /start_profile with 500 though the worker's profiler has
	// started: where one of several profilers fails to start, vLLM 0.32.0 tells of
	// a failure, forgets the session, and leaves the others recording.
	StartHalf bool
	// StartBlocks answers /start_profile only once the recording has ended, by its
	// bound or by a stop, as SGLang 0.4.6 does with num_steps.
	StartBlocks bool
	// DieAtStart ends the server at a /start_profile, as SGLang 0.5.23 does where it
	// is asked for activities that the host cannot have.
	DieAtStart bool
	// DieAtExport ends the server while it writes a recording's file, half of which
	// stays, as SGLang 0.5.23 does where it cannot write there.
	DieAtExport bool
	// HealthSteps has each /health run a prefill, as SGLang's does.
	HealthSteps bool
	// DieAtFirstStep ends the server at its first pass, though it looked alive
	// before: vLLM 0.12.0 on CPU does so once profiling is configured.
	DieAtFirstStep bool
	// DieAfterStart ends the server at the first pass after a /start_profile.
	// Its trace is lost.
	DieAfterStart bool
	// Exit, if set, is called with status 1 where the server dies, so that a
	// process can end at once with its connections cut. If it returns, or is
	// not set, requests in flight fail and Serve returns ErrDied.
	Exit func(status int)
	// StopDelay freezes the engine for so long before a stop writes its files.
	StopDelay time.Duration
	// StopDrop cuts the connection of a stop instead of answering. The stop
	// takes place all the same.
	StopDrop bool
	// NoTraceFile ends recordings of the worker without a file.
	NoTraceFile bool
}

// ErrDied is what Serve returns after a fault ended the engine.
var ErrDied = errors.New("engine died")

// resolve checks a configuration and fills in what was left out.
func (c Config) resolve() (Config, error) {
	set(&c.Dialect, V032)
	set(&c.Model, "tiny")
	set(&c.Threads, 2)
	set(&c.MaxNumSeqs, 64)
	set(&c.MaxNumBatchedTokens, 512)
	set(&c.MaxModelLen, model.Tiny(0).MaxLen)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if err := errors.Join(c.readOmni(), c.check()); err != nil {
		return Config{}, fmt.Errorf("configure embedded engine: %w", err)
	}
	if c.TraceDir != "" {
		dir, err := filepath.Abs(c.TraceDir)
		if err != nil {
			return Config{}, fmt.Errorf("configure embedded engine: trace directory: %w", err)
		}
		c.TraceDir = dir
	}
	return c, nil
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) check() error {
	var errs []error
	if c.Dialect.Version() == "" {
		errs = append(errs, fmt.Errorf("dialect %q is none of %q", c.Dialect, slices.Concat(Dialects(), OmniDialects())))
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"threads", c.Threads}, {"max num seqs", c.MaxNumSeqs},
		{"max num batched tokens", c.MaxNumBatchedTokens}, {"max model len", c.MaxModelLen},
		{"delay iterations", c.DelayIterations}, {"max iterations", c.MaxIterations},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, must not be negative", n.name, n.value))
		}
	}
	if limit := model.Tiny(0).MaxLen; c.MaxModelLen > limit {
		errs = append(errs, fmt.Errorf("max model len is %d, the model's limit is %d", c.MaxModelLen, limit))
	}
	if c.MaxNumBatchedTokens < c.MaxNumSeqs {
		errs = append(errs, fmt.Errorf("max num batched tokens is %d, must be at least the %d of max num seqs",
			c.MaxNumBatchedTokens, c.MaxNumSeqs))
	}
	if c.StepFloor < 0 {
		errs = append(errs, fmt.Errorf("step floor is %s, must not be negative", c.StepFloor))
	}
	if c.release() == V011 {
		if c.DelayIterations != 0 || c.MaxIterations != 0 {
			errs = append(errs, fmt.Errorf("dialect %s has no bounds: leave out delay and max iterations", c.Dialect))
		}
		if c.IgnoreFrontend {
			errs = append(errs, fmt.Errorf("dialect %s always traces the frontend", c.Dialect))
		}
		if c.NoGzip {
			errs = append(errs, fmt.Errorf("dialect %s always compresses its traces", c.Dialect))
		}
	}
	return errors.Join(errs...)
}

// process says who this server is in file names and traces.
type process struct {
	host   string
	pid    int
	launch time.Time
}

func thisProcess() process {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return process{host: host, pid: os.Getpid(), launch: time.Now()}
}
