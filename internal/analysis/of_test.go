package analysis

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/trace"
)

// twoSteps is a prefill that launches work on both of its threads, and a decode that
// replays a graph. The kernels run late: some of the prefill's when the decode is
// there already, the graph's after everything on the host.
func twoSteps() *made {
	m := &made{}
	m.step("execute_context_1(100)_generation_0(0)", 100, 80)
	m.op("outer", "main", 110, 60)
	m.op("inner", "main", 120, 20)
	m.call("cudaLaunchKernel", "main", 125, 5, 1)
	m.op("inner", "main", 150, 10)
	m.call("cudaStreamSynchronize", "main", 162, 3, 2)
	m.op("worker", "other", 160, 90)
	m.call("cudaLaunchKernel", "other", 190, 4, 3)
	m.step("execute_context_0(0)_generation_2(2)", 200, 50)
	m.call("cudaGraphLaunch", "main", 210, 20, 4)
	m.op("sample", "main", 240, 8)

	m.kernel("gemm", 7, 150, 30, 1)
	m.kernel("ncclDevKernel_AllReduce", 8, 170, 40, 3)
	m.kernel("gemm", 7, 300, 10, 4)
	m.kernel("norm", 7, 320, 2, 4)
	return m
}

func TestSteps(t *testing.T) {
	const s = 1_000_000_000_000
	r := twoSteps().read(t)
	want := []Step{{
		Index: 0, Name: "execute_context_1(100)_generation_0(0)", Class: trace.Prefill, Requests: 1, Tokens: 100,
		ContextTokens: 100, Whole: true, Start: s + 100_000, Span: 80_000, Duration: 100_000,
		OperatorTime: 60_000, LaunchTime: 5_000, Launches: 2,
		Device: &DeviceTime{Start: s + 150_000, Span: 60_000, Busy: 60_000, Compute: 30_000,
			Communication: 40_000, Exposed: 30_000, Kernels: 2, Delay: 25_000},
	}, {
		Index: 1, Name: "execute_context_0(0)_generation_2(2)", Class: trace.Decode, Requests: 2, Tokens: 2,
		GenerationTokens: 2, Whole: r.Trace.Steps[1].Whole, Start: s + 200_000, Span: 50_000, Duration: r.Trace.Steps[1].Duration,
		OperatorTime: 28_000, LaunchTime: 20_000, Launches: 1,
		Device: &DeviceTime{Start: s + 300_000, Span: 22_000, Busy: 12_000, Idle: 10_000, Compute: 12_000, Kernels: 2, Delay: 90_000},
	}}
	if diff := cmp.Diff(want, r.Trace.Steps); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Collective{{"ncclDevKernel_AllReduce", 0, s + 170_000, s + 210_000}}, r.Collectives); diff != "" {
		t.Error(diff)
	}
}

func TestGroups(t *testing.T) {
	r := twoSteps().read(t)
	total := &r.Trace.Total
	for _, c := range []struct {
		name string
		want Operator
	}{
		{"outer", Operator{Count: 1, Self: 27_000, Total: 60_000, PerStep: []int64{27_000, 0}}},
		{"inner", Operator{Count: 2, Self: 25_000, Total: 30_000, Device: 30_000, PerStep: []int64{25_000, 0}}},
		{"worker", Operator{Count: 1, Self: 86_000, Total: 90_000, Device: 40_000, PerStep: []int64{86_000, 0}}},
		{"sample", Operator{Count: 1, Self: 8_000, Total: 8_000, PerStep: []int64{0, 8_000}}},
		{"cudaLaunchKernel", Operator{Category: "launch", Count: 2, Self: 9_000, Total: 9_000, PerStep: []int64{9_000, 0}}},
		{"cudaGraphLaunch", Operator{Category: "launch", Count: 1, Self: 20_000, Total: 20_000, PerStep: []int64{0, 20_000}}},
		{"cudaStreamSynchronize", Operator{Category: "runtime", Count: 1, Self: 3_000, Total: 3_000, PerStep: []int64{3_000, 0}}},
	} {
		got := total.operator(c.name)
		c.want.Name = c.name
		if c.want.Category == "" {
			c.want.Category = OperatorCategory(c.name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
	gemm := Kernel{Name: "gemm", Category: KernelCategory("gemm", trace.Kernel), Count: 2, Time: 40_000, Min: 10_000, Max: 30_000, PerStep: []int64{30_000, 10_000}}
	if diff := cmp.Diff(gemm, total.kernel("gemm")); diff != "" {
		t.Error(diff)
	}
	launch := &Launching{Calls: 3, Time: 29_000, Delay: Spread{3, 95_000, -20_000, 25_000, 90_000, 90_000, 90_000}}
	if diff := cmp.Diff(launch, total.Launch); diff != "" {
		t.Error(diff)
	}
	if got := total.Device; got.Span != 172_000 || got.Busy != 72_000 || got.Kernels != 4 {
		t.Errorf("device in all: %+v", got)
	}
	if len(r.Trace.Classes) != 2 {
		t.Fatalf("%d classes", len(r.Trace.Classes))
	}
	prefill, decode := r.Trace.Classes[0], r.Trace.Classes[1]
	if prefill.Class != trace.Prefill || decode.Class != trace.Decode || prefill.Steps != 1 || prefill.Batches[0].Batch != "100" || decode.Batches[0].BatchOf != "tokens" {
		t.Errorf("classes: %+v\n%+v", prefill, decode)
	}
	if prefill.kernel("gemm").Count != 1 || decode.kernel("gemm").Time != 10_000 || decode.kernel("norm").Time != 2_000 || decode.Batches[0].kernel("norm").Count != 1 {
		t.Errorf("kernels of classes: %+v\n%+v", prefill.Kernels, decode.Kernels)
	}
	want := []Part{{"host", 40_000}, {"compute", 30_000}, {"communication", 30_000}}
	if diff := cmp.Diff(largestFirst(want), prefill.Share); diff != "" {
		t.Error(diff)
	}
}

// TestAttribution is about device work whose launch is not to be seen in the trace.
func TestAttribution(t *testing.T) {
	base := func() *made {
		m := &made{}
		m.step("execute_context_1(100)_generation_0(0)", 100, 80)
		m.add("cpu_op", "first", "main", 110, 60, `"External id":11`)
		m.step("execute_context_0(0)_generation_2(2)", 200, 50)
		m.add("cpu_op", "second", "main", 210, 30, `"External id":12`)
		return m
	}
	for _, c := range []struct {
		name  string
		args  string
		start float64
		step  int
		owner string
	}{
		{"nothing", ``, 205, 1, ""},
		{"nothing, before all steps", ``, 50, nowhere, ""},
		{"its own time though its correlation is no call's", `"correlation":5`, 150, 0, ""},
		{"external id", `"correlation":5,"External id":11`, 205, 0, "first"},
		{"external id alone", `"External id":12`, 105, 1, "second"},
		{"external id of nothing", `"External id":13`, 105, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := base()
			m.add("kernel", "k", 7, c.start, 5, c.args)
			r := m.read(t)
			for i, s := range r.Trace.Steps {
				if (s.Device != nil) != (i == c.step) {
					t.Errorf("step %d: device %+v", i, s.Device)
				}
			}
			if c.owner != "" && r.Trace.Total.operator(c.owner).Device != 5_000 {
				t.Errorf("operator: %+v", r.Trace.Total.operator(c.owner))
			}
			if got := r.Trace.Total.kernel("k"); got.Count != 1 {
				t.Errorf("in all: %+v", got)
			}
		})
	}
}

// TestNested is about calls within calls.
func TestNested(t *testing.T) {
	m := &made{}
	m.op("same", 1, 0, 100)
	m.op("same", 1, 10, 50)
	m.op("between", 1, 20, 30)
	m.op("same", 1, 25, 10)
	m.op("too long", 1, 90, 50) // beyond the one around it
	m.call("cudaLaunchKernelExC", 1, 200, 10, 5)
	m.call("cuLaunchKernelEx", 1, 202, 5, 5) // the driver's call, in some versions with the same id
	m.kernel("k", 7, 300, 1, 5)
	m.add("cpu_op", "aten::linear", 1, 400, 10, "")
	r := m.read(t)
	g := &r.Trace.Total
	for name, want := range map[string][3]int64{
		"same": {3, 70_000, 100_000}, "between": {1, 20_000, 30_000}, "too long": {1, 10_000, 10_000},
		"cudaLaunchKernelExC": {1, 5_000, 10_000}, "cuLaunchKernelEx": {1, 5_000, 5_000},
	} {
		o := g.operator(name)
		if got := [3]int64{int64(o.Count), o.Self, o.Total}; got != want {
			t.Errorf("%s: count, self, total %v, want %v", name, got, want)
		}
	}
	if g.Launch.Calls != 1 || g.Launch.Time != 10_000 || g.Launch.Delay.Sum != 100_000 || g.Launch.Short != 1 {
		t.Errorf("launch: %+v", g.Launch)
	}
	if r.Trace.Steps == nil || r.Trace.Classes == nil || len(g.Share) == 0 {
		t.Errorf("of a trace without steps: %v, %v, share %v", r.Trace.Steps, r.Trace.Classes, g.Share)
	}
}

func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		tokens []int64
		want   string
	}{
		{"few", []int64{4, 4, 8, 2}, "[2×1 4×2 8×1]"},
		{"not known of some", []int64{4, NotKnown, 8}, "[4×1 8×1]"},
		{"many", []int64{0, 1, 2, 3, 4, 5, 64, 65, 127, 128}, "[0×1 1×1 2..3×2 4..7×2 64..127×3 128..255×1]"},
		{"eight and one not known", []int64{1, 2, 3, 4, 5, 6, 7, 8, NotKnown}, "[1×1 2×1 3×1 4×1 5×1 6×1 7×1 8×1]"},
		{"none known", []int64{NotKnown, NotKnown}, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps := make([]Step, len(c.tokens))
			for i, n := range c.tokens {
				steps[i] = Step{Class: trace.Decode, Tokens: n, Requests: NotKnown}
			}
			g := groupingOf(steps)
			count := map[int32]int{}
			for _, l := range g.leafOf {
				count[l]++
			}
			got := []string{}
			for i, l := range g.leaves {
				if l.batch != "" {
					got = append(got, fmt.Sprintf("%s×%d", l.batch, count[int32(i)]))
				}
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

func TestPartsOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		duration int64
		device   *DeviceTime
		want     deviceParts
	}{
		{"no device", 10, nil, deviceParts{host: 10}},
		{"device within", 100, &DeviceTime{Span: 60, Busy: 50, Idle: 10, Compute: 30, Communication: 15, Exposed: 12, Copies: 20},
			deviceParts{compute: 30, communication: 12, copies: 8, idle: 10, host: 40}},
		{"device longer", 100, &DeviceTime{Span: 200, Busy: 150, Idle: 50, Compute: 100, Exposed: 31, Copies: 19},
			deviceParts{compute: 50, communication: 15, copies: 9, idle: 26}},
		{"device longer and never idle", 10, &DeviceTime{Span: 30, Busy: 30, Compute: 10, Exposed: 10, Copies: 10},
			deviceParts{compute: 4, communication: 3, copies: 3}},
		{"no duration", 0, &DeviceTime{Span: 30, Busy: 30, Compute: 30}, deviceParts{}},
	} {
		if got := partsOf(c.duration, c.device); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
