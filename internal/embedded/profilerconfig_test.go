package embedded

import (
	"strings"
	"testing"
)

func TestTakeProfilerConfig(t *testing.T) {
	torch := func(more string) string { return `{"profiler":"torch","torch_profiler_dir":"/x"` + more + `}` }
	for _, tc := range []struct {
		dialect Dialect
		text    string
		want    Config // what is compared below
		refused string // a part of why
	}{
		{V032, torch(""), Config{TraceDir: "/x", Record: Record{Stack: true}}, ""},
		{V015, torch(`,"torch_profiler_with_stack":false,"torch_profiler_record_shapes":true,"torch_profiler_use_gzip":false,"ignore_frontend":true,"delay_iterations":2,"max_iterations":5`),
			Config{TraceDir: "/x", Record: Record{Shapes: true}, NoGzip: true, IgnoreFrontend: true, DelayIterations: 2, MaxIterations: 5}, ""},
		{OmniG4, torch(`,"torch_profiler_with_memory":true,"torch_profiler_with_flops":true`), Config{TraceDir: "/x", Record: Record{Stack: true, Memory: true, FLOPs: true}}, ""},
		{OmniG5, `{}`, Config{}, ""},
		{OmniG5, `{"profiler":null,"torch_profiler_dir":"/x"}`, Config{}, ""},
		{OmniG5, torch(`,"torch_profiler_with_stacks":true`), Config{}, `unknown field "torch_profiler_with_stacks"`},
		{OmniG5, `{"profiler":"torch"}`, Config{}, "torch_profiler_dir must be set"},
		{OmniG5, `{"profiler":"cuda"}`, Config{}, `"cuda" is not imitated`},
		{V032, `{"max_iterations":"5"}`, Config{}, "max_iterations"},
		{V032, `{} {}`, Config{}, "more than one"},
		{V032, `torch`, Config{}, "--profiler-config: "},
		{V011, torch(""), Config{}, "not configured by"},
		{OmniG2, torch(""), Config{}, "not configured by"},
		{OmniG3, torch(""), Config{}, "not configured by"},
	} {
		c := Config{Dialect: tc.dialect}
		err := c.TakeProfilerConfig(tc.text)
		if (err != nil) != (tc.refused != "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
			t.Errorf("%s %s: %v, want %q", tc.dialect, tc.text, err, tc.refused)
		}
		if w := tc.want; c.TraceDir != w.TraceDir || c.Record != w.Record || c.NoGzip != w.NoGzip || c.IgnoreFrontend != w.IgnoreFrontend ||
			c.DelayIterations != w.DelayIterations || c.MaxIterations != w.MaxIterations {
			t.Errorf("%s %s: %+v", tc.dialect, tc.text, c)
		}
	}
}
