package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
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
	// Tokens and Count are the window that servers with a token logic of their own
	// are to record by it.
	Tokens *TokensParams `json:"tokens,omitempty"`
	Count  int           `json:"count,omitempty"`
}

// LaunchResult says which servers run because of the plan step.
type LaunchResult struct {
	Servers []Launched `json:"servers"`
}

// Launched is one server that was started.
type Launched struct {
	Target    string    `json:"target"`
	Endpoints []string  `json:"endpoints"`
	TraceDir  string    `json:"trace_dir"`
	PID       int       `json:"pid"`
	Version   string    `json:"version,omitempty"`
	Args      []string  `json:"args,omitempty"` // what was added to the command
	Env       []string  `json:"env,omitempty"`  // what was added to the environment for the profiler
	Notes     []string  `json:"notes,omitempty"`
	Log       string    `json:"log"` // relative to the run directory
	Began     time.Time `json:"began"`
	// Before is what lay in the trace directory before, where the server may record
	// by itself from the first request on.
	Before  Snapshot      `json:"before,omitempty"`
	ReadyIn wire.Duration `json:"ready_in"`
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

// launching is a server between its start and the moment when it can serve.
type launching struct {
	Launched
	target  Target
	spec    LaunchSpec
	process Process
}

// Do starts every server, and only then waits for all of them: one may need
// another to get ready, as the halves of a disaggregated server do.
func (l *Launch) Do(ctx context.Context, run *Run) (any, error) {
	all := make([]*launching, len(l.Targets))
	for i, t := range l.Targets {
		s, err := l.prepare(ctx, run, t)
		if err != nil {
			return nil, backoff.Permanent(fmt.Errorf("launch %s: %w", t.Name, err))
		}
		all[i] = s
	}
	for _, s := range all {
		if err := l.start(ctx, run, s); err != nil {
			return nil, backoff.Permanent(fmt.Errorf("launch %s: %w", s.target.Name, err))
		}
	}
	if err := l.awaitAll(ctx, run, all); err != nil {
		return nil, backoff.Permanent(err)
	}
	var result LaunchResult
	var errs []error
	for _, s := range all {
		result.Servers = append(result.Servers, s.Launched)
		errs = append(errs, run.noteLog(s))
	}
	return result, errorPermanent(errors.Join(errs...))
}

// noteLog warns where a server's log shows it to be another than it was launched as.
func (r *Run) noteLog(s *launching) error {
	read := s.target.kind().LogNotes
	if read == nil {
		return nil
	}
	f, err := os.Open(r.Dir.Join(s.Log))
	if err != nil {
		return nil // a server without a log contradicts nothing
	}
	defer f.Close()
	const most = 1 << 20 // the start of a server is told in less
	head, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil
	}
	var errs []error
	for _, note := range read(engine.SetupRequest{Version: s.Version, Options: s.target.Options, Command: s.spec.Command}, string(head)) {
		errs = append(errs, r.warn("%s: %s", s.target.Name, note))
	}
	return errors.Join(errs...)
}

// Undo ends every server that was started.
func (l *Launch) Undo(ctx context.Context, run *Run) error {
	return run.endServers(ctx)
}

// start starts one server; from then on it is the run's to end. An interrupt does not
// cut the guard's answer short: a server that nobody knows of is ended by nobody.
func (l *Launch) start(ctx context.Context, run *Run, s *launching) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	what := Intent{Action: "launch", Target: s.target.Name, Endpoint: strings.Join(s.target.Endpoints, " ")}
	if err := run.intend(ctx, what); err != nil {
		return err
	}
	s.Began = run.Clock.Now()
	ctx, cancel := run.untilAbandoned(ctx)
	defer cancel()
	process, err := run.Guard.Launch(ctx, s.spec)
	if err != nil {
		return finalServerFailure("start %s: %w", s.spec.Command[0], err)
	}
	if run.processes == nil {
		run.processes = map[string]Process{}
	}
	run.processes[s.target.Name] = process
	s.process, s.PID = process, process.PID()
	return nil
}

// awaitAll waits for the servers side by side: the end of one of them ends the
// wait for those that wait for it. The first error counts.
func (l *Launch) awaitAll(ctx context.Context, run *Run, all []*launching) error {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(context.Canceled)
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, s := range all {
		wg.Go(func() {
			err := safely("wait for "+s.target.Name, func() error { return l.await(waiting, run, s) })
			if err == nil {
				return
			}
			once.Do(func() {
				first = fmt.Errorf("launch %s: %w", s.target.Name, err)
				cancel(first)
			})
		})
	}
	wg.Wait()
	return first
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
func (l *Launch) prepare(ctx context.Context, run *Run, t Target) (*launching, error) {
	if err := refuseTaken(ctx, t); err != nil {
		return nil, err
	}
	s := &launching{target: t, Launched: Launched{Target: t.Name, Endpoints: t.Endpoints, Version: t.Version}}
	var err error
	if s.Log, err = run.logFor(t); err != nil {
		return nil, err
	}
	env, err := run.launchEnv(t)
	if err != nil {
		return nil, err
	}
	command, whole := l.command(run, t), inherited(ownEnvironment(), env)
	s.spec = LaunchSpec{Target: t.Name, Command: command, Dir: run.JobDir, Log: run.Dir.Join(s.Log)}
	if t.Gate != nil {
		return s, s.withGate(run, whole)
	}
	if s.TraceDir, err = l.traceDir(run, t); err != nil {
		return nil, err
	}
	own := l.ownWindow(t, run.Place.Attempt)
	if own != nil {
		if s.Before, err = run.snapshotOf(ctx, s.TraceDir); err != nil {
			return nil, err
		}
	}
	return s, s.withProfiler(ctx, l.Record, own, whole, env)
}

// logFor gives the path of a log for a launch, and clears away what an earlier one
// of the target has left: a server that is launched anew has another address.
func (r *Run) logFor(t Target) (string, error) {
	if _, err := r.Dir.MkdirAll("logs"); err != nil {
		return "", err
	}
	if err := os.Remove(addressFile(r, t)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for n := 1; ; n++ {
		log := fmt.Sprintf("logs/%s.log", t.Name)
		if n > 1 {
			log = fmt.Sprintf("logs/%s-%d.log", t.Name, n)
		}
		if _, err := os.Lstat(r.Dir.Join(log)); errors.Is(err, fs.ErrNotExist) {
			return log, nil
		} else if err != nil {
			return "", err
		}
	}
}

func (l *Launch) command(run *Run, t Target) []string {
	if t.Launch == nil {
		return []string{run.Executable, "engine", "--listen", "127.0.0.1:0", "--end-with-stdin",
			"--address-file", addressFile(run, t)}
	}
	return slices.Clone(t.Launch.Command)
}

// launchEnv gives what the launch block sets, with the values of sensitive variables.
func (r *Run) launchEnv(t Target) (map[string]string, error) {
	if t.Launch == nil {
		return nil, nil
	}
	env := make(map[string]string, len(t.Launch.Env))
	for k, v := range t.Launch.Env {
		value, err := r.secret(&v)
		if err != nil {
			return nil, err
		}
		env[k] = value
	}
	return env, nil
}

// LaunchEnvironment is the whole environment that a target's server gets if it is
// launched, but for what is added for its profiler: what is inherited, and what the
// launch block sets. The error names a sensitive value that was not given.
func (r *Run) LaunchEnvironment(t Target) (map[string]string, error) {
	env, err := r.launchEnv(t)
	if err != nil {
		return nil, err
	}
	return inherited(ownEnvironment(), env), nil
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

func addressFile(run *Run, t Target) string {
	return run.Dir.Join("scratch", t.Name, "address")
}

// await waits until the server can serve, its process has ended, or the time is up.
func (l *Launch) await(ctx context.Context, run *Run, s *launching) error {
	timeout := embeddedReadyTimeout
	if s.target.Launch != nil {
		timeout = time.Duration(s.target.Launch.ReadyTimeout)
	}
	for {
		err := l.ready(ctx, run, s.target, &s.Launched)
		if err == nil {
			s.ReadyIn = wire.Duration(run.Clock.Now().Sub(s.Began))
			return run.Emit(event.Outcome{Place: run.Place, Action: "launch", Target: s.target.Name,
				Endpoint: strings.Join(s.Endpoints, " "), Took: s.ReadyIn})
		}
		select {
		case <-s.process.Exited():
			return finalServerFailure("the server ended before it was ready (%w); the end of %s:\n%s",
				exitText(s.process), s.Log, run.logTail(s.Log))
		default:
		}
		if run.Clock.Now().Sub(s.Began) > timeout {
			return finalServerFailure("not ready within %s: %w; the end of %s:\n%s",
				timeout, err, s.Log, run.logTail(s.Log))
		}
		run.progress("waiting until "+s.target.Name+" is ready", 0, 0, "")
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
		client, err := run.client(t, engine.Config{Endpoint: e, Bearer: bearer, Now: run.Clock.Now, Options: t.Options})
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

// logTail gives the last lines of a server's log, indented, for an error: sensitive
// values that the server has printed are left out, since errors go into the journal.
func (r *Run) logTail(rel string) string {
	const most, lines = 16 << 10, 15
	f, err := os.Open(r.Dir.Join(rel))
	if err != nil {
		return "    (" + err.Error() + ")"
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "    (" + err.Error() + ")"
	}
	// A little more than is shown: of a value that is cut off where the reading begins, nothing may stay.
	values := sensitiveValues(r.sensitive())
	buf := make([]byte, most+longest(values))
	n, _ := f.ReadAt(buf, max(0, info.Size()-int64(len(buf)))) // a short read gives what there is
	shown := string(withoutSensitive(buf[:n], values))
	shown = shown[max(0, len(shown)-most):]
	text := strings.Split(strings.TrimRight(strings.ToValidUTF8(shown, "\uFFFD"), "\n"), "\n")
	if len(text) > lines {
		text = text[len(text)-lines:]
	}
	return "    " + strings.Join(text, "\n    ")
}

// endServers ends every launched server that still runs, and cuts sensitive values
// out of the logs, which are whole by then. One that cannot be ended may write on:
// whoever ends it later does both again.
func (r *Run) endServers(ctx context.Context) error {
	if len(r.processes) == 0 {
		return nil
	}
	// A log that could not be cleaned is gone: another try would find nothing wrong.
	return errors.Join(r.endProcesses(ctx), backoff.Permanent(r.cleanLogs()))
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
	err := r.Emit(event.Intent{Place: r.Place, Action: what.Action, Target: what.Target, Endpoint: what.Endpoint, Session: what.Session})
	if err != nil {
		return fmt.Errorf("journal the intent to %s: %w", what.Action, err)
	}
	return r.Guard.Intend(ctx, what)
}
