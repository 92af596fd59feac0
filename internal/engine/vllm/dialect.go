package vllm

import (
	"fmt"
	"slices"
)

// The dialects: how a version of vLLM is told to profile.
const (
	// DialectEnvironment is set by environment variables at launch.
	DialectEnvironment = "environment"
	// DialectBoth takes the environment or --profiler-config; the environment wins.
	DialectBoth = "both"
	// DialectConfig takes --profiler-config only, and ignores the environment without a word.
	DialectConfig = "config"
	// DialectPerRequest is DialectConfig with bounds in the body of /start_profile.
	DialectPerRequest = "per-request"
)

// The evidence that a version's traces hold, as in engine.Info.
const (
	evidenceAnnotation = "annotation"
	evidenceScope      = "scope"
	evidenceStructure  = "structure"
)

// Environment variables. Those of the options are read as != "0" up to 0.12.0,
// so that "False" means true, and as == "1" from 0.13.0 to 0.15.1 (vllm/envs.py,
// vllm/config/profiler.py).
const (
	envDir            = "VLLM_TORCH_PROFILER_DIR"
	envShapes         = "VLLM_TORCH_PROFILER_RECORD_SHAPES"
	envMemory         = "VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY"
	envStack          = "VLLM_TORCH_PROFILER_WITH_STACK"
	envFLOPs          = "VLLM_TORCH_PROFILER_WITH_FLOPS"
	envIgnoreFrontend = "VLLM_TORCH_PROFILER_DISABLE_ASYNC_LLM"
	envGzip           = "VLLM_TORCH_PROFILER_USE_GZIP"
	envDump           = "VLLM_TORCH_PROFILER_DUMP_CUDA_TIME_TOTAL"
	envCUDA           = "VLLM_TORCH_CUDA_PROFILE"
	envDelay          = "VLLM_PROFILER_DELAY_ITERS"
	envMax            = "VLLM_PROFILER_MAX_ITERS"
	envScopes         = "VLLM_CUSTOM_SCOPES_FOR_PROFILING"
)

// Keys of --profiler-config (vllm/config/profiler.py, class ProfilerConfig).
const (
	keyProfiler       = "profiler"
	keyDir            = "torch_profiler_dir"
	keyShapes         = "torch_profiler_record_shapes"
	keyMemory         = "torch_profiler_with_memory"
	keyStack          = "torch_profiler_with_stack"
	keyFLOPs          = "torch_profiler_with_flops"
	keyGzip           = "torch_profiler_use_gzip"
	keyDump           = "torch_profiler_dump_cuda_time_total"
	keyIgnoreFrontend = "ignore_frontend"
	keyDelay          = "delay_iterations"
	keyMax            = "max_iterations"
	keyActivities     = "torch_profiler_activities"
)

// change is what a release brought. What it does not name stays as it was.
type change struct {
	since    release
	dialect  string
	evidence string
	tokens   bool     // the annotation tells the tokens of a step
	env      []string // variables that the release was the first to know
	keys     []string // keys of --profiler-config likewise
	flaw     string   // of this release alone
}

// changes are vLLM's, oldest first, read in the source of the releases from
// 0.8.5 to 0.32.0 (vllm/envs.py, vllm/config/profiler.py,
// vllm/v1/worker/{gpu,cpu}_worker.py, vllm/entrypoints/**/api_server.py and
// serve/profile/api_router.py). The keys of 0.13.0, 0.15.1 and 0.32.0 were
// compared with the class as installed: an unknown one ends the server's start.
var changes = []change{
	{since: release{0, 8, 5}, dialect: DialectEnvironment, evidence: evidenceStructure, env: []string{envDir}},
	{since: release{0, 10, 2}, dialect: DialectEnvironment, evidence: evidenceStructure,
		env: []string{envShapes, envMemory, envStack, envFLOPs, envScopes}},
	// execute_new_N_cached_M: requests, no tokens.
	{since: release{0, 11, 1}, dialect: DialectEnvironment, evidence: evidenceAnnotation, env: []string{envCUDA}},
	{since: release{0, 12, 0}, dialect: DialectEnvironment, evidence: evidenceAnnotation,
		env:  []string{envDelay, envMax, envGzip, envIgnoreFrontend, envDump},
		flaw: "vLLM 0.12.0 on a CPU host dies at the first request once its profiler is configured"},
	{since: release{0, 13, 0}, dialect: DialectBoth, evidence: evidenceAnnotation,
		keys: []string{keyProfiler, keyDir, keyShapes, keyMemory, keyStack, keyFLOPs, keyGzip, keyDump, keyIgnoreFrontend, keyDelay, keyMax}},
	// execute_context_R(T)_generation_R(T): requests and tokens.
	{since: release{0, 14, 0}, dialect: DialectBoth, evidence: evidenceAnnotation, tokens: true},
	{since: release{0, 16, 0}, dialect: DialectConfig, evidence: evidenceAnnotation, tokens: true},
	{since: release{0, 18, 0}, dialect: DialectConfig, evidence: evidenceAnnotation, tokens: true,
		keys: []string{"wait_iterations", "warmup_iterations", "active_iterations"}},
	{since: release{0, 26, 0}, dialect: DialectConfig, evidence: evidenceAnnotation, tokens: true,
		keys: []string{"detailed_trace_annotation", "capture_torch_profiler"}},
	{since: release{0, 28, 0}, dialect: DialectConfig, evidence: evidenceAnnotation, tokens: true,
		keys: []string{"proton_profiler_dir", "proton_context", "proton_data", "proton_backend", "proton_mode",
			"proton_hook", "proton_output_format", "proton_graph_attribution"}},
	{since: release{0, 31, 0}, dialect: DialectConfig, evidence: evidenceAnnotation, tokens: true,
		keys: []string{keyActivities}},
	{since: release{0, 32, 0}, dialect: DialectPerRequest, evidence: evidenceAnnotation, tokens: true},
}

// newestRead is the newest release whose source is behind the table.
var newestRead = release{0, 32, 0}

// traits are what is known of one version.
type traits struct {
	version  string
	release  release
	dialect  string
	evidence string
	tokens   bool
	read     bool // the table speaks of this very release, not of one before it
	notes    []string
}

// traitsOf looks a version up. One that is newer than the table, or whose
// number says nothing, is taken for the newest, with a note.
func traitsOf(version string) traits {
	r, unreleased, err := parseVersion(version)
	t := traits{version: version, release: r, read: true}
	switch {
	case err != nil:
		t.release, t.read = newestRead, false
		t.notes = append(t.notes, fmt.Sprintf("%v: taken for %s, the newest known", err, newestRead))
	case unreleased && r.before(changes[0].since):
		t.release, t.read = newestRead, false
		t.notes = append(t.notes, fmt.Sprintf("vLLM %s is a build without a release number: taken for %s, the newest known", version, newestRead))
	case newestRead.before(r):
		t.read = false
		t.notes = append(t.notes, fmt.Sprintf("vLLM %s is newer than %s, the newest known: taken for that", version, newestRead))
	case r.before(changes[0].since):
		t.release, t.read = changes[0].since, false
		t.notes = append(t.notes, fmt.Sprintf("vLLM %s is older than %s, the oldest known: taken for that", version, changes[0].since))
	case unreleased:
		t.notes = append(t.notes, fmt.Sprintf("vLLM %s is a build between two releases: taken for %s", version, r))
	}
	t.apply()
	return t
}

// apply takes the dialect and the evidence from the newest change that the release has.
func (t *traits) apply() {
	first := changes[0]
	t.dialect, t.evidence, t.tokens = first.dialect, first.evidence, first.tokens
	for _, c := range changes {
		if t.release.before(c.since) {
			break
		}
		t.dialect, t.evidence, t.tokens = c.dialect, c.evidence, c.tokens
		if c.flaw != "" && c.since == t.release {
			t.notes = append(t.notes, c.flaw)
		}
	}
}

// knowsVariable tells whether this version reads the environment variable.
func (t traits) knowsVariable(name string) bool {
	since, ok := variableSince(name)
	return ok && !t.release.before(since) && (t.dialect == DialectEnvironment || t.dialect == DialectBoth || name == envScopes)
}

// knowsKey tells whether this version's --profiler-config has the key.
func (t traits) knowsKey(name string) bool {
	since, ok := keySince(name)
	return ok && !t.release.before(since)
}

func variableSince(name string) (release, bool) {
	return firstWith(func(c change) bool { return slices.Contains(c.env, name) })
}

func keySince(name string) (release, bool) {
	return firstWith(func(c change) bool { return slices.Contains(c.keys, name) })
}

func firstWith(has func(change) bool) (release, bool) {
	i := slices.IndexFunc(changes, has)
	if i < 0 {
		return release{}, false
	}
	return changes[i].since, true
}
