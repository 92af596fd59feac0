package analysis

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/trace"
)

func TestMemory(t *testing.T) {
	c := &trace.Columns{Base: 1000, Memory: []trace.MemoryPoint{
		{At: 10, Bytes: 8, Allocated: 108, Reserved: 200, DeviceType: 1},
		{At: 15, Bytes: 4, DeviceID: -1}, // of the host nothing is counted
		{At: 20, Bytes: 50, Allocated: 158, Reserved: 256, DeviceType: 1},
		{At: 25, Bytes: 6, DeviceID: -1},
		{At: 30, Bytes: -50, Allocated: 108, Reserved: 256, DeviceType: 1},
		{At: 35, Bytes: -6, DeviceID: -1},
		{At: 60, Bytes: 8, Allocated: 116, Reserved: 256, DeviceType: 1},
	}}
	steps := []Step{{Index: 0, Start: 1000, Duration: 15}, {Index: 1, Start: 1015, Duration: 20}, {Index: 2, Start: 1040, Duration: 10}, {Index: 3, Start: 1050, Duration: 20}}
	got := memory(c, steps)
	want := []MemoryPeak{
		{Device: "cuda:0", Peak: 158, Reserved: 256, At: 1020, Step: 1, Allocated: 66, Allocations: 3},
		{Device: "cpu", Peak: 10, At: 1025, Step: 1, Allocated: 10, Allocations: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i, want := range []int64{108, 158, 108, 116} {
		if steps[i].MemoryPeak != want {
			t.Errorf("step %d: %d bytes, want %d", i, steps[i].MemoryPeak, want)
		}
	}
	if got := memory(&trace.Columns{}, steps); len(got) != 0 {
		t.Errorf("nothing was recorded: %+v", got)
	}
}
