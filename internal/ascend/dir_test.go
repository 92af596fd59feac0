package ascend

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestIs(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a" + Suffix, "renamed/" + output, "raw/FRAMEWORK", "cann/PROF_000001_20230628101435646_FKFLNPEPPRRCFCBA", "run/traces", "PROF_x"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file"+Suffix)
	write(t, file, "")
	for path, want := range map[string]bool{"a" + Suffix: true, "a" + Suffix + "/": true, "renamed": true, "raw": true, "cann": true,
		"run": false, ".": false, "file" + Suffix: false, "nowhere" + Suffix: false} {
		if got := Is(dir + "/" + path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rank(n int) *int { return &n }

func TestRead(t *testing.T) {
	const group = "13681369207305868844"
	allReduce := Collective{Name: "hcom_allReduce", Group: group, Count: 3, Elapsed: 300_000, Transit: 60_080, Wait: 44_820, Synchronize: 21_420, Idle: 133_980}
	for name, want := range map[string]*Dir{
		"queue": {
			Info: Info{Rank: rank(0), Level: "Level1", Shapes: true},
			Kernels: []Kernel{{"MatMulV2", "AI_CORE", 3, 600_000, 450_000, 200_000}, {"hcom_allReduce_", "HCCL", 3, 300_000, 60_000, 100_000},
				{"Embedding", "AI_VECTOR_CORE", 3, 150_000, 0, 50_000}, {"ArgMaxV2", "AI_VECTOR_CORE", 3, 90_000, 450_750, 30_000}},
			Types: []Type{{"MatMulV2", "AI_CORE", 3, 600_000, 0, 200_000, 0}, {"Embedding", "AI_VECTOR_CORE", 3, 150_000, 0, 50_000, 0}, {"ArgMaxV2", "AI_VECTOR_CORE", 3, 90_000, 0, 30_000, 0}},
			Operators: []Operator{{"aten::mm", 3, 108_000, 120_000, 600_000, 600_000, 600_000}, {"aten::embedding", 3, 48_000, 60_000, 150_000, 150_000, 0},
				{"aten::argmax", 3, 48_000, 60_000, 90_000, 90_000, 0}},
			Steps:       []Step{{Computing: 840_000, Communication: 300_000, Exposed: 300_000, Free: 1_440_000, Stage: 2_580_000}},
			Collectives: []Collective{allReduce, {Name: "hcom_send", Group: group, PointToPoint: true, Count: 1, Elapsed: 19_580, Wait: 1_640}},
		},
		"steps": {
			Info: Info{Rank: rank(1), TorchNPU: "2.7.1", CANN: "8.3.RC1", Level: "Level1", Shapes: true, Stack: true},
			Kernels: []Kernel{{"MatMulV2", "AI_CORE", 3, 600_000, 450_000, 200_000}, {"hcom_allReduce_", "COMMUNICATION", 3, 300_000, 60_000, 100_000},
				{"Embedding", "AI_VECTOR_CORE", 3, 150_000, 0, 50_000}, {"ArgMaxV2", "AI_VECTOR_CORE", 3, 90_000, 450_750, 30_000}},
			Types: []Type{{"MatMulV2", "AI_CORE", 3, 600_000, 200_000, 200_000, 200_000}, {"Embedding", "AI_VECTOR_CORE", 3, 150_000, 50_000, 50_000, 50_000},
				{"ArgMaxV2", "AI_VECTOR_CORE", 3, 90_000, 30_000, 30_000, 30_000}},
			Steps: []Step{{"0", "4", 280_000, 100_000, 100_000, 0, 200_500, 580_500, 0, 90_125}, {"0", "5", 280_000, 100_000, 100_000, 0, 200_500, 580_500, 0, 90_125},
				{"0", "6", 280_000, 100_000, 100_000, 0, 200_500, 580_500, 0, 90_125}},
			Collectives: []Collective{allReduce},
			Missing:     []string{"operator_details.csv"},
		},
	} {
		want.Path = "testdata/" + name + Suffix
		want.Trace = want.Path + "/" + output + "/" + TraceName
		got, err := Read(t.Context(), want.Path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nnot %+v", name, got, want)
		}
	}
}

// TestReadNoTrace: what has no trace says why, and what to do.
func TestReadNoTrace(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "h_1_2"+Suffix)
	write(t, raw+"/profiler_info_3.json", "{}")
	write(t, raw+"/PROF_000001_20230628101435646_FKFLNPEPPRRCFCBA/host/info.json", "{}")
	write(t, raw+"/FRAMEWORK/torch.op_range", "")
	db := filepath.Join(dir, "db"+Suffix)
	write(t, db+"/"+output+"/ascend_pytorch_profiler_0.db", "")
	empty := filepath.Join(dir, "empty"+Suffix)
	write(t, empty+"/x", "")
	for path, want := range map[string]struct {
		is    error
		parts []string
	}{
		raw:   {ErrRaw, []string{"FRAMEWORK", "PROF_000001", Command(raw, "")}},
		db:    {ErrNoTrace, []string{output, `export_type="text"`}},
		empty: {ErrNoTrace, []string{"neither"}},
	} {
		_, err := Read(t.Context(), path)
		if !errors.Is(err, want.is) {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, part := range append(want.parts, path) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: no %q in %v", path, part, err)
			}
		}
	}
}

// TestCommand: a shell gives python what was meant, whatever the path.
func TestCommand(t *testing.T) {
	bin := t.TempDir()
	write(t, bin+"/python3", "#!/bin/sh\nprintf '%s|%s' \"$1\" \"$2\"\n")
	if err := os.Chmod(bin+"/python3", 0o700); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"/traces/h_1_2_ascend_pt": `-c|from torch_npu.profiler.profiler import analyse; analyse(profiler_path="/traces/h_1_2_ascend_pt")`,
		`a'b" $x \y`:              `-c|from torch_npu.profiler.profiler import analyse; analyse(profiler_path="a'b\" $x \\y")`,
		"é\x1b":                   `-c|from torch_npu.profiler.profiler import analyse; analyse(profiler_path="\u00e9\x1b")`,
	} {
		shell := exec.Command("/bin/sh", "-c", Command(dir, ""))
		shell.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
		got, err := shell.CombinedOutput()
		if err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", dir, got, err)
		}
	}
}

func TestReadInfo(t *testing.T) {
	for text, want := range map[string]Info{
		`{"rank_id": 2}`:     {Rank: rank(2)},
		`{"rank_id": -1}`:    {Rank: rank(7)},
		`{"rank_id": null}`:  {Rank: rank(7)},
		`{"rank_id": "two"}`: {Rank: rank(7)},
		`{"config": {"common_config": {"with_flops": true, "record_shapes": "yes"}}, "torch_npu_version": 2}`: {Rank: rank(7), FLOPs: true},
	} {
		d := &Dir{Path: t.TempDir()}
		write(t, d.Path+"/profiler_info_7.json", text)
		if d.readInfo("profiler_info_7.json"); !reflect.DeepEqual(d.Info, want) || d.Problems != nil {
			t.Errorf("%s: %+v %v", text, d.Info, d.Problems)
		}
	}
	d := &Dir{Path: t.TempDir()}
	write(t, d.Path+"/profiler_info.json", `{"rank_id": 2`)
	if d.readInfo("profiler_info.json"); len(d.Problems) != 1 || d.Info.Rank != nil {
		t.Errorf("%+v", d)
	}
}

func TestReadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, "testdata/queue"+Suffix); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
