package trace

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestLastWithoutSampling stops real files where a client's stop can: right
// after the last pass's execute_model. The operators after its span are gone,
// and one step less is whole.
func TestLastWithoutSampling(t *testing.T) {
	thorough(t)
	for _, test := range realScans {
		steps := strings.Count(test.classes, "") - 1
		if test.evidence != Annotation || !strings.Contains(test.file, "-cpu/") || steps < 2 || strings.Contains(test.file, "max6") {
			continue
		}
		t.Run(test.file, func(t *testing.T) {
			path := shared(t, test.file)
			passes := scan(t, path, NoEvidence).Passes
			for len(passes) > 0 && !passes[len(passes)-1].IsStep() {
				passes = passes[:len(passes)-1]
			}
			last := passes[len(passes)-1]
			s := scan(t, stopped(t, path, last.SpanEnd), NoEvidence)
			all, whole := s.Steps()
			if want, _ := stepsOf(passes); all != len(want) || whole != all-1 || s.Passes[len(s.Passes)-1].Whole {
				t.Errorf("%s: %d of %d steps whole", classes(s.Passes), whole, all)
			}
			if structural := scan(t, stopped(t, path, last.SpanEnd), Structure).Passes; structural[len(structural)-1].Whole {
				t.Error("whole under structure")
			}
		})
	}
}

// stopped writes a trace without what starts at or after a time.
func stopped(t *testing.T, path string, at int64) string {
	t.Helper()
	d := decode(t, path)
	base, _ := parseInt(d.members["baseTimeNanoseconds"])
	var kept []json.RawMessage
	for _, e := range d.events {
		if e.Ph == "M" || nanos(e.TS)+base < at {
			kept = append(kept, e.raw)
		}
	}
	events, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	d.members["traceEvents"] = events
	data, err := json.Marshal(d.members)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "stopped.json", data)
}

// TestOnlyPass: without another pass to learn from, what chooses tokens decides.
func TestOnlyPass(t *testing.T) {
	span := [4]any{"execute_context_1(8)_generation_0(0)", "user_annotation", 10, 20}
	for _, test := range []struct {
		name   string
		events [][4]any
		whole  bool
	}{
		{"nothing after", [][4]any{span, {"aten::mm", "cpu_op", 12, 1}}, false},
		{"other operators after", [][4]any{span, {"aten::to", "cpu_op", 32, 1}}, false},
		{"sampled after", [][4]any{span, {"aten::argmax", "cpu_op", 32, 1}}, true},
		{"sampled within", [][4]any{span, {"aten::multinomial", "cpu_op", 28, 1}}, true},
		{"sampled on another pass's span", [][4]any{{"aten::argmax", "cpu_op", 2, 1}, span}, false},
		{"idle", [][4]any{{"execute_context_0(0)_generation_0(0)", "user_annotation", 10, 20}}, true},
		{"torch's own step", [][4]any{{"ProfilerStep#3", "user_annotation", 10, 20}}, true},
	} {
		s := scan(t, annotatedFile(t, test.events...), NoEvidence)
		if len(s.Passes) != 1 || s.Passes[0].Whole != test.whole {
			t.Errorf("%s: %+v", test.name, s.Passes)
		}
	}
}

// TestNoCommonTail: the tails of the earlier passes share no operator, as where
// one of them was recorded from its middle on or samples in another way.
func TestNoCommonTail(t *testing.T) {
	span := func(at int) [4]any {
		return [4]any{"execute_context_0(0)_generation_1(1)", "user_annotation", at, 20}
	}
	op := func(name string, at int) [4]any { return [4]any{name, "cpu_op", at, 1} }
	for _, test := range []struct {
		name   string
		events [][4]any
		whole  bool
	}{
		{"an earlier one samples, this one does not", [][4]any{span(100), op("aten::argmax", 125), span(200), op("aten::to", 225), span(300)}, false},
		{"other operators after this one", [][4]any{span(100), op("aten::argmax", 125), span(200), op("aten::to", 225), span(300), op("aten::copy_", 325)}, false},
		{"this one samples in another way", [][4]any{span(100), op("aten::argmax", 125), span(200), op("aten::to", 225), span(300), op("aten::multinomial", 325)}, true},
		{"this one samples within its span only", [][4]any{span(100), op("aten::argmax", 125), span(200), span(300), op("aten::argmax", 310)}, false},
		{"none samples", [][4]any{span(100), op("aten::mul", 125), span(200), op("aten::to", 225), span(300)}, true},
		{"all sample within their spans", [][4]any{span(100), op("aten::argmax", 110), span(200), op("aten::argmax", 210), span(300), op("aten::argmax", 310)}, true},
	} {
		s := scan(t, annotatedFile(t, test.events...), NoEvidence)
		if len(s.Passes) != 3 || s.Passes[2].Whole != test.whole {
			t.Errorf("%s: %+v", test.name, s.Passes)
		}
	}
}
