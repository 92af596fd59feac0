package analysis

import (
	"cmp"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"profjob/internal/trace"
)

// plainEvent is an event as encoding/json reads it.
type plainEvent struct {
	Ph, Cat, Name string
	TS, Dur       json.Number
	Args          struct {
		Correlation json.Number `json:"correlation"`
	}
}

func (e *plainEvent) onDevice() bool {
	return e.Cat == "kernel" || e.Cat == "gpu_memcpy" || e.Cat == "gpu_memset"
}

// span is exact: µs with three decimals to ns.
func (e *plainEvent) span() (start, end int64) {
	ns := func(n json.Number) int64 {
		r, ok := new(big.Rat).SetString(string(n))
		if !ok {
			return 0
		}
		r.Mul(r, big.NewRat(1000, 1))
		return new(big.Int).Quo(r.Num(), r.Denom()).Int64()
	}
	start = ns(e.TS)
	return start, start + ns(e.Dur)
}

func plainEvents(t *testing.T, path string) []plainEvent {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ TraceEvents []json.RawMessage }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var events []plainEvent
	for _, raw := range file.TraceEvents {
		var e plainEvent
		if json.Unmarshal(raw, &e) == nil && e.Ph == "X" { // else an arrow or a label
			events = append(events, e)
		}
	}
	return events
}

// busy is for how long any of the spans was, in another way than by a sweep: by the
// ends of spans that were counted.
func busy(spans [][2]int64) (sum int64) {
	slices.SortFunc(spans, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	edges := map[int64]int{}
	for _, s := range spans {
		edges[s[0]]++
		edges[s[1]]--
	}
	var times []int64
	for at := range edges {
		times = append(times, at)
	}
	slices.Sort(times)
	open := 0
	for i, at := range times {
		if open > 0 {
			sum += at - times[i-1]
		}
		open += edges[at]
	}
	return sum
}

// TestTotals holds the sums against those that encoding/json and maps make.
func TestTotals(t *testing.T) {
	eachShared(t, func(t *testing.T, path string) {
		r, err := Read(t.Context(), Input{Path: path}, trace.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checkKernels(t, &r.Trace.Total, plainEvents(t, path))
		checkParts(t, &r.Trace)
	})
}

func checkKernels(t *testing.T, g *Group, events []plainEvent) {
	t.Helper()
	rows, categories := map[string]Kernel{}, map[string]Category{}
	calls, counts := map[string]bool{}, map[string]int{}
	var spans [3][][2]int64 // of all, of compute, of communication
	for i := range events {
		e := &events[i]
		if e.Cat == "cpu_op" || strings.HasSuffix(e.Cat, "_runtime") || strings.HasSuffix(e.Cat, "_driver") {
			counts[e.Name]++
		}
		if !e.onDevice() {
			continue
		}
		start, end := e.span()
		kind := map[string]trace.Kind{"kernel": trace.Kernel, "gpu_memcpy": trace.Copy, "gpu_memset": trace.Fill}[e.Cat]
		k, ok := rows[e.Name]
		if !ok {
			k = Kernel{Name: e.Name, Category: KernelCategory(e.Name, kind), Min: end - start}
		}
		k.Count, k.Time, k.Min, k.Max = k.Count+1, k.Time+end-start, min(k.Min, end-start), max(k.Max, end-start)
		rows[e.Name] = k
		c := categories[k.Category]
		categories[k.Category] = Category{k.Category, c.Count + 1, c.Time + end - start}
		spans[0] = append(spans[0], [2]int64{start, end})
		if kind == trace.Kernel && k.Category == "communication" {
			spans[2] = append(spans[2], [2]int64{start, end})
		} else if kind == trace.Kernel {
			spans[1] = append(spans[1], [2]int64{start, end})
		}
		calls[string(e.Args.Correlation)] = true
	}
	for _, k := range g.Kernels {
		k.PerStep = nil
		if diff := gocmp.Diff(rows[k.Name], k); diff != "" {
			t.Errorf("kernel: %s", diff)
		}
	}
	for _, o := range g.Operators {
		if o.Count != counts[o.Name] {
			t.Errorf("%s: counted %d, want %d", o.Name, o.Count, counts[o.Name])
		}
	}
	if got, want := len(g.Kernels)+len(g.Operators)+g.LeftOut, len(rows)+len(counts); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
	for _, c := range g.Categories {
		if c != categories[c.Name] {
			t.Errorf("category %+v, want %+v", c, categories[c.Name])
		}
	}
	if g.Device == nil {
		if len(spans[0]) > 0 {
			t.Error("no device")
		}
		return
	}
	got := [4]int64{g.Device.Busy, g.Device.Compute, g.Device.Communication, g.Device.Exposed}
	want := [4]int64{busy(spans[0]), busy(spans[1]), busy(spans[2]), busy(slices.Concat(spans[1], spans[2])) - busy(spans[1])}
	if got != want || g.Device.Kernels != len(spans[0]) {
		t.Errorf("busy, compute, communication, exposed: %d, want %d", got, want)
	}
}

// checkParts: what a trace says of its parts is what it says of all of them.
func checkParts(t *testing.T, r *Trace) {
	t.Helper()
	total := r.Total
	kernels, steps, launches := 0, 0, 0
	for i := range r.Steps {
		s := &r.Steps[i]
		launches += s.Launches
		if s.Device != nil {
			kernels += s.Device.Kernels
			if s.Device.Span != s.Device.Busy+s.Device.Idle || s.Device.Idle < 0 || s.Device.Exposed > s.Device.Communication {
				t.Errorf("step %d: %+v", i, s.Device)
			}
		}
		if s.OperatorTime > s.Duration || s.LaunchTime > s.OperatorTime {
			t.Errorf("step %d: duration %d, in operators %d, in launches %d", i, s.Duration, s.OperatorTime, s.LaunchTime)
		}
	}
	inClasses := 0
	for _, c := range r.Classes {
		checkShare(t, &c)
		steps += c.Steps
		inBatches := 0
		for _, b := range c.Batches {
			checkShare(t, &b)
			inBatches += b.Steps
		}
		if len(c.Batches) > 0 && inBatches != c.Steps {
			t.Errorf("%s: %d steps in batches, %d in all", c.Class, inBatches, c.Steps)
		}
		if c.Device != nil {
			inClasses += c.Device.Kernels
		}
		if c.Launch != nil {
			launches -= c.Launch.Calls
		}
	}
	if steps != len(r.Steps) || inClasses != kernels || launches != 0 {
		t.Errorf("%d of %d steps and %d of %d kernels in classes, launches differ by %d", steps, len(r.Steps), inClasses, kernels, launches)
	}
	if len(r.Steps) > 0 {
		checkShare(t, &total)
	}
	var inSteps, ofRow int64
	if len(total.Kernels) > 0 && len(r.Steps) > 0 {
		for _, n := range total.Kernels[0].PerStep {
			inSteps += n
		}
		for _, c := range r.Classes {
			ofRow += c.kernel(total.Kernels[0].Name).Time
		}
		if inSteps != ofRow {
			t.Errorf("%s: %d ns by step, %d by class", total.Kernels[0].Name, inSteps, ofRow)
		}
	}
}

func checkShare(t *testing.T, g *Group) {
	t.Helper()
	var sum int64
	for _, p := range g.Share {
		sum += p.Time
		if p.Time < 0 {
			t.Errorf("%s %s: %s takes %d ns", g.Class, g.Batch, p.Name, p.Time)
		}
	}
	if sum != g.Duration.Sum {
		t.Errorf("%s %s: the shares make %d ns, the steps' durations %d", g.Class, g.Batch, sum, g.Duration.Sum)
	}
}

// TestAsTrim: a step's device work is what Trim keeps of the device when it cuts the step out.
func TestAsTrim(t *testing.T) {
	for _, name := range []string{"tracelens/vllm-mixed-piecewise-graph", "tracelens/vllm-decode-full-graph", "tracelens/sglang-decode",
		"tracelens/h100-qwen-train", "tracelens/b200-eager", "hta/mi250-train"} {
		t.Run(name, func(t *testing.T) {
			path := shared(t, name+".json.gz")
			r, err := Read(t.Context(), Input{Path: path}, trace.ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range columns(t, path).Summary.Passes {
				dst := filepath.Join(t.TempDir(), "step.json")
				if _, err := trace.Trim(t.Context(), path, dst, trace.Cut{Start: p.Start, End: p.End}); err != nil {
					t.Fatal(err)
				}
				want := 0
				for _, l := range columns(t, dst).Lanes {
					for s := range l.Spans() {
						if s.Kind.OnDevice() {
							want++
						}
					}
				}
				got := 0
				if d := r.Trace.Steps[i].Device; d != nil {
					got = d.Kernels
				}
				if got != want {
					t.Errorf("step %d: %d pieces of device work, %d when cut out", i, got, want)
				}
			}
		})
	}
}

// TestReplayedGraphs: the kernels of graphs start after the step's annotation has ended,
// and are the step's nonetheless.
func TestReplayedGraphs(t *testing.T) {
	for name, want := range map[string]struct{ device, late int }{
		"vllm-decode-full-graph": {434, 434}, "vllm-mixed-piecewise-graph": {423, 423},
	} {
		path := shared(t, "tracelens/"+name+".json.gz")
		c := columns(t, path)
		s := of(c).Trace.Steps
		if len(s) != 1 || s[0].Device == nil || s[0].Device.Kernels != want.device {
			t.Fatalf("%s: %+v", name, s)
		}
		late := 0
		for _, l := range c.Lanes {
			for span := range l.Spans() {
				if span.Kind.OnDevice() && c.Base+span.Start >= s[0].Start+s[0].Span {
					late++
				}
			}
		}
		if late != want.late {
			t.Errorf("%s: %d start after the annotation, want %d", name, late, want.late)
		}
	}
}
