package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// profilerConfig is vLLM's --profiler-config (vllm/config/profiler.py, class
// ProfilerConfig), as far as it is imitated.
type profilerConfig struct {
	Profiler       *string `json:"profiler"`
	Dir            string  `json:"torch_profiler_dir"`
	Stack          *bool   `json:"torch_profiler_with_stack"` // on unless said otherwise
	FLOPs          bool    `json:"torch_profiler_with_flops"`
	Shapes         bool    `json:"torch_profiler_record_shapes"`
	Memory         bool    `json:"torch_profiler_with_memory"`
	Gzip           *bool   `json:"torch_profiler_use_gzip"` // likewise
	Dump           *bool   `json:"torch_profiler_dump_cuda_time_total"`
	IgnoreFrontend bool    `json:"ignore_frontend"`
	Delay          int     `json:"delay_iterations"`
	Max            int     `json:"max_iterations"`
}

// TakeProfilerConfig configures profiling as vLLM's --profiler-config does, with
// a JSON object: stacks are on unless it says otherwise, and a key that is not
// known is an error. Dialects without that flag refuse it.
func (c *Config) TakeProfilerConfig(text string) error {
	if c.release() == V011 || c.Dialect == OmniG3 {
		return fmt.Errorf("dialect %s is not configured by --profiler-config", c.Dialect)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	var p profilerConfig
	if err := d.Decode(&p); err != nil {
		return fmt.Errorf("--profiler-config: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("--profiler-config: more than one JSON value")
	}
	switch {
	case p.Profiler == nil || *p.Profiler == "none":
		return nil
	case *p.Profiler != "torch":
		return fmt.Errorf("--profiler-config: the profiler %q is not imitated", *p.Profiler)
	case p.Dir == "":
		return errors.New("--profiler-config: torch_profiler_dir must be set when profiler is 'torch'")
	}
	c.TraceDir = p.Dir
	c.Record = Record{Shapes: p.Shapes, Memory: p.Memory, FLOPs: p.FLOPs, Stack: p.Stack == nil || *p.Stack}
	c.NoGzip = p.Gzip != nil && !*p.Gzip
	c.IgnoreFrontend, c.DelayIterations, c.MaxIterations = p.IgnoreFrontend, p.Delay, p.Max
	return nil
}
