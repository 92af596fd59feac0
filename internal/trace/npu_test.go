package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// npuTraces are made, see the README.md beside them.
var npuTraces = []string{"queue", "steps"}

func npuTrace(name string) string {
	return "../ascend/testdata/" + name + "_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json"
}

// dump writes columns as a text, correlations and external ids by what they tie.
func dump(c *Columns) string {
	calls, operators := map[uint32]string{}, map[uint32]string{}
	for _, l := range c.Lanes {
		for s := range l.Spans() {
			at := fmt.Sprintf("%s@%d", c.Name(s.Name), s.Start)
			switch {
			case s.Kind == Launch && s.Correlation != 0:
				calls[s.Correlation] += at
			case s.Kind == Operator && s.External != 0:
				operators[s.External] += at
			}
		}
	}
	var b strings.Builder
	for _, l := range c.Lanes {
		fmt.Fprintf(&b, "%s %s (%s, %s) %v\n", l.PID, l.TID, l.Process, l.Thread, l.Device)
		for s := range l.Spans() {
			fmt.Fprintf(&b, "\t%d %d %s %d", s.Start, s.Dur, c.Name(s.Name), s.Kind)
			if s.Kind.OnDevice() {
				fmt.Fprintf(&b, " by %s of %s", calls[s.Correlation], operators[s.External])
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String()
}

// TestNPU: each task of a device has the launch and the operator that it came from, and
// what is no work is left out.
func TestNPU(t *testing.T) {
	for _, name := range npuTraces {
		c, err := ReadColumns(t.Context(), npuTrace(name))
		if err != nil {
			t.Fatal(err)
		}
		launches, operators := map[uint32]Span{}, map[uint32]Span{}
		kinds := map[Kind]int{}
		for _, l := range c.Lanes {
			for s := range l.Spans() {
				kinds[s.Kind]++
				if s.Kind == Launch && s.Correlation != 0 {
					launches[s.Correlation] = s
				} else if s.Kind == Operator && s.External != 0 {
					operators[s.External] = s
				}
			}
		}
		want := map[Kind]int{Operator: 15, Kernel: 12, Copy: 3, Launch: 30}
		prefix := "Node@launch"
		if name == "queue" {
			want[Launch], prefix = 60, "Enqueue@"
		} else {
			want[HostAnnotation] = 3
		}
		if fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("%s: kinds %v, not %v", name, kinds, want)
		}
		for _, l := range c.Lanes {
			if l.Device == (l.Process == "Python") {
				t.Errorf("%s: a lane of %s", name, l.Process)
			}
			if !l.Device {
				continue
			}
			for s := range l.Spans() {
				call, operator := launches[s.Correlation], operators[s.External]
				if !strings.HasPrefix(c.Name(call.Name), prefix) || call.Start >= s.Start || call.Start < operator.Start || call.End() > operator.End()+500 {
					t.Errorf("%s: %s of %s at %d: launched by %s at %d of %s at %d", name, c.Name(s.Name), l.Process, s.Start,
						c.Name(call.Name), call.Start, c.Name(operator.Name), operator.Start)
				}
				if got, want := c.Name(operator.Name), map[string]string{"hcom_allReduce": "c10d::allreduce_", "MEMCPY_ASYNC": "aten::to", "aclnnMm_MatMulCommon_MatMulV2": "aten::mm",
					"aclnnEmbedding_EmbeddingAiCore_Embedding": "aten::embedding", "aclnnArgMax_ArgMaxV2AiCore_ArgMaxV2": "aten::argmax"}[c.Name(s.Name)]; got != want {
					t.Errorf("%s: %s is of %s", name, c.Name(s.Name), got)
				}
			}
		}
		passes := c.Summary.Passes
		if len(passes) != 3 || passes[0].Tokens != 7 || passes[1].Tokens != 1 || !c.Summary.Activities.Device || passes[2].Name != map[string]string{"queue": "aten::embedding", "steps": "ProfilerStep#6"}[name] {
			t.Errorf("%s: %+v", name, passes)
		}
		if start := c.Summary.First + 90_000; name == "queue" && !slices.ContainsFunc(c.Lanes, func(l *Lane) bool { return l.Device && l.At(0).Start == start }) {
			t.Errorf("%s: no task starts at %d", name, start)
		}
	}
}

// TestNPUInAnyOrder: metadata, spans and arrows may come as they like.
func TestNPUInAnyOrder(t *testing.T) {
	for _, name := range npuTraces {
		text, err := os.ReadFile(npuTrace(name))
		if err != nil {
			t.Fatal(err)
		}
		var events []json.RawMessage
		if err := json.Unmarshal(text, &events); err != nil {
			t.Fatal(err)
		}
		ordered, err := ReadColumns(t.Context(), npuTrace(name))
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			shuffled, err := json.Marshal(events)
			if err != nil {
				t.Fatal(err)
			}
			c := columnsOf(t, shuffled)
			if got, want := dump(c), dump(ordered); got != want {
				t.Fatalf("%s: %s\nnot %s", name, got, want)
			}
		}
	}
}

func columnsOf(t *testing.T, text []byte) *Columns {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace_view.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadColumns(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestUncategorised: without torch_npu's processes a span without a category is none.
func TestUncategorised(t *testing.T) {
	span := `{"ph":"X","name":"x","pid":1,"tid":2,"ts":"1.5","dur":1%s}`
	process := `,{"ph":"M","name":"process_name","pid":1,"tid":0,"args":{"name":"%s"}}`
	for text, want := range map[string]string{
		"[" + fmt.Sprintf(span, "") + "]":                                                                            "",
		"[" + fmt.Sprintf(span, "") + fmt.Sprintf(process, "python") + "]":                                           "",
		"[" + fmt.Sprintf(span, "") + fmt.Sprintf(process, "Python GC") + "]":                                        "",
		"[" + fmt.Sprintf(span, "") + fmt.Sprintf(process, "Overlap Analysis") + "]":                                 "",
		"[" + fmt.Sprintf(span, "") + fmt.Sprintf(process, "CANN") + "]":                                             "1 2 (CANN, ) false\n\t1500 1000 x 1\n",
		"[" + fmt.Sprintf(span, `,"cat":null`) + fmt.Sprintf(process, "CANN") + "]":                                  "1 2 (CANN, ) false\n\t1500 1000 x 1\n",
		"[" + fmt.Sprintf(span, `,"cat":"other"`) + fmt.Sprintf(process, "CANN") + "]":                               "",
		"[" + fmt.Sprintf(span, "") + fmt.Sprintf(process, "Ascend Hardware") + "]":                                  "1 2 (Ascend Hardware, ) true\n\t1500 1000 x 3 by  of \n",
		"[" + fmt.Sprintf(span, `,"args":{"Task Type":"SDMA_SQE"}`) + fmt.Sprintf(process, "Ascend Hardware"):        "1 2 (Ascend Hardware, ) true\n\t1500 1000 x 4 by  of \n",
		"[" + fmt.Sprintf(span, `,"args":{"Task Type":"NOTIFY_WAIT_SQE"}`) + fmt.Sprintf(process, "Ascend Hardware"): "",
		"[" + fmt.Sprintf(span, "") + fmt.Sprintf(process, "HCCL") + "]":                                             "",
	} {
		if !strings.HasSuffix(text, "]") {
			text += "]"
		}
		if got := dump(columnsOf(t, []byte(text))); got != want {
			t.Errorf("%s: %q, not %q", text, got, want)
		}
	}
}

func TestEmbeddedTokensText(t *testing.T) {
	for dims, want := range map[string]int64{
		`"151936,896;7;;"`:              7,
		`"151936,896;\r\n2,8;\r\n"`:     16,
		`"[[151936,896],[5]]"`:          5,
		`"151936,896"`:                  NotKnown,
		`"151936,896;"`:                 NotKnown,
		`"151936,896;x;"`:               NotKnown,
		`"151936,896;-1;"`:              NotKnown,
		`"1;1073741824,1073741824,9;"`:  NotKnown,
		`""`:                            NotKnown,
		`"[\"[1,2]\""`:                  NotKnown,
		`"1;99999999999999999999999;;"`: NotKnown,
	} {
		if got := embeddedTokens([]byte(dims)); got != want {
			t.Errorf("%s: %d, not %d", dims, got, want)
		}
	}
}

// FuzzNPU: whatever stands in such a trace, its lanes are in order, have the kinds that
// there are, and what is tied together is of the right kinds.
func FuzzNPU(f *testing.F) {
	for _, name := range npuTraces {
		text, err := os.ReadFile(npuTrace(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		lines := bytes.Split(text, []byte("\n"))
		f.Add(append(bytes.Join(lines[len(lines)-40:], []byte("\n")), ']'))
	}
	path := filepath.Join(f.TempDir(), "trace_view.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		os.Remove(path) // ext4 waits for the disk where a file is written over
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadColumns(t.Context(), path)
		if c == nil {
			if err == nil {
				t.Fatal("neither columns nor an error")
			}
			return
		}
		for _, l := range c.Lanes {
			before := int64(-1 << 62)
			for s := range l.Spans() {
				if s.Start < before || s.Dur < 0 || s.Kind > DeviceAnnotation || int(s.Name) >= len(c.Names) || l.Device != (s.Kind.OnDevice() || s.Kind == DeviceAnnotation) {
					t.Fatalf("%+v after %d on %+v", s, before, l)
				}
				before = s.Start
			}
		}
	})
}
