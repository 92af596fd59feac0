package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"profjob/internal/control"
	"profjob/internal/engine"
	"profjob/internal/engine/kinds"
	"profjob/internal/gate"
	"profjob/spec"
	"profjob/steps"
)

// stopOptions are the flags of `profjob stop`.
type stopOptions struct {
	jobFlags
}

func (a *app) stopCommand() *cobra.Command {
	var opts stopOptions
	c := &cobra.Command{
		Use:   "stop FILE",
		Short: "End a window that goes on, or stop the profilers of a job's targets",
		Long: `End the window of a run of this job file that goes on: the run stops the profiler,
collects and seals. Where no run of it goes on, but one of another job or file has a
target of the job, that run is asked to end. The profilers of all other targets are
stopped by hand; the server then writes the trace where it always does.

Exit codes: 0 asked, stopped, or nothing was recording; 2 job file or usage wrong;
4 a server cannot be reached or did not stop.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runStop(cmd.Context(), opts, args[0]) },
	}
	opts.addFlags(c)
	return c
}

func (a *app) runStop(ctx context.Context, opts stopOptions, path string) error {
	c, err := a.loadOrSay(ctx, &opts.jobFlags, path)
	if err != nil {
		return err
	}
	infos, err := listening()
	if err != nil {
		return failed(steps.ExitFailed, err)
	}
	asked, err := a.askRuns(ctx, c, infos)
	if err != nil {
		return failed(steps.ExitFailed, err)
	}
	if asked > 0 {
		return nil
	}
	done, err := a.askHolders(ctx, c, infos)
	if err != nil {
		return failed(steps.ExitFailed, err)
	}
	var errs []error
	for _, job := range c.jobs {
		errs = append(errs, a.stopTargets(ctx, job, done))
	}
	if err := errors.Join(errs...); err != nil {
		return failed(steps.ExitServer, err)
	}
	return nil
}

// listening gives the runs of this user that go on.
func listening() ([]control.Info, error) {
	dir, err := control.StateDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	return control.Find(dir)
}

// askRuns asks every run of the file's chosen jobs to end its window.
func (a *app) askRuns(ctx context.Context, c *compiled, infos []control.Info) (asked int, err error) {
	path, err := filepath.Abs(c.file.Path)
	if err != nil {
		return 0, err
	}
	for _, info := range infos {
		of := func(j *spec.Job) bool { return j.Address == info.Job }
		if withoutLinks(info.JobFile) != withoutLinks(path) || !slices.ContainsFunc(c.jobs, of) {
			continue
		}
		answer, err := control.Stop(ctx, info)
		if err != nil {
			return asked, err
		}
		asked++
		a.printf("%s (process %d): %s\n", info.Job, info.PID, answer) //nolint:errcheck // the run was asked all the same
	}
	return asked, nil
}

// withoutLinks gives a path without symbolic links, as far as it is there.
func withoutLinks(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// askHolders asks the runs of other jobs and files that have an endpoint of the
// chosen jobs' targets: a profiler that is stopped under a run spoils its window.
// held are the endpoints that such a run sees to.
func (a *app) askHolders(ctx context.Context, c *compiled, infos []control.Info) (held map[string]bool, err error) {
	held = map[string]bool{}
	for _, info := range infos {
		shared := common(c.jobs, info.Targets)
		if len(shared) == 0 {
			continue
		}
		answer, err := control.Stop(ctx, info)
		if err != nil {
			return held, err
		}
		for _, e := range shared {
			held[e] = true
		}
		a.printf("%s of %s (process %d) has %s: %s\n", info.Job, info.JobFile, info.PID, //nolint:errcheck // the run was asked all the same
			strings.Join(shared, ", "), answer)
	}
	return held, nil
}

// common gives the endpoints of the jobs' targets that are among some others, each
// once. The language writes every endpoint in one way.
func common(jobs []*spec.Job, others []string) []string {
	var all []string
	for _, job := range jobs {
		for _, t := range job.Targets {
			for _, e := range t.Endpoints {
				if slices.Contains(others, e) && !slices.Contains(all, e) {
					all = append(all, e)
				}
			}
		}
	}
	return all
}

// stopTargets stops the profilers of a job's targets, each endpoint once and none
// of those done already.
func (a *app) stopTargets(ctx context.Context, job *spec.Job, done map[string]bool) error {
	var errs []error
	for _, t := range job.Targets {
		kind, _ := kinds.Find(t.Engine)
		for _, e := range t.Endpoints {
			if done[e] {
				continue
			}
			done[e] = true
			errs = append(errs, a.stopEndpoint(ctx, job, t, kind, e))
		}
		if len(t.Endpoints) == 0 {
			a.printf("%s: no run of it goes on\n", t.Name) //nolint:errcheck // nothing was done
		}
	}
	return errors.Join(errs...)
}

func (a *app) stopEndpoint(ctx context.Context, job *spec.Job, t *spec.Target, kind engine.Kind, endpoint string) error {
	gateErr := a.disarmGate(ctx, job, t, endpoint)
	if t.Gate != nil && t.Gate.Enabled {
		info, err := probeEndpoint(ctx, job, t, kind, endpoint)
		if err == nil && info.Profiling == engine.ProfilingNotConfigured {
			return gateErr // there is no other profiler
		}
	}
	return errors.Join(gateErr, a.stopProfiler(ctx, job, t, kind, endpoint))
}

// disarmGate ends the session that a server's gate has, whoever armed it.
func (a *app) disarmGate(ctx context.Context, job *spec.Job, t *spec.Target, endpoint string) error {
	if t.Gate == nil || !t.Gate.Enabled {
		return nil
	}
	shown, err := accessOf(job, t)
	if err != nil {
		return err
	}
	client, err := gate.NewFor(endpoint, secretOf(job, t.Gate.Secret), shown)
	if err != nil {
		return err
	}
	hello, err := client.Hello(ctx)
	if errors.Is(err, gate.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	busy := map[string]bool{}
	for _, w := range hello.Workers {
		if w.Busy != "" {
			busy[w.Busy] = true
		}
	}
	for _, session := range slices.Sorted(maps.Keys(busy)) {
		if _, err := client.Disarm(ctx, session); err != nil {
			return err
		}
		a.printf("%s: the gate's session %s was disarmed\n", endpoint, session) //nolint:errcheck // it was disarmed all the same
	}
	if len(busy) == 0 {
		a.printf("%s: the gate was not armed\n", endpoint) //nolint:errcheck // nothing was done
	}
	return nil
}

func (a *app) stopProfiler(ctx context.Context, job *spec.Job, t *spec.Target, kind engine.Kind, endpoint string) error {
	client, err := clientOf(job, t, kind, endpoint)
	if err != nil {
		return err
	}
	err = client.Stop(ctx)
	if engine.NotRecording(err) {
		err = a.printf("%s: nothing was recording\n", endpoint)
		return err
	}
	if err != nil {
		return explained(err)
	}
	err = a.printf("%s: stopped\n", endpoint)
	return err
}

// explained adds to a stop's 500 what it may mean: vLLM 0.11.0 to 0.15.1 and
// SGLang answer so where nothing was recording, too.
func explained(err error) error {
	var status *engine.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusInternalServerError {
		return err
	}
	return fmt.Errorf("%w (many versions answer so where nothing was recording; if the server's log says nothing else, nothing was)", err)
}
