package steps

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"profjob/internal/engine"
)

// withGate completes a launch by which the server gets the gate, and no profiler of
// its own. whole is the environment without either.
func (s *launching) withGate(run *Run, whole map[string]string) error {
	loaded, err := run.installGate(s.target, whole)
	if err != nil {
		return finalServerFailure("%w", err)
	}
	setup, err := s.target.kind().Setup(engine.SetupRequest{NoProfiler: true, Options: s.target.Options, Command: s.spec.Command, Env: whole})
	if err != nil {
		return finalServerFailure("%w", err)
	}
	maps.Copy(whole, setup.Env)
	maps.Copy(whole, loaded)
	s.Args, s.Env = setup.Args, sortedEnv(setup.Env)
	s.Notes = append(setup.Notes, "launched with the gate, and without a profiler of its own")
	s.spec.Command, s.spec.Env = append(s.spec.Command, setup.Args...), sortedEnv(whole)
	return nil
}

// withProfiler completes a launch by which the server's own profiler can record
// what is asked for. user is what the job file sets of the whole environment.
func (s *launching) withProfiler(ctx context.Context, record Record, own *engine.TokenWindow, whole, user map[string]string) error {
	kind := s.target.kind()
	if s.Version == "" && kind.Version != nil {
		version, err := kind.Version(ctx, s.spec.Command, whole, s.spec.Dir)
		if err != nil {
			return finalServerFailure("%w", err)
		}
		s.Version = version
	}
	// What is inherited counts as set: an outer VLLM_TORCH_PROFILER_DIR must not pass unseen.
	setup, err := kind.Setup(engine.SetupRequest{Version: s.Version, TraceDir: s.TraceDir, Record: record,
		Options: s.target.Options, Command: s.spec.Command, Env: whole, Tokens: own})
	if err != nil {
		return finalServerFailure("%w", err)
	}
	s.Args, s.Notes = setup.Args, setup.Notes
	s.Env = sortedEnv(setup.Env)
	s.spec.Command, s.spec.Env = append(s.spec.Command, setup.Args...), environment(s.Env, user)
	return nil
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
