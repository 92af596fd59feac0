package analysis

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"profjob/internal/trace"
)

func TestMemory(t *testing.T) {
	const base = 1_000_000
	steps := func() []Step {
		return []Step{
			{Index: 0, Start: base + 100, Duration: 100}, {Index: 1, Start: base + 200, Duration: 100}, {Index: 2, Start: base + 300, Duration: 50},
			{Index: 3, Start: base + 500, Duration: 100},
		}
	}
	for _, c := range []struct {
		name   string
		points []trace.MemoryPoint
		want   []MemoryPeak
		steps  []int64
	}{
		{name: "nothing recorded", steps: []int64{0, 0, 0, 0}},
		{
			name: "the allocator keeps the sum",
			points: []trace.MemoryPoint{
				{At: 50, Bytes: 10, Allocated: 1010, Reserved: 2000, DeviceType: 1}, {At: 150, Bytes: 90, Allocated: 1100, Reserved: 2000, DeviceType: 1},
				{At: 199, Bytes: -90, Allocated: 1010, Reserved: 4000, DeviceType: 1}, {At: 500, Bytes: -1000, Allocated: 10, Reserved: 2000, DeviceType: 1},
			},
			want:  []MemoryPeak{{Device: "cuda:0", Peak: 1100, Reserved: 4000, At: base + 150, Step: 0, Allocated: 100, Allocations: 2}},
			steps: []int64{1100, 1010, 1010, 1010},
		},
		{
			name: "the allocator keeps no sum: what is released was allocated before",
			points: []trace.MemoryPoint{
				{At: 110, Bytes: -30}, {At: 210, Bytes: 100, DeviceID: -1}, {At: 220, Bytes: -100, DeviceID: -1}, {At: 400, Bytes: 5, DeviceID: -1},
			},
			want:  []MemoryPeak{{Device: "cpu", Peak: 100, At: base + 210, Step: 1, Allocated: 105, Allocations: 2}},
			steps: []int64{30, 100, 0, 5},
		},
		{
			name: "two devices and the host",
			points: []trace.MemoryPoint{
				{At: 110, Bytes: 9000, Allocated: 9000, DeviceID: -1}, {At: 120, Bytes: 70, Allocated: 70, DeviceType: 20, DeviceID: 1},
				{At: 320, Bytes: 80, Allocated: 80, DeviceType: 20, DeviceID: 0},
			},
			want: []MemoryPeak{
				{Device: "cpu", Peak: 9000, At: base + 110, Allocated: 9000, Allocations: 1}, {Device: "npu:0", Peak: 80, At: base + 320, Step: 2, Allocated: 80, Allocations: 1},
				{Device: "npu:1", Peak: 70, At: base + 120, Allocated: 70, Allocations: 1},
			},
			steps: []int64{0, 0, 80, 80},
		},
		{
			name:   "all of it outside of steps",
			points: []trace.MemoryPoint{{At: 450, Bytes: 7, Allocated: 7, DeviceType: 99, DeviceID: 3}},
			want:   []MemoryPeak{{Device: "device type 99:3", Peak: 7, At: base + 450, Step: -1, Allocated: 7, Allocations: 1}},
			steps:  []int64{0, 0, 0, 7},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := steps()
			if diff := cmp.Diff(c.want, memory(&trace.Columns{Base: base, Memory: c.points}, s)); diff != "" {
				t.Error(diff)
			}
			var peaks []int64
			for _, step := range s {
				peaks = append(peaks, step.MemoryPeak)
			}
			if diff := cmp.Diff(c.steps, peaks); diff != "" {
				t.Errorf("peaks of the steps: %s", diff)
			}
		})
	}
}

// TestMemoryHostile: numbers at the ends of their range neither panic nor wrap.
func TestMemoryHostile(t *testing.T) {
	ends := []int64{math.MinInt64, -1, 0, 1, math.MaxInt64}
	for _, a := range ends {
		for _, b := range ends {
			steps := []Step{{Start: b, Duration: a}, {Start: a, Duration: b}}
			for _, m := range memory(&trace.Columns{Base: a, Memory: []trace.MemoryPoint{
				{At: a, Bytes: b, Allocated: a}, {At: b, Bytes: a, Allocated: b}, {At: a, Bytes: a, DeviceType: 1}, {At: b, Bytes: b, DeviceType: 1, DeviceID: math.MinInt32},
				{At: b, Bytes: a, DeviceType: math.MinInt32},
			}}, steps) {
				if m.Peak < 0 || m.Allocated < 0 || m.Allocations < 0 {
					t.Errorf("%d, %d: %+v", a, b, m)
				}
			}
			if steps[0].MemoryPeak < 0 || steps[1].MemoryPeak < 0 {
				t.Errorf("%d, %d: %+v", a, b, steps)
			}
		}
	}
	points := make([]trace.MemoryPoint, 2*maxMemoryDevices)
	for i := range points {
		points[i] = trace.MemoryPoint{Bytes: 1, Allocated: 1, DeviceType: 1, DeviceID: int32(i)}
	}
	if n := len(memory(&trace.Columns{Memory: points}, nil)); n != maxMemoryDevices {
		t.Errorf("%d devices, want %d", n, maxMemoryDevices)
	}
}

// TestMemoryOfTraces holds the peaks of real traces against encoding/json.
func TestMemoryOfTraces(t *testing.T) {
	for _, name := range []string{
		"vllm-cpu/v0.15.1-delay1-max4-memory.json.gz", "vllm-cpu/v0.32.0-max6-all-options.json.gz", "tracelens/mi300-qwen-train.json.gz",
		"tracelens/h100-qwen-train.json.gz",
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("reads tens of MB with encoding/json")
			}
			path := shared(t, name)
			var file struct {
				TraceEvents []struct {
					Name string          `json:"name"`
					Args json.RawMessage `json:"args"`
				} `json:"traceEvents"`
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.NewDecoder(z).Decode(&file); err != nil {
				t.Fatal(err)
			}
			want := map[string][3]int64{} // peak, count, bytes
			for _, e := range file.TraceEvents {
				if e.Name != "[memory]" {
					continue
				}
				var args struct {
					Bytes     int64 `json:"Bytes"`
					Allocated int64 `json:"Total Allocated"`
					Kind      int32 `json:"Device Type"`
					ID        int32 `json:"Device Id"`
				}
				if err := json.Unmarshal(e.Args, &args); err != nil {
					t.Fatal(err)
				}
				w := want[deviceName(args.Kind, args.ID)]
				w[0] = max(w[0], args.Allocated)
				if args.Bytes > 0 {
					w[1], w[2] = w[1]+1, w[2]+args.Bytes
				}
				want[deviceName(args.Kind, args.ID)] = w
			}
			got := map[string][3]int64{}
			for _, m := range memory(columns(t, path), nil) {
				got[m.Device] = [3]int64{m.Peak, int64(m.Allocations), m.Allocated}
			}
			t.Log(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
