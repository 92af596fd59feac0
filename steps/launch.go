package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/wire"
)

// Launch starts the servers that the run has to start itself, with the
// environment or the flags that their version needs for what is to be recorded,
// and waits until each can serve. Its cleanup ends them, after the profilers.
type Launch struct {
	Header
	Targets []Target `json:"targets"`
	Record  Record   `json:"record"`
}

// LaunchResult says which servers run because of the plan step.
type LaunchResult struct {
	Servers []Launched `json:"servers"`
}

// Launched is one server that was started.
type Launched struct {
	Target    string        `json:"target"`
	Endpoints []string      `json:"endpoints"`
	TraceDir  string        `json:"trace_dir"`
	PID       int           `json:"pid"`
	Version   string        `json:"version,omitempty"`
	Args      []string      `json:"args,omitempty"` // what was added to the command
	Env       []string      `json:"env,omitempty"`  // what was added to the environment for the profiler
	Notes     []string      `json:"notes,omitempty"`
	Log       string        `json:"log"` // relative to the run directory
	ReadyIn   wire.Duration `json:"ready_in"`
}

// Summary tells the servers and how long they took.
func (r LaunchResult) Summary() string {
	var parts []string
	for _, s := range r.Servers {
		parts = append(parts, fmt.Sprintf("%s at %s, ready after %s",
			s.Target, strings.Join(s.Endpoints, ", "), time.Duration(s.ReadyIn).Round(10*time.Millisecond)))
	}
	return strings.Join(parts, "; ")
}

const (
	embeddedReadyTimeout = 30 * time.Second
	readyPoll            = 100 * time.Millisecond
	endGrace             = 20 * time.Second
)

// Kind is the row in the table of kinds.
func (l *Launch) Kind() string { return "launch" }

// Do starts every server and waits for all of them.
func (l *Launch) Do(ctx context.Context, run *Run) (any, error) {
	var result LaunchResult
	for _, t := range l.Targets {
		s, err := l.start(ctx, run, t)
		if err != nil {
			return nil, backoff.Permanent(fmt.Errorf("launch %s: %w", t.Name, err))
		}
		result.Servers = append(result.Servers, s)
	}
	return result, nil
}

// Undo ends every server that was started.
func (l *Launch) Undo(ctx context.Context, run *Run) error {
	return run.endProcesses(ctx)
}

func (l *Launch) start(ctx context.Context, run *Run, t Target) (Launched, error) {
	if err := refuseTaken(ctx, t); err != nil {
		return Launched{}, err
	}
	s, spec, err := l.prepare(ctx, run, t)
	if err != nil {
		return Launched{}, err
	}
	if err := run.intend(ctx, Intent{Action: "launch", Target: t.Name, Endpoint: strings.Join(t.Endpoints, " ")}); err != nil {
		return Launched{}, err
	}
	began := run.Clock.Now()
	process, err := run.Guard.Launch(ctx, spec)
	if err != nil {
		return Launched{}, finalServerFailure("start %s: %w", spec.Command[0], err)
	}
	if run.processes == nil {
		run.processes = map[string]Process{}
	}
	run.processes[t.Name] = process
	s.PID = process.PID()
	if err := l.await(ctx, run, t, &s, process); err != nil {
		return Launched{}, err
	}
	s.ReadyIn = wire.Duration(run.Clock.Now().Sub(began))
	return s, run.Emit(event.Outcome{Place: run.Place, Action: "launch", Target: t.Name,
		Endpoint: strings.Join(s.Endpoints, " "), Took: s.ReadyIn})
}

// refuseTaken makes sure that a server which answers already is not taken for the one to launch.
func refuseTaken(ctx context.Context, t Target) error {
	dialer := net.Dialer{Timeout: time.Second}
	for _, e := range t.Endpoints {
		u, err := url.Parse(e)
		if err != nil {
			return err
		}
		port := u.Port()
		if port == "" {
			port = u.Scheme // net knows http and https by name
		}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
		if err != nil {
			continue
		}
		_ = conn.Close() // it was opened only to see whether someone listens
		return finalServerFailure("something listens at %s already: end it, or leave out the launch block to profile it as it is", e)
	}
	return nil
}

// prepare works out the command, its environment and where things go.
func (l *Launch) prepare(ctx context.Context, run *Run, t Target) (Launched, LaunchSpec, error) {
	s := Launched{Target: t.Name, Endpoints: t.Endpoints, Log: "logs/" + t.Name + ".log", Version: t.Version}
	if _, err := run.Dir.MkdirAll("logs"); err != nil {
		return s, LaunchSpec{}, err
	}
	command, env, err := l.command(run, t)
	if err != nil {
		return s, LaunchSpec{}, err
	}
	s.TraceDir, err = l.traceDir(run, t)
	if err != nil {
		return s, LaunchSpec{}, err
	}
	if s.Version == "" && t.kind().Version != nil {
		if s.Version, err = t.kind().Version(ctx, command, env); err != nil {
			return s, LaunchSpec{}, finalServerFailure("%w", err)
		}
	}
	// What is inherited counts as set: an outer VLLM_TORCH_PROFILER_DIR must not pass unseen.
	whole := inherited(ownEnvironment(), env)
	setup, err := t.kind().Setup(engine.SetupRequest{Version: s.Version, TraceDir: s.TraceDir, Record: l.Record,
		Options: t.Options, Command: command, Env: whole})
	if err != nil {
		return s, LaunchSpec{}, finalServerFailure("%w", err)
	}
	s.Args, s.Notes = setup.Args, setup.Notes
	s.Env = sortedEnv(setup.Env)
	return s, LaunchSpec{Target: t.Name, Command: append(command, setup.Args...),
		Env: environment(s.Env, env), Dir: run.JobDir, Log: run.Dir.Join(s.Log)}, nil
}

func (l *Launch) command(run *Run, t Target) ([]string, map[string]string, error) {
	if t.Launch == nil {
		return []string{run.Executable, "engine", "--listen", "127.0.0.1:0", "--end-with-stdin",
			"--address-file", addressFile(run, t)}, nil, nil
	}
	env := make(map[string]string, len(t.Launch.Env))
	for k, v := range t.Launch.Env {
		value, err := run.secret(&v)
		if err != nil {
			return nil, nil, err
		}
		env[k] = value
	}
	return slices.Clone(t.Launch.Command), env, nil
}

// traceDir makes the directory for the server's traces. Without one in the job
// file they go below the run's own scratch folder, which ends with the run.
func (l *Launch) traceDir(run *Run, t Target) (string, error) {
	if t.TraceDir == "" {
		return run.Dir.MkdirAll("scratch", t.Name, "traces")
	}
	dir := run.absolute(t.TraceDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", finalIncomplete("trace_dir: %w", err)
	}
	return dir, nil
}

// inherited gives the environment that a server gets without anything for its profiler.
func inherited(own []string, user map[string]string) map[string]string {
	all := make(map[string]string, len(own)+len(user))
	for _, assignment := range own {
		name, value, _ := strings.Cut(assignment, "=")
		all[name] = value
	}
	maps.Copy(all, user)
	return all
}

// environment puts the profiler's variables and then the job file's over profjob's own.
func environment(setup []string, user map[string]string) []string {
	return slices.Concat(ownEnvironment(), setup, sortedEnv(user))
}

// ownEnvironment is what a server inherits: all but the values of job files'
// variables, which may be secrets that are none of the server's business.
func ownEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(assignment string) bool {
		return strings.HasPrefix(assignment, "PROFJOB_VAR_")
	})
}

func addressFile(run *Run, t Target) string {
	return run.Dir.Join("scratch", t.Name, "address")
}

// await waits until the server can serve, its process has ended, or the time is up.
func (l *Launch) await(ctx context.Context, run *Run, t Target, s *Launched, process Process) error {
	timeout := embeddedReadyTimeout
	if t.Launch != nil {
		timeout = time.Duration(t.Launch.ReadyTimeout)
	}
	deadline := run.Clock.Now().Add(timeout)
	for {
		err := l.ready(ctx, run, t, s)
		if err == nil {
			return nil
		}
		select {
		case <-process.Exited():
			return finalServerFailure("the server ended before it was ready (%w); the end of %s:\n%s",
				exitText(process), s.Log, run.logTail(s.Log))
		default:
		}
		if run.Clock.Now().After(deadline) {
			return finalServerFailure("not ready within %s: %w; the end of %s:\n%s",
				timeout, err, s.Log, run.logTail(s.Log))
		}
		run.progress("waiting until "+t.Name+" is ready", 0, 0, "")
		if err := run.Clock.Sleep(ctx, readyPoll); err != nil {
			return fmt.Errorf("wait until ready: %w", err)
		}
	}
}

func (l *Launch) ready(ctx context.Context, run *Run, t Target, s *Launched) error {
	if t.Launch == nil && len(t.Endpoints) == 0 {
		address, err := os.ReadFile(addressFile(run, t))
		if err != nil {
			return err
		}
		s.Endpoints = []string{"http://" + strings.TrimSpace(string(address))}
	}
	for _, e := range s.Endpoints {
		bearer, err := run.secret(t.Bearer)
		if err != nil {
			return err
		}
		client, err := run.client(t, engine.Config{Endpoint: e, Bearer: bearer, Now: run.Clock.Now})
		if err != nil {
			return err
		}
		if err := client.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

func exitText(p Process) error {
	if err := p.ExitError(); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

// logTail gives the last lines of a server's log, indented, for an error: secrets
// that the server has printed are left out, since errors go into the journal.
func (r *Run) logTail(rel string) string {
	text := logTail(r.Dir.Join(rel))
	for _, value := range r.Secrets {
		if value != "" {
			text = strings.ReplaceAll(text, value, "[sensitive]")
		}
	}
	return text
}

func logTail(path string) string {
	const most, lines = 16 << 10, 15
	f, err := os.Open(path)
	if err != nil {
		return "    (" + err.Error() + ")"
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "    (" + err.Error() + ")"
	}
	buf := make([]byte, most)
	n, _ := f.ReadAt(buf, max(0, info.Size()-most)) // a short read gives what there is
	text := strings.Split(strings.TrimRight(strings.ToValidUTF8(string(buf[:n]), "\uFFFD"), "\n"), "\n")
	if len(text) > lines {
		text = text[len(text)-lines:]
	}
	return "    " + strings.Join(text, "\n    ")
}

// endProcesses ends every launched server; the profilers must be off by then.
func (r *Run) endProcesses(ctx context.Context) error {
	names := slices.Collect(maps.Keys(r.processes))
	sort.Strings(names)
	var errs []error
	for _, name := range names {
		if err := r.processes[name].End(ctx, endGrace); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", name, err))
			continue
		}
		delete(r.processes, name)
	}
	return errors.Join(errs...)
}

// intend tells the journal and the guard what is about to begin.
func (r *Run) intend(ctx context.Context, what Intent) error {
	err := r.Emit(event.Intent{Place: r.Place, Action: what.Action, Target: what.Target, Endpoint: what.Endpoint})
	if err != nil {
		return fmt.Errorf("journal the intent to %s: %w", what.Action, err)
	}
	return r.Guard.Intend(ctx, what)
}
