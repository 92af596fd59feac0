package trace

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// spliced is a trace of one thread made of the operators of passes of real files,
// one after the other. A part is a file's name, with "+" where the sampling that its
// annotation leaves out is to be added. It has no annotations.
func spliced(t *testing.T, parts ...string) string {
	t.Helper()
	type event struct {
		Name string          `json:"name"`
		Cat  string          `json:"cat"`
		Ph   string          `json:"ph"`
		TS   float64         `json:"ts"`
		Dur  float64         `json:"dur"`
		PID  int             `json:"pid"`
		TID  int             `json:"tid"`
		Args json.RawMessage `json:"args,omitempty"`
	}
	var all []event
	at := 0.0
	for _, part := range parts {
		path := shared(t, strings.TrimSuffix(part, "+"))
		pass := scan(t, path, NoEvidence).Passes[0]
		d := decode(t, path)
		base, _ := parseInt(d.members["baseTimeNanoseconds"])
		last := at
		for _, e := range d.events {
			pid, tid := strings.Trim(string(e.PID), `"`), strings.Trim(string(e.TID), `"`)
			start := nanos(e.TS) + base
			if e.Ph != "X" || pid != pass.PID || tid != pass.TID || e.Cat != "cpu_op" && !isLaunch([]byte(e.Cat)) || start < pass.Start || start >= pass.End {
				continue
			}
			args, err := json.Marshal(map[string]json.RawMessage{"Input Dims": e.args()["Input Dims"]})
			if err != nil {
				t.Fatal(err)
			}
			ts, dur := at+float64(start-pass.Start)/1000, float64(nanos(e.Dur))/1000
			all = append(all, event{e.Name, e.Cat, "X", ts, dur, 1, 1, args})
			last = max(last, ts+dur)
		}
		if strings.HasSuffix(part, "+") {
			all = append(all, event{Name: "aten::argmax", Cat: "cpu_op", Ph: "X", TS: last + 5, Dur: 20, PID: 1, TID: 1})
			last += 25
		}
		at = last + 500
	}
	data, err := json.Marshal(map[string]any{"traceEvents": all})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "spliced.json", data)
}

// TestGraphsAmongEager: passes that are replayed from graphs and such that are not,
// in one trace, as real files have them.
func TestGraphsAmongEager(t *testing.T) {
	const full, piecewise = "tracelens/vllm-decode-full-graph.json.gz+", "tracelens/vllm-mixed-piecewise-graph.json.gz+"
	const eager, graph = "tracelens/sglang-mixed.json.gz", "tracelens/sglang-decode.json.gz"
	for name, parts := range map[string][]string{
		"full graphs":                 {full, full, full},
		"piecewise graphs":            {piecewise, piecewise, piecewise},
		"both":                        {piecewise, full, full, piecewise, full},
		"graphs after an eager pass":  {eager, graph, graph, graph},
		"eager passes between graphs": {graph, eager, graph, graph, eager, eager, graph},
	} {
		t.Run(name, func(t *testing.T) {
			s := scan(t, spliced(t, parts...), Structure)
			if len(s.Passes) != len(parts) {
				t.Errorf("%d passes, want %d: %s", len(s.Passes), len(parts), tokens(s.Passes))
			}
		})
	}
}

// TestGraphMarkers: what counts as a pass where graphs are replayed. E is a look-up
// of tokens, G the launch of a graph, s the choice of tokens, f the operators of a
// forward without either.
func TestGraphMarkers(t *testing.T) {
	for _, test := range []struct {
		name, trace string
		passes      int
	}{
		{"full graphs", "GsGsGs", 3},
		{"eager prefills among them", "EsGsGsEs", 4},
		{"piecewise graphs", "GGGGsGsGGGGs", 3},
		{"a look-up before the pieces", "EGGGsGs", 2},
		{"a look-up among the pieces", "GEGGsGs", 2},
		{"compiled, without a graph", "GsfsGs", 3},
		{"compiled, the first pass", "fsGs", 2},
		{"compiled, all of the others", "fsfsfsGs", 4},
		{"compiled, not sampled any more", "GsGsf", 2},
		{"sampled twice", "GssGssGss", 3},
		{"begins with the sampling of another", "sGsGs", 2},
		{"eager only: a forward between samplings is one", "EsfsEs", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var events [][4]any
			at := 0
			add := func(name, cat string) {
				events = append(events, [4]any{name, cat, at, 1})
				at += 2
			}
			for _, c := range test.trace {
				switch c {
				case 'E':
					add("aten::embedding", "cpu_op")
				case 'G':
					add("cudaGraphLaunch", "cuda_runtime")
				case 's':
					add("aten::argmax", "cpu_op")
					at += 50
				case 'f':
					for i := range 150 {
						add(fmt.Sprintf("triton_%d", i%7), "cpu_op")
					}
				}
			}
			s := scan(t, annotatedFile(t, events...), Structure)
			if len(s.Passes) != test.passes {
				t.Errorf("%d passes, want %d", len(s.Passes), test.passes)
			}
		})
	}
}

// Without an operator that chooses tokens, look-ups and launches in one thread do
// not tell the passes.
func TestGraphsWithoutSampling(t *testing.T) {
	path := annotatedFile(t, [4]any{"aten::embedding", "cpu_op", 1, 1}, [4]any{"cudaGraphLaunch", "cuda_runtime", 10, 1},
		[4]any{"cudaGraphLaunch", "cuda_runtime", 20, 1}, [4]any{"aten::embedding", "cpu_op", 30, 1})
	if s := scan(t, path, Structure); len(s.Passes) != 0 {
		t.Errorf("%d passes", len(s.Passes))
	}
}
