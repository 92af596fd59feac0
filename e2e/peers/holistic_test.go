//go:build e2e

package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"profjob/internal/analysis"
)

// parts is what breakdown.py --parts says.
type parts struct {
	Grain  float64 `json:"grain_us"`
	User   stage   `json:"user"`   // what a user sees
	All    stage   `json:"all"`    // before HTA leaves anything out
	Work   stage   `json:"work"`   // of that, device work alone
	Device stage   `json:"device"` // the same, and HTA told of collectives that it does not know
}

// stage is HTA's breakdown of some events.
type stage struct {
	Breakdown *struct {
		Idle      float64            `json:"idle_us"`
		Compute   float64            `json:"compute_us"`
		Span      float64            `json:"span_us"`
		Types     map[string]float64 `json:"types_us"`
		FineTypes map[string]float64 `json:"fine_types_us"`
	} `json:"breakdown"`
	Events []struct {
		Category string  `json:"cat"`
		Name     string  `json:"name"`
		Type     string  `json:"type"`
		Count    int     `json:"count"`
		US       float64 `json:"us"`
	} `json:"events"`
}

// holistic runs HolisticTraceAnalysis over one file, in a process of its own.
func holistic(t *testing.T, python, file string) parts {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "breakdown.py", "--parts", file)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("breakdown.py %s: %v\n%s", file, err, stderr.String())
	}
	var p parts
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatalf("breakdown.py %s: %v", file, err)
	}
	return p
}

// figures are those of a stage, nil without events. With fine, the times by type are
// those to the ns, which HTA itself does not print.
func (s stage) figures(fine bool) *figures {
	if s.Breakdown == nil {
		return nil
	}
	types := s.Breakdown.Types
	if fine {
		types = s.Breakdown.FineTypes
	}
	f := &figures{span: s.Breakdown.Span, idle: s.Breakdown.Idle, compute: s.Breakdown.Compute}
	for _, e := range s.Events {
		f.events += e.Count
		f.sum += e.US
	}
	// "COMPUTATION overlapping MEMORY" is time of both.
	for name, time := range types {
		if strings.Contains(name, "COMMUNICATION") {
			f.communication += time
		}
		if strings.Contains(name, "MEMORY") {
			f.copies += time
		}
	}
	return f
}

// compare gives the rows of a file. Its test fails where profjob's figures are not those
// that HTA has for the same events, or where HTA prints others and no rule says why.
func compare(t *testing.T, name string, trace *analysis.Trace, theirs parts) []row {
	t.Helper()
	ours, device, user := ofProfjob(trace), theirs.Device.figures(true), theirs.User.figures(false)
	if ours == nil || device == nil {
		if ours != nil || device != nil || theirs.All.Breakdown != nil {
			t.Fatalf("device work: profjob has %+v, HTA has %+v", ours, device)
		}
		return []row{{file: name, tool: "both", why: []string{"no device work"}}}
	}
	// Each event has two ends, each off by half of what HTA's numbers are apart.
	tolerance := 0.001 + float64(ours.events)*theirs.Grain
	if ours.events != device.events {
		t.Errorf("%d kernels, copies and fills, HTA has %d", ours.events, device.events)
	}
	for i, f := range ours.named() {
		tolerance := tolerance
		if f.name == "communication" || f.name == "copies" {
			tolerance += 0.001 * float64(ours.events) // cut down to the ns, piece by piece
		}
		if h := device.named()[i]; !near(f.us, h.us, tolerance) {
			t.Errorf("%s: %.3f µs, HTA has %.3f µs for the same events (tolerance %.3f µs)", f.name, f.us, h.us, tolerance)
		}
	}
	compareNames(t, trace, theirs.Device)
	why := explain(t, ours, user, theirs, tolerance)
	if len(why) == 0 {
		return []row{{file: name, tool: "both", figures: ours}}
	}
	return []row{{file: name, tool: "profjob", figures: ours}, {file: name, tool: "HTA", figures: user, why: why}}
}

// compareNames holds count and time of every kernel against HTA's events of that name.
func compareNames(t *testing.T, trace *analysis.Trace, device stage) {
	t.Helper()
	type total struct {
		count int
		us    float64
	}
	theirs := map[string]total{}
	for _, e := range device.Events {
		sum := theirs[e.Name]
		theirs[e.Name] = total{sum.count + e.Count, sum.us + e.US}
	}
	for _, k := range trace.Total.Kernels {
		want := theirs[k.Name]
		delete(theirs, k.Name)
		if k.Count != want.count || !near(us(k.Time), want.us, 0.002*float64(k.Count)) {
			t.Errorf("%.80s: %d times %.3f µs in all, HTA has %d times %.3f µs", k.Name, k.Count, us(k.Time), want.count, want.us)
		}
	}
	if rest := len(theirs); rest > trace.Total.LeftOut {
		t.Errorf("HTA has %d kernels that profjob does not list", rest)
	}
}

// explain puts what HTA prints down to its rules. What they leave is an error.
func explain(t *testing.T, ours, user *figures, theirs parts, tolerance float64) []string {
	t.Helper()
	if same(ours, user, tolerance) {
		return nil
	}
	var why []string
	at := theirs.Device.figures(false)
	for _, rule := range rules {
		said, after := rule(theirs, at)
		if said != "" {
			why = append(why, said)
		}
		at = after
	}
	if !same(at, user, tolerance) {
		t.Errorf("HTA prints %+v; its rules give %+v", *user, *at)
	}
	return why
}

func same(a, b *figures, tolerance float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	for i, f := range a.named() {
		if !near(f.us, b.named()[i].us, tolerance) {
			return false
		}
	}
	return a.events == b.events
}

// rules say what HTA does otherwise: each with the figures that HTA has once it is
// followed, and "" where it changes nothing.
var rules = []func(parts, *figures) (string, *figures){wholeMicroseconds, unknownCollectives, hostEvents, lastStep}

// wholeMicroseconds: _get_gpu_kernel_type_time of hta/analyzers/breakdown_analysis.py cuts
// each piece of time with the same kinds of kernel at work down to whole µs.
func wholeMicroseconds(p parts, _ *figures) (string, *figures) {
	fine, whole := p.Device.figures(true), p.Device.figures(false)
	lost := fine.communication + fine.copies - whole.communication - whole.copies
	if lost <= 0 {
		return "", whole
	}
	return "cuts each piece of communication and of copies down to whole µs", whole
}

// unknownCollectives: is_comm_kernel of hta/utils/utils.py knows names that begin with
// "nccl", and takes the collectives of vLLM and of symmetric memory for computation.
func unknownCollectives(p parts, at *figures) (string, *figures) {
	n := 0
	for i, e := range p.Device.Events {
		if e.Type != p.Work.Events[i].Type {
			n += e.Count
		}
	}
	if n == 0 {
		return "", at
	}
	return fmt.Sprintf("takes %d collectives for computation", n), p.Work.figures(false)
}

// hostEvents: HTA takes every event with a stream for device work, also synchronisations
// and operators that have one among their arguments.
func hostEvents(p parts, at *figures) (string, *figures) {
	all := p.All.figures(false)
	counts := map[string]int{}
	for _, e := range p.All.Events {
		if e.Category != "kernel" && e.Category != "gpu_memcpy" && e.Category != "gpu_memset" {
			counts[e.Category] += e.Count
		}
	}
	if len(counts) == 0 {
		return "", at
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%d `%s`", counts[kind], kind))
	}
	return "counts what has a stream as device work: " + strings.Join(kinds, ", "), all
}

// lastStep: _filter_irrelevant_gpu_kernels of hta/common/trace.py leaves out what was
// launched from the last of several profiler steps on.
func lastStep(p parts, at *figures) (string, *figures) {
	user := p.User.figures(false)
	n := at.events - user.events
	if n == 0 {
		return "", at
	}
	for _, e := range p.User.Events {
		if e.Count > countOf(p.All, e.Category, e.Name) {
			return "", at
		}
	}
	return fmt.Sprintf("leaves out the last profiler step: %d events", n), user
}

func countOf(s stage, category, name string) int {
	for _, e := range s.Events {
		if e.Category == category && e.Name == name {
			return e.Count
		}
	}
	return 0
}
