package analysis

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"profjob/internal/ascend"
	"profjob/internal/trace"
)

// TestNPU: a directory of torch_npu is one trace, with the tables beside it. What its
// three steps did is the same in both.
func TestNPU(t *testing.T) {
	for name, launch := range map[string]int64{"queue_ascend_pt": 20_000, "steps_ascend_pt": 10_000} {
		path := filepath.Join("../ascend/testdata", name)
		r, err := Read(t.Context(), Input{Path: path, Name: "traces/" + name}, trace.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Trace
		if got.File != "traces/"+name || got.Rank == nil || !got.Options.Shapes || got.Problem != "" || len(got.Steps) != 3 {
			t.Fatalf("%s: %+v", name, got)
		}
		for i, s := range got.Steps {
			d := *s.Device
			want := DeviceTime{Start: d.Start, Span: 605_000, Busy: 385_000, Idle: 220_000, Compute: 280_000, Communication: 100_000, Exposed: 100_000, Copies: 5_000, Kernels: 5, Delay: d.Delay}
			if i == 0 {
				near(t, name, d.Start, 1704161511420406491)
			}
			near(t, name, d.Span, want.Span)
			near(t, name, d.Idle, want.Idle)
			near(t, name, d.Delay, 87_000)
			want.Span, want.Idle = d.Span, d.Idle
			if d != want || s.Launches != 5 || s.LaunchTime != launch {
				t.Errorf("%s: step %d: %+v, device %+v", name, i, s, d)
			}
		}
		devices := map[string]int64{}
		for _, o := range got.Total.Operators {
			if o.Device != 0 {
				devices[o.Name] = o.Device
			}
		}
		if want := (map[string]int64{"aten::mm": 600_000, "aten::embedding": 150_000, "aten::argmax": 90_000, "aten::to": 15_000, "c10d::allreduce_": 300_000}); !reflect.DeepEqual(devices, want) {
			t.Errorf("%s: time on the device %v, not %v", name, devices, want)
		}
		if len(r.Collectives) != 3 || r.Collectives[2].Step != 2 || r.Collectives[0].Name != "hcom_allReduce" {
			t.Errorf("%s: %+v", name, r.Collectives)
		}
		n := got.NPU
		if n == nil || len(n.Kernels) != 4 || n.Kernels[1].Category != collective || n.Kernels[0].Category != "gemm" || len(n.Types) != 3 || len(n.Steps) == 0 || len(n.Collectives) == 0 || n.Problems != nil {
			t.Errorf("%s: %+v", name, n)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	}
}

// near allows for what a float of µs since 1970 does not tell.
func near(t *testing.T, what string, got, want int64) {
	t.Helper()
	if got < want-250 || got > want+250 {
		t.Errorf("%s: %d, not %d", what, got, want)
	}
}

// TestNPURaw: raw data is refused with the command that makes a trace of it.
func TestNPURaw(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "h_1_2_ascend_pt")
	if err := os.MkdirAll(filepath.Join(dir, "FRAMEWORK"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Read(t.Context(), Input{Path: dir}, trace.ScanOptions{})
	if !errors.Is(err, ascend.ErrRaw) || !strings.Contains(err.Error(), ascend.Command(dir, "")) {
		t.Error(err)
	}
}

// TestNPUDamaged: a trace that the analysis did not finish, and damaged tables, give what
// could be read, and say so.
func TestNPUDamaged(t *testing.T) {
	from, dir := "../ascend/testdata/queue_ascend_pt", filepath.Join(t.TempDir(), "x_ascend_pt")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	tables := filepath.Join(dir, "ASCEND_PROFILER_OUTPUT")
	text, err := os.ReadFile(filepath.Join(tables, "trace_view.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"trace_view.json": string(text[:len(text)-3]), "kernel_details.csv": "Name,Duration(us)\nx,nan\n", "op_statistic.csv": "what\n"} {
		if err := os.WriteFile(filepath.Join(tables, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Read(t.Context(), Input{Path: dir}, trace.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Trace.Steps) != 3 || !strings.Contains(r.Trace.Problem, "truncated") || len(r.Trace.NPU.Problems) != 2 {
		t.Errorf("%d steps, %q, %q", len(r.Trace.Steps), r.Trace.Problem, r.Trace.NPU.Problems)
	}
}
