package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// trim cuts the passes from first to last out of a file, and checks what holds
// of every cut.
func trim(t *testing.T, src string, old decoded, s *Summary, first, last int, name string) string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), name)
	result, err := Trim(t.Context(), src, dst, cutOf(s.Passes, first, last))
	if err != nil {
		t.Fatal(err)
	}
	if err := Complete(t.Context(), dst); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	checkCopy(t, old, decode(t, dst), result)
	return dst
}

// checkCopy checks by encoding/json that the new file is made of the old one's
// events, whole or clipped, with all metadata and top-level keys.
func checkCopy(t *testing.T, old, new decoded, result *TrimResult) {
	t.Helper()
	for key, value := range old.members {
		if key != "traceEvents" && string(new.members[key]) != string(value) {
			t.Errorf("%s changed to %s", key, new.members[key])
		}
	}
	if len(new.members) != len(old.members)+1 || new.members[trimKey] == nil {
		t.Errorf("top-level keys: %v", slices.Collect(maps.Keys(new.members)))
	}
	left := map[string]int{}
	meta := 0
	for _, e := range old.events {
		left[string(e.raw)]++
		if e.Ph == "M" {
			meta++
		}
	}
	clipped := 0
	for _, e := range new.events {
		checkChrome(t, e)
		if e.Ph == "M" {
			meta--
		}
		if bytes.Contains(e.Args, []byte(clippedArg)) {
			clipped++
			continue
		}
		if left[string(e.raw)]--; left[string(e.raw)] < 0 {
			t.Errorf("not in the source: %s", e.raw)
		}
	}
	if meta != 0 {
		t.Errorf("%d metadata events are missing", meta)
	}
	want := TrimResult{result.Steps, len(old.events), len(new.events), clipped}
	if *result != want {
		t.Errorf("result %+v, want %+v", *result, want)
	}
}

// checkChrome: what Chrome's format demands of an event.
func checkChrome(t *testing.T, e decodedEvent) {
	t.Helper()
	switch e.Ph {
	case "X":
		if e.TS == "" || e.Dur == "" || e.PID == nil || e.TID == nil || nanos(e.Dur) < 0 {
			t.Errorf("span without ts, dur, pid or tid: %s", e.raw)
		}
	case "s", "f":
		if e.ID == nil || e.TS == "" {
			t.Errorf("flow without id or ts: %s", e.raw)
		}
	}
}

// TestTrimCPU cuts windows out of the traces of servers on CPU: a scan of the
// new file finds exactly the passes chosen.
func TestTrimCPU(t *testing.T) {
	thorough(t)
	for _, test := range realScans {
		if !strings.Contains(test.file, "-cpu/") {
			continue
		}
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			src := shared(t, test.file)
			old, s := decode(t, src), scan(t, src, NoEvidence)
			n := len(s.Passes)
			for _, w := range [][2]int{{n / 2, n / 2}, {n / 3, n / 2}, {n / 2, n - 1}} {
				checkTrimmedScan(t, src, old, s, w[0], w[1])
			}
		})
	}
}

// TestTrimGoldens does the same with the files in testdata.
func TestTrimGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, src := range files {
		old, s := decode(t, src), scan(t, src, NoEvidence)
		for first := range s.Passes {
			checkTrimmedScan(t, src, old, s, first, len(s.Passes)-1)
			checkTrimmedScan(t, src, old, s, 0, first)
		}
	}
}

func checkTrimmedScan(t *testing.T, src string, old decoded, s *Summary, first, last int) {
	t.Helper()
	dst := trim(t, src, old, s, first, last, "x.json.gz")
	got := scan(t, dst, NoEvidence)
	want := slices.Clone(s.Passes[first : last+1])
	for i := range want {
		want[i].Index = i
	}
	if len(got.Passes) == 0 {
		t.Fatalf("passes %d to %d: none is left", first, last)
	}
	if s.Evidence == Structure && len(got.Passes) == len(want) {
		forgetBoundaries(t, want, got.Passes)
	}
	// A cut without a whole last step is as incomplete as its source.
	if !cutOf(s.Passes, first, last).Whole {
		want[len(want)-1].Whole = false
	}
	if diff := cmp.Diff(want, got.Passes); diff != "" {
		t.Errorf("passes %d to %d of %s:\n%s", first, last, src, diff)
	}
	if got.Trimmed == nil || got.Trimmed.Source != filepath.Base(src) {
		t.Errorf("%+v", got.Trimmed)
	}
}

// forgetBoundaries: under structure the passes of a trace vote on where each of
// them starts, so those of a cut may choose another gap. What they are and where
// the last ends stays.
func forgetBoundaries(t *testing.T, want, got []Pass) {
	t.Helper()
	if last := len(want) - 1; got[last].End != want[last].End {
		t.Errorf("ends at %d, not %d", got[last].End, want[last].End)
	}
	for i := range want {
		for _, p := range []*Pass{&want[i], &got[i]} {
			p.Start, p.SpanEnd, p.End = 0, 0, 0
		}
	}
}

// expectedDevice computes by encoding/json which device events and which ends
// of device flows a window has: through the runtime call of the same id.
func expectedDevice(d decoded, base, start, end int64) (device, flows []string) {
	calls := map[string]int64{}
	for _, e := range d.events {
		if e.Cat == "cuda_runtime" || e.Cat == "cuda_driver" {
			calls[string(e.args()["correlation"])] = nanos(e.TS) + base
		}
	}
	for _, e := range d.events {
		id := string(e.ID) // of a flow
		if e.Ph == "X" && e.Cat != "cpu_op" && e.Cat != "python_function" {
			id = string(e.args()["correlation"])
		}
		at, ok := calls[id]
		if !ok || at < start || at >= end {
			continue
		}
		switch {
		case e.Cat == "kernel" || e.Cat == "gpu_memcpy" || e.Cat == "gpu_memset":
			device = append(device, string(e.raw))
		case e.Cat == "ac2g" || e.Cat == "async_cpu_to_gpu":
			flows = append(flows, string(e.raw))
		}
	}
	return device, flows
}

func gotDevice(d decoded) (device, flows []string) {
	for _, e := range d.events {
		switch e.Cat {
		case "kernel", "gpu_memcpy", "gpu_memset":
			device = append(device, string(e.raw))
		case "ac2g", "async_cpu_to_gpu":
			flows = append(flows, string(e.raw))
		}
	}
	return device, flows
}

func checkDevice(t *testing.T, old decoded, dst string, s *Summary, first, last, atLeast int) {
	t.Helper()
	base, _ := parseInt(old.members["baseTimeNanoseconds"])
	wantDevice, wantFlows := expectedDevice(old, base, s.Passes[first].Start, s.Passes[last].End)
	device, flows := gotDevice(decode(t, dst))
	if len(wantDevice) < atLeast {
		t.Fatalf("only %d device events expected, less than %d", len(wantDevice), atLeast)
	}
	if diff := cmp.Diff(wantDevice, device); diff != "" {
		t.Errorf("%d device events, want %d", len(device), len(wantDevice))
	}
	if diff := cmp.Diff(wantFlows, flows); diff != "" {
		t.Errorf("%d ends of flows, want %d", len(flows), len(wantFlows))
	}
}

// TestTrimSteps cuts two of six steps out of a trace of an accelerator.
func TestTrimSteps(t *testing.T) {
	thorough(t)
	src := shared(t, "hta/diff-control.json.gz")
	old, s := decode(t, src), scan(t, src, NoEvidence)
	dst := trim(t, src, old, s, 2, 3, "x.json")
	checkDevice(t, old, dst, s, 2, 3, 1000)
}

// TestTrimOneStep keeps all device work of traces that hold one step, most of
// which runs after its span has ended.
func TestTrimOneStep(t *testing.T) {
	thorough(t)
	for file, events := range map[string]int{
		"vllm-decode-full-graph": 434, "vllm-mixed-piecewise-graph": 423, "b200-eager": 929, "sglang-decode": 558, "sglang-mixed": 534,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			src := shared(t, "tracelens/"+file+".json.gz")
			old, s := decode(t, src), scan(t, src, NoEvidence)
			dst := trim(t, src, old, s, 0, 0, "x.json.gz")
			checkDevice(t, old, dst, s, 0, 0, events)
		})
	}
}

// TestTrimGraphReplays repeats a step of one replayed graph, so that the kernels
// of each run while the host is in the next: each window has its own kernels
// only.
func TestTrimGraphReplays(t *testing.T) {
	const copies, apart = 4, 6000 // µs; the span has 2400, the kernels start after 6000
	src := shared(t, "tracelens/vllm-decode-full-graph.json.gz")
	d := decode(t, src)
	var events []json.RawMessage
	for n := range copies {
		for _, e := range d.events {
			events = append(events, moved(t, e, n, apart))
		}
	}
	d.members["traceEvents"], _ = json.Marshal(events)
	data, err := json.Marshal(d.members)
	if err != nil {
		t.Fatal(err)
	}
	src = write(t, "repeated.json", data)
	old, s := decode(t, src), scan(t, src, NoEvidence)
	if len(s.Passes) != copies {
		t.Fatalf("%d passes", len(s.Passes))
	}
	for first := range copies {
		dst := trim(t, src, old, s, first, first, "x.json")
		checkDevice(t, old, dst, s, first, first, 434)
		device, _ := gotDevice(decode(t, dst))
		if len(device) != 434 {
			t.Errorf("step %d: %d device events, want 434", first, len(device))
		}
	}
}

// moved is an event n times later, with ids of its own.
func moved(t *testing.T, e decodedEvent, n, apart int) json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(e.raw, &m); err != nil {
		t.Fatal(err)
	}
	shift := func(raw json.RawMessage, by int) json.RawMessage {
		id, ok := parseInt(raw)
		if !ok {
			return raw
		}
		return json.RawMessage(fmt.Sprint(id + int64(n*by)))
	}
	at := nanos(e.TS) + int64(n*apart)*1000
	m["ts"] = json.RawMessage(micros(at, false))
	if e.ID != nil {
		m["id"] = shift(e.ID, 1000000)
	}
	if args := e.args(); args != nil {
		for key, by := range map[string]int{"correlation": 1000000, "External id": 10000000} {
			if args[key] != nil {
				args[key] = shift(args[key], by)
			}
		}
		m["args"], _ = json.Marshal(args)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestTrimRules has one event for each rule. The window is from 100 to 200 µs.
func TestTrimRules(t *testing.T) {
	const (
		kept    = "kept"
		dropped = ""
	)
	events := []struct{ json, want string }{
		{`{"ph":"M","name":"process_name","ts":1,"pid":1,"tid":0,"args":{"name":"x"}}`, kept},
		{`{"ph":"M","name":"no time","pid":1}`, kept},
		// host
		{`{"ph":"X","cat":"cpu_op","name":"before","ts":99.999,"dur":50,"pid":1,"tid":1,"args":{"External id":1}}`, dropped},
		{`{"ph":"X","cat":"cpu_op","name":"first","ts":100,"dur":5,"pid":1,"tid":1,"args":{"External id":2}}`, kept},
		{`{"ph":"X","cat":"cpu_op","name":"other thread, over the end","ts":199,"dur":50,"pid":1,"tid":2}`, kept},
		{`{"ph":"X","cat":"cpu_op","name":"after","ts":200,"dur":5,"pid":1,"tid":1}`, dropped},
		{`{"ph":"i","cat":"cpu_instant_event","name":"[memory]","ts":150,"pid":1,"tid":1,"s":"t"}`, kept},
		{`{"ph":"i","cat":"cpu_instant_event","name":"[memory]","ts":99,"pid":1,"tid":1,"s":"t"}`, dropped},
		{`{"ph":"C","name":"counter","ts":150,"pid":1}`, kept},
		// frames
		{`{"ph":"X","cat":"python_function","name":"around","ts":50.5,"dur":500,"pid":1,"tid":1,"args":{"k":1}}`,
			`{"ph":"X","cat":"python_function","name":"around","ts":100.000,"dur":100.000,"pid":1,"tid":1,"args":{"profjob_clipped": true, "k":1}}`},
		{`{"dur":100, "ph":"X","cat":"user_annotation","name":"into","args":{},"ts":50,"pid":1,"tid":1}`,
			`{"dur":50.000, "ph":"X","cat":"user_annotation","name":"into","args":{"profjob_clipped": true},"ts":100.000,"pid":1,"tid":1}`},
		{`{"ph":"X","cat":"python_function","name":"out of","ts":"150.25","dur":"100","pid":1,"tid":1 }`,
			`{"ph":"X","cat":"python_function","name":"out of","ts":"150.250","dur":"49.750","pid":1,"tid":1 , "args": {"profjob_clipped": true}}`},
		{`{"ph":"X","cat":"python_function","name":"within","ts":150,"dur":50,"pid":1,"tid":1}`, kept},
		{`{"ph":"X","cat":"python_function","name":"ends at the start","ts":50,"dur":50,"pid":1,"tid":1}`, dropped},
		{`{"ph":"X","cat":"Trace","name":"PyTorch Profiler (0)","ts":0,"dur":1000,"pid":"Spans","tid":"x","args":{"Op count":0}}`,
			`{"ph":"X","cat":"Trace","name":"PyTorch Profiler (0)","ts":100.000,"dur":100.000,"pid":"Spans","tid":"x","args":{"profjob_clipped": true, "Op count":0}}`},
		// launches and what they launch
		{`{"ph":"X","cat":"cuda_runtime","name":"in","ts":110,"dur":1,"pid":1,"tid":1,"args":{"correlation":11}}`, kept},
		{`{"ph":"X","cat":"cuda_runtime","name":"out","ts":90,"dur":1,"pid":1,"tid":1,"args":{"correlation":12}}`, dropped},
		{`{"ph":"X","cat":"cuda_driver","name":"in","ts":111,"dur":1,"pid":1,"tid":1,"args":{"correlation":13}}`, kept},
		{`{"ph":"X","cat":"kernel","name":"late","ts":900,"dur":1,"pid":0,"tid":7,"args":{"correlation":11}}`, kept},
		{`{"ph":"X","cat":"kernel","name":"late, of the driver","ts":901,"dur":1,"pid":0,"tid":7,"args":{"correlation":13}}`, kept},
		{`{"ph":"X","cat":"kernel","name":"an earlier window's","ts":150,"dur":1,"pid":0,"tid":7,"args":{"correlation":12}}`, dropped},
		{`{"ph":"X","cat":"gpu_memcpy","name":"launch not recorded, operator in","ts":900,"dur":1,"pid":0,"tid":7,"args":{"correlation":99,"External id":2}}`, kept},
		{`{"ph":"X","cat":"gpu_memcpy","name":"launch not recorded, operator out","ts":150,"dur":1,"pid":0,"tid":7,"args":{"correlation":99,"External id":1}}`, dropped},
		{`{"ph":"X","cat":"kernel","name":"nothing recorded, in","ts":150,"dur":100,"pid":0,"tid":7,"args":{"correlation":98}}`, kept},
		{`{"ph":"X","cat":"gpu_user_annotation","name":"nothing recorded, out","ts":50,"dur":1000,"pid":0,"tid":7}`, dropped},
		// flows
		{`{"ph":"s","cat":"ac2g","name":"ac2g","id":11,"ts":110,"pid":1,"tid":1}`, kept},
		{`{"ph":"f","cat":"ac2g","name":"ac2g","id":11,"ts":900,"pid":0,"tid":7,"bp":"e"}`, kept},
		{`{"ph":"f","cat":"ac2g","name":"ac2g","id":12,"ts":150,"pid":0,"tid":7,"bp":"e"}`, dropped},
		{`{"ph":"f","cat":"ac2g","name":"ac2g","id":97,"ts":150,"pid":0,"tid":7,"bp":"e"}`, kept},
		{`{"ph":"s","cat":"fwdbwd","name":"fwdbwd","id":12,"ts":150,"pid":1,"tid":1}`, kept},
		{`{"ph":"f","cat":"fwdbwd","name":"fwdbwd","id":11,"ts":210,"pid":1,"tid":1,"bp":"e"}`, dropped},
	}
	var source, want []string
	for _, e := range events {
		source = append(source, e.json)
		switch e.want {
		case dropped:
		case kept:
			want = append(want, e.json)
		default:
			want = append(want, e.want)
		}
	}
	for name, text := range map[string]string{
		"object, base before": `{"baseTimeNanoseconds":1000000,"traceEvents":[` + strings.Join(source, ",") + `],"x":1}`,
		"object, base after":  `{"traceEvents":[` + strings.Join(source, ",") + `],"baseTimeNanoseconds":1000000}`,
		"bare array":          `[` + strings.Join(source, ",") + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			base := int64(1000000)
			if name == "bare array" {
				base = 0
			}
			dst := filepath.Join(t.TempDir(), "x.json")
			if _, err := Trim(t.Context(), write(t, "x.json", []byte(text)), dst, Cut{Start: base + 100000, End: base + 200000}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range decode(t, dst).events {
				got = append(got, string(e.raw))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTrimTwice: the mark of the first cut is kept in that of the second.
func TestTrimTwice(t *testing.T) {
	src := "testdata/vllm-0.15.1-delay1-max4-memory.json.gz"
	s := scan(t, src, NoEvidence)
	once := trim(t, src, decode(t, src), s, 0, 2, "once.json.zst.gz")
	s = scan(t, once, NoEvidence)
	twice := filepath.Join(t.TempDir(), "twice.zst")
	if _, err := Trim(t.Context(), once, twice, cutOf(s.Passes, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(twice); err != nil || string(data[:4]) != "\x28\xb5\x2f\xfd" {
		t.Errorf("not zstd: %v", err)
	}
	s = scan(t, twice, NoEvidence)
	if got := classes(s.Passes); got != "d" || s.Trimmed.Source != "once.json.zst.gz" ||
		!strings.Contains(string(s.Trimmed.Of), filepath.Base(src)) {
		t.Errorf("%s %+v", got, s.Trimmed)
	}
}

func TestTrimEmptyBareArray(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "x.json")
	if _, err := Trim(t.Context(), write(t, "x", []byte("[]")), dst, Cut{End: 1}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readAll(t, dst); err == nil || err.Error() != "EOF" {
		t.Error(err)
	}
}

func TestTrimFails(t *testing.T) {
	src := "testdata/vllm-0.32.0-four-steps.json.gz"
	s := scan(t, src, NoEvidence)
	cut := cutOf(s.Passes, 1, 2)
	plain := content(t, src)
	truncated := write(t, "truncated.json", plain[:len(plain)-100])
	same := write(t, "same.json", plain)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name     string
		ctx      context.Context
		src, dst string
		cut      Cut
		want     string
	}{
		{"window reversed", t.Context(), src, "x.json", Cut{Start: 2, End: 1}, "before its start"},
		{"same file", t.Context(), same, same, cut, "the same file"},
		{"source missing", t.Context(), "none", "x.json", cut, "no such file"},
		{"source truncated", t.Context(), truncated, "x.json", cut, ErrTruncated.Error()},
		{"folder missing", t.Context(), src, "none/x.json", cut, "no such file"},
		{"cancelled", cancelled, src, "x.json", cut, context.Canceled.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			dst := test.dst
			if !filepath.IsAbs(dst) {
				dst = filepath.Join(dir, dst)
			}
			_, err := Trim(test.ctx, test.src, dst, test.cut)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if data, err := os.ReadFile(same); err != nil || string(data) != string(plain) {
		t.Error("the source changed")
	}
}

// TestTrimFailsWhileWriting: a failed writer leaves no file.
func TestTrimFailsWhileWriting(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	if err := os.Mkdir(path, 0o700); err != nil { // cannot be replaced by a file
		t.Fatal(err)
	}
	_, err := Trim(t.Context(), "testdata/vllm-0.32.0-four-steps.json.gz", path, Cut{End: 1 << 62})
	var link *os.LinkError
	if !errors.As(err, &link) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
