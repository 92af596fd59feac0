package embedded

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if !s.engine.alive() || s.config.Faults.HealthSteps && !s.generates(r.Context()) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// generates is a health check that has the model read a prompt of one token.
func (s *Server) generates(ctx context.Context) bool {
	answer := make(chan event, 2)
	asked := []*request{{prompt: []int32{5}, maxTokens: 1, ignoreEOS: true, arrived: time.Now(), events: answer}}
	if s.engine.submit(asked) != nil {
		return false
	}
	select {
	case e := <-answer:
		return e.err == nil
	case <-ctx.Done():
		s.engine.abort(asked)
		return false
	}
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"version": s.config.Dialect.Version()})
}

type modelCard struct {
	ID          string  `json:"id"`
	Object      string  `json:"object"`
	Created     int64   `json:"created"`
	OwnedBy     string  `json:"owned_by"`
	Root        string  `json:"root"`
	Parent      *string `json:"parent"`
	MaxModelLen int     `json:"max_model_len"`
	Permission  []any   `json:"permission"`
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	created := s.process.launch.Unix()
	writeJSON(w, http.StatusOK, map[string]any{
		"object": "list",
		"data": []modelCard{{
			ID: s.config.Model, Object: "model", Created: created, OwnedBy: "vllm",
			Root: s.config.Model, MaxModelLen: s.config.MaxModelLen,
			Permission: []any{map[string]any{
				"id": "modelperm-" + newID(), "object": "model_permission", "created": created,
				"allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
				"allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false,
				"organization": "*", "group": nil, "is_blocking": false,
			}},
		}},
	})
}

// serverInfo answers with the part of vLLM's configuration that this server
// has, under the same names.
func (s *Server) serverInfo(w http.ResponseWriter, r *http.Request) {
	c := s.config
	format := r.URL.Query().Get("config_format")
	switch format {
	case "", "text":
		writeJSON(w, http.StatusOK, map[string]any{"vllm_config": fmt.Sprintf(
			"model='%s', max_seq_len=%d, max_num_seqs=%d, max_num_batched_tokens=%d, seed=%d, torch_profiler_dir='%s'",
			c.Model, c.MaxModelLen, c.MaxNumSeqs, c.MaxNumBatchedTokens, c.Seed, c.TraceDir)})
	case "json":
		writeJSON(w, http.StatusOK, map[string]any{"vllm_config": s.vllmConfig()})
	default:
		writeError(w, badRequest("config_format", "Input should be 'text' or 'json'"))
	}
}

func (s *Server) vllmConfig() map[string]any {
	c := s.config
	config := map[string]any{
		"model_config":     map[string]any{"model": c.Model, "max_model_len": c.MaxModelLen, "seed": c.Seed, "dtype": "torch.float32"},
		"scheduler_config": map[string]any{"max_num_seqs": c.MaxNumSeqs, "max_num_batched_tokens": c.MaxNumBatchedTokens},
		"parallel_config":  map[string]any{"tensor_parallel_size": 1, "pipeline_parallel_size": 1, "data_parallel_size": 1},
		"device_config":    map[string]any{"device_type": "cpu"},
	}
	if c.release() == V011 { // profiling was configured by the environment alone
		return config
	}
	profiler := any(nil)
	if c.TraceDir != "" {
		profiler = "torch"
	}
	config["profiler_config"] = map[string]any{
		"profiler":                     profiler,
		"torch_profiler_dir":           c.TraceDir,
		"torch_profiler_with_stack":    c.Record.Stack,
		"torch_profiler_with_flops":    c.Record.FLOPs,
		"torch_profiler_use_gzip":      !c.NoGzip,
		"torch_profiler_record_shapes": c.Record.Shapes,
		"torch_profiler_with_memory":   c.Record.Memory,
		"ignore_frontend":              c.IgnoreFrontend,
		"delay_iterations":             c.DelayIterations,
		"max_iterations":               c.MaxIterations,
	}
	return config
}
