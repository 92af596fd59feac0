package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"profjob/internal/embedded"
	"profjob/internal/gate"
	"profjob/steps"
)

// engineOptions are the flags of `profjob engine`.
type engineOptions struct {
	embedded.Config
	dialect        string
	profilerConfig string
	listen         string
	addressFile    string
	endWithStdin   bool
	fault          string
}

func (a *app) engineCommand() *cobra.Command {
	var opts engineOptions
	c := &cobra.Command{
		Use:   "engine --listen HOST:PORT [--trace-dir DIR]",
		Short: "Run the embedded engine: a small real inference server that profiles itself",
		Long: `Run the embedded engine: a small transformer that decodes on the CPU with continuous
batching and chunked prefill, and speaks the OpenAI API, vLLM's metrics and vLLM's
profiling routes, in the dialect of the version asked for. Without --trace-dir it
is a server whose profiler is not configured.

The dialects omni-g1 to omni-g5 are the generations of Omni-Infer, a fork of vLLM
that starts its profiler by itself. They read PROFILER_TOKEN_THRESHOLD and the
fork's other variables from the environment; omni-g1 to omni-g3 read
VLLM_TORCH_PROFILER_DIR and its options, too, where --trace-dir is not given.

With PROFJOB_GATE_SECRET in its environment it has profjob's gate, too, whose files
go to PROFJOB_GATE_ROOT, as a vLLM with the plugin has.

It ends at SIGINT or SIGTERM. Like vLLM, it loses a recording that is not stopped
before that.

Exit codes: 0 ended by a signal; 2 usage wrong, or the address cannot be listened
at; 1 anything else, as where the environment ends the start of the server imitated.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runEngine(cmd.Context(), opts) },
	}
	opts.addFlags(c)
	return c
}

func (o *engineOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8000", "`address` to listen at; port 0 picks a free one")
	f.StringVar(&o.addressFile, "address-file", "", "write the address listened at to this `file`")
	f.BoolVar(&o.endWithStdin, "end-with-stdin", false, "end when standard input ends")
	f.StringVar(&o.dialect, "dialect", string(embedded.V032), "`version` imitated: "+dialectNames())
	f.StringVar(&o.Model, "model", "tiny", "`name` of the model served")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the weights")
	f.BoolVar(&o.Ray, "ray", false, "run the passes as vLLM's older Ray executor does")
	f.StringVar(&o.profilerConfig, "profiler-config", "", "configure the profiler by `JSON`, as vLLM's flag of this name does")
	f.StringVar(&o.TraceDir, "trace-dir", "", "`directory` for traces; empty: no profiler")
	f.BoolVar(&o.Record.Shapes, "shapes", false, "record shapes")
	f.BoolVar(&o.Record.Memory, "memory", false, "record memory")
	f.BoolVar(&o.Record.Stack, "stack", false, "record stacks")
	f.BoolVar(&o.Record.FLOPs, "flops", false, "record FLOPs")
	f.BoolVar(&o.NoGzip, "no-gzip", false, "write traces uncompressed")
	f.BoolVar(&o.IgnoreFrontend, "no-frontend", false, "write no trace of the API server itself")
	f.IntVar(&o.DelayIterations, "delay-iterations", 0, "passes between a start and the recording")
	f.IntVar(&o.MaxIterations, "max-iterations", 0, "passes after which a recording ends by itself; 0: none")
	f.IntVar(&o.MaxNumSeqs, "max-num-seqs", 0, "most requests in a pass; 0: 64")
	f.IntVar(&o.MaxNumBatchedTokens, "max-num-batched-tokens", 0, "most tokens in a pass; 0: 512")
	f.DurationVar(&o.StepFloor, "step-floor", 0, "least `duration` of an engine step")
	f.BoolVar(&o.DevMode, "dev-mode", false, "answer /server_info")
	f.StringVar(&o.fault, "fault", "", "misbehave like servers that were seen to: "+strings.Join(faultNames(), ", "))
}

func dialectNames() string {
	var names []string
	for _, d := range slices.Concat(embedded.Dialects(), embedded.OmniDialects()) {
		names = append(names, string(d))
	}
	return strings.Join(names, ", ")
}

// fault is a way to misbehave, by its name on the command line.
type fault struct {
	name string
	set  func(*embedded.Faults)
}

func faults() []fault {
	return []fault{
		{"start-500", func(f *embedded.Faults) { f.StartStatus = 500 }},
		{"start-ignored", func(f *embedded.Faults) { f.StartIgnored = true }},
		{"start-half", func(f *embedded.Faults) { f.StartHalf = true }},
		{"start-blocks", func(f *embedded.Faults) { f.StartBlocks = true }},
		{"die-at-start", func(f *embedded.Faults) { f.DieAtStart = true }},
		{"die-at-export", func(f *embedded.Faults) { f.DieAtExport = true }},
		{"health-steps", func(f *embedded.Faults) { f.HealthSteps = true }},
		{"die-at-first-step", func(f *embedded.Faults) { f.DieAtFirstStep = true }},
		{"die-after-start", func(f *embedded.Faults) { f.DieAfterStart = true }},
		{"stop-delay", func(f *embedded.Faults) { f.StopDelay = 4 * time.Second }},
		{"stop-drop", func(f *embedded.Faults) { f.StopDrop = true }},
		{"no-trace-file", func(f *embedded.Faults) { f.NoTraceFile = true }},
	}
}

func faultNames() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

// setFault takes over the fault asked for.
func (o *engineOptions) setFault() error {
	if o.fault == "" {
		return nil
	}
	o.Faults.Exit = os.Exit
	for _, f := range faults() {
		if f.name == o.fault {
			f.set(&o.Faults)
			return nil
		}
	}
	return usage("--fault %q: one of %s", o.fault, strings.Join(faultNames(), ", "))
}

// configure takes over what the flags and the environment say.
func (o *engineOptions) configure(env map[string]string) error {
	o.Dialect = embedded.Dialect(o.dialect)
	o.Env, o.GateSecret, o.GateRoot = env, env[gate.SecretEnv], env[gate.RootEnv]
	if err := o.setFault(); err != nil {
		return err
	}
	if o.profilerConfig != "" {
		if o.TraceDir != "" {
			return usage("--trace-dir and --profiler-config: one of the two")
		}
		if err := o.TakeProfilerConfig(o.profilerConfig); err != nil {
			return usage("engine: %w", err)
		}
	}
	return nil
}

func (a *app) runEngine(ctx context.Context, opts engineOptions) error {
	opts.Logger = a.log.Named("engine")
	if err := opts.configure(environment()); err != nil {
		return err
	}
	server, err := embedded.New(opts.Config)
	if errors.Is(err, embedded.ErrStart) {
		return failed(steps.ExitFailed, fmt.Errorf("engine: %w", err))
	}
	if err != nil {
		return usage("engine: %w", err)
	}
	listener, err := net.Listen("tcp", opts.listen)
	if err != nil {
		return usage("engine: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if opts.endWithStdin {
		ctx = a.untilStdinEnds(ctx)
	}
	address := listener.Addr().String()
	if err := announce(opts.addressFile, address); err != nil {
		return failed(steps.ExitFailed, errors.Join(err, listener.Close()))
	}
	fmt.Fprintf(a.stderr, "embedded engine (%s) at http://%s\n", opts.dialect, address) //nolint:errcheck // it serves all the same
	if err := server.Serve(ctx, listener); err != nil && !errors.Is(err, context.Canceled) {
		return failed(steps.ExitFailed, fmt.Errorf("engine: %w", err))
	}
	return nil
}

// environment is that of the process, by name.
func environment() map[string]string {
	env := map[string]string{}
	for _, assignment := range os.Environ() {
		name, value, _ := strings.Cut(assignment, "=")
		env[name] = value
	}
	return env
}

// announce writes the address for whoever started the engine; a reader never sees half of it.
func announce(path, address string) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path+".tmp", []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("address file: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("address file: %w", err)
	}
	return nil
}

// untilStdinEnds gives a context that ends with standard input: whoever started
// the engine holds the other end, and an engine does not outlive them.
func (a *app) untilStdinEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // a read of a pipe cannot be ended: it lasts as long as the process
		_, _ = io.Copy(io.Discard, a.stdin)
		cancel()
	}()
	return ctx
}
