package vllm

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// serverInfo is what /server_info tells that profjob wants to know. All else of
// it is dropped, since it holds secrets (hf_token, for one).
type serverInfo struct {
	fingerprint map[string]string
	profiler    *profilerConfig // nil: not told
	scopes      bool            // VLLM_CUSTOM_SCOPES_FOR_PROFILING
}

// profilerConfig is vLLM's ProfilerConfig, with the environment of 0.13 to 0.15
// already applied by vLLM itself.
type profilerConfig struct {
	Profiler   *string  `json:"profiler"`
	Dir        string   `json:"torch_profiler_dir"`
	Stack      bool     `json:"torch_profiler_with_stack"`
	FLOPs      bool     `json:"torch_profiler_with_flops"`
	Shapes     bool     `json:"torch_profiler_record_shapes"`
	Memory     bool     `json:"torch_profiler_with_memory"`
	Activities []string `json:"torch_profiler_activities"`
	Delay      int64    `json:"delay_iterations"`
	Max        int64    `json:"max_iterations"`
}

// told lists what of vLLM's configuration goes into the fingerprint, section by
// section (vllm/config/vllm.py, class VllmConfig). Names are unique over all
// sections; older versions name some otherwise.
var told = []struct {
	section string
	names   []string
}{
	{"model_config", []string{"model", "dtype", "max_model_len", "quantization", "seed", "enforce_eager", "revision"}},
	{"cache_config", []string{"block_size", "gpu_memory_utilization", "cache_dtype", "enable_prefix_caching", "num_gpu_blocks"}},
	{"parallel_config", []string{"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "data_parallel_rank",
		"decode_context_parallel_size", "enable_expert_parallel", "distributed_executor_backend"}},
	{"scheduler_config", []string{"max_num_seqs", "max_num_batched_tokens", "enable_chunked_prefill", "chunked_prefill_enabled",
		"async_scheduling", "policy"}},
	{"device_config", []string{"device"}},
	{"load_config", []string{"load_format"}},
	{"profiler_config", []string{keyProfiler, keyDelay, keyMax, keyIgnoreFrontend, "detailed_trace_annotation"}},
}

// parseServerInfo reads the answer of /server_info, with vllm_config as an
// object (0.11 on, config_format=json) or as the text that all versions can give.
func parseServerInfo(text []byte) (serverInfo, error) {
	var doc struct {
		Config json.RawMessage            `json:"vllm_config"`
		Env    map[string]json.RawMessage `json:"vllm_env"` // from 0.15
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return serverInfo{}, fmt.Errorf("parse the configuration: %w", err)
	}
	if len(doc.Config) == 0 {
		return serverInfo{}, errors.New("parse the configuration: it has no vllm_config")
	}
	info := serverInfo{fingerprint: map[string]string{}}
	_ = json.Unmarshal(doc.Env[envScopes], &info.scopes) // another form says nothing
	var asText string
	if json.Unmarshal(doc.Config, &asText) == nil {
		info.readText(asText)
		return info, nil
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(doc.Config, &sections); err != nil {
		return serverInfo{}, fmt.Errorf("parse the configuration: vllm_config: %w", err)
	}
	info.readSections(sections)
	return info, nil
}

func (s *serverInfo) readSections(sections map[string]json.RawMessage) {
	for _, part := range told {
		var section map[string]json.RawMessage
		if json.Unmarshal(sections[part.section], &section) != nil {
			continue
		}
		for _, name := range part.names {
			if value, ok := scalar(section[name]); ok {
				s.fingerprint[name] = value
			}
		}
	}
	var p profilerConfig
	if raw := sections["profiler_config"]; len(raw) > 0 && string(raw) != "null" && json.Unmarshal(raw, &p) == nil {
		s.profiler = &p
	}
}

// textPair is one name=value of VllmConfig.__str__, e.g. dtype=torch.bfloat16 or
// model='/models/tiny'.
var textPair = regexp.MustCompile(`\b([a-z_]+)=('[^']*'|[A-Za-z0-9_./:+-]+)`)

// readText keeps the first of each name: the later ones are within other values.
func (s *serverInfo) readText(text string) {
	wanted := map[string]bool{"max_seq_len": true, "kv_cache_dtype": true}
	for _, part := range told {
		for _, name := range part.names {
			wanted[name] = part.section != "profiler_config"
		}
	}
	for _, m := range textPair.FindAllStringSubmatch(text, -1) {
		name, value := m[1], strings.Trim(m[2], "'")
		if wanted[name] && value != "None" {
			s.fingerprint[name] = fingerprintValue(value)
			wanted[name] = false
		}
	}
}

// scalar is a JSON string, number or bool as text; false for all else.
func scalar(raw json.RawMessage) (string, bool) {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return fingerprintValue(v), true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// maxName bounds a path or a name that is used as the server tells it, in bytes.
const maxName = 4096

// printable tells whether a name can be shown and used as it is.
func printable(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func fingerprintValue(s string) string {
	return strings.TrimPrefix(exchange.Line([]byte(s), ""), "torch.")
}

// refine corrects the information by what the configuration says.
func (s serverInfo) refine(info *engine.Info) {
	if s.scopes && info.Evidence == evidenceStructure {
		info.Evidence = evidenceScope
	}
	if s.profiler == nil {
		return
	}
	kind := ""
	if s.profiler.Profiler != nil {
		kind = *s.profiler.Profiler
	}
	switch kind {
	case "":
		if info.Profiling == engine.ProfilingUnknown {
			info.Profiling = engine.ProfilingNotConfigured
		}
		return
	case "torch":
	default:
		info.Notes = append(info.Notes, fmt.Sprintf("its profiler is %q, which writes no trace files: launch it with %q", exchange.Line([]byte(kind), ""), "torch"))
		return
	}
	if info.Profiling == engine.ProfilingUnknown {
		info.Profiling = engine.ProfilingConfigured
	}
	if printable(s.profiler.Dir) {
		info.TraceDir = s.profiler.Dir
	}
	info.Record = &engine.Record{
		Shapes: s.profiler.Shapes, Memory: s.profiler.Memory, Stack: s.profiler.Stack, FLOPs: s.profiler.FLOPs,
		Activities: activityNames(s.profiler.Activities),
	}
	if s.profiler.Max > 0 {
		info.Notes = append(info.Notes, fmt.Sprintf("it was launched with max_iterations %d: it ends a recording by itself after that many passes", s.profiler.Max))
	}
	if s.profiler.Delay > 0 {
		info.Notes = append(info.Notes, fmt.Sprintf("it was launched with delay_iterations %d: it begins that many passes after a start", s.profiler.Delay))
	}
}

// activityNames are vLLM's activities (CPU, CUDA, XPU, PrivateUse1) in the words of engine.Record.
func activityNames(activities []string) []string {
	var names []string
	var device bool
	for _, a := range activities {
		if a == "CPU" {
			names = append(names, "cpu")
		} else {
			device = true
		}
	}
	if device {
		names = append(names, "device")
	}
	return names
}
