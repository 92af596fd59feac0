package steps

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"profjob/internal/archive"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
)

// Asked is what of a plan decides how much a run will write.
type Asked struct {
	Window       *Window
	Rounds       int
	Ranks        int // traces of workers; 0: as many as before
	KeepOriginal bool
	DeleteRemote bool
	Packed       bool
}

// Estimate is about how much a run will write, by what an earlier run of the same job
// wrote. It is no promise: another load or other record options change it.
type Estimate struct {
	RunID   string           `json:"run_id"` // of the earlier run
	Unit    string           `json:"unit"`   // engine steps or seconds
	Targets []TargetEstimate `json:"targets"`
	Archive int64            `json:"archive"` // bytes that the run needs in the archive at the most
}

// TargetEstimate is that of one target. Sizes are in bytes.
type TargetEstimate struct {
	Target   string  `json:"target"`
	Ranks    int     `json:"ranks"`    // traces of workers, as now asked
	Had      int     `json:"had"`      // and as the earlier run had
	Before   int64   `json:"before"`   // what the earlier run's window wrote
	Recorded float64 `json:"recorded"` // how much of the unit each rank had recorded then
	Expected float64 `json:"expected"` // and how much it will record now
	Window   int64   `json:"window"`   // what one window will write
	TraceDir int64   `json:"trace_dir"`
}

// Serves tells whether an estimate can be made of an earlier run.
func (a Asked) Serves(m *archive.Manifest) bool { return a.Estimate(m) != nil }

// Estimate works out what a run will write from what an earlier one did; nil where
// that does not tell. It is pure.
//
// What a trace weighs for each engine step, or each second where the window asks for a
// duration, is taken to stay as it was, and so is how many steps were recorded beside
// those asked for. A window that lasts until it is stopped is taken to last as long.
func (a Asked) Estimate(m *archive.Manifest) *Estimate {
	if m == nil || len(m.Rounds) == 0 {
		return nil
	}
	windows := m.Rounds[len(m.Rounds)-1].Windows
	e := &Estimate{RunID: m.RunID, Unit: "engine steps"}
	if a.Window.Form == "manual" {
		e.Unit = "seconds"
	}
	kept := int64(0) // of each round, in the archive
	most := int64(0) // what comes beside that for a while
	for _, t := range a.Window.Targets {
		of := slices.DeleteFunc(slices.Clone(windows), func(w archive.Window) bool { return w.Target != t.Name })
		one, cut, ok := a.target(t, m, of, len(windows))
		if !ok {
			return nil
		}
		e.Targets = append(e.Targets, one)
		if a.KeepOriginal || cut == 0 {
			kept += one.Window + cut
		} else {
			kept, most = kept+cut, most+one.Window
		}
	}
	e.Archive = kept*int64(a.Rounds) + most
	if a.Packed {
		e.Archive = max(e.Archive, 2*kept*int64(a.Rounds))
	}
	return e
}

// target estimates one target of whose windows the earlier run had these. cut is what
// the files will weigh that are cut from a window's traces.
func (a Asked) target(t Target, m *archive.Manifest, windows []archive.Window, allRanks int) (e TargetEstimate, cut int64, ok bool) {
	var bytes int64
	var recorded, beside float64
	for _, w := range windows {
		size, amount, ok := a.weight(m, w)
		if !ok {
			return e, 0, false
		}
		bytes, recorded = bytes+size, recorded+amount
		if w.Asked.Kind != "manual" {
			beside += max(0, amount-float64(w.Asked.Delay+w.Asked.Steps))
		}
	}
	if recorded == 0 {
		return e, 0, false
	}
	ranks := float64(len(windows))
	e = TargetEstimate{Target: t.Name, Ranks: len(windows), Had: len(windows), Before: bytes + others(m, windows), Recorded: recorded / ranks}
	if a.Ranks > 0 {
		e.Ranks = max(1, a.Ranks*len(windows)/allRanks)
	}
	wanted := 0.0
	switch {
	case a.Window.Until != "":
		e.Expected = e.Recorded
	case a.Window.Form == "manual":
		e.Expected = float64(a.Window.Duration) / 1e9
	default:
		wanted = float64(a.Window.Count)
		e.Expected = float64(a.Window.Delay) + wanted + beside/ranks
	}
	each := float64(bytes) / recorded * float64(e.Ranks)
	e.Window = int64(math.Round(each*e.Expected)) + others(m, windows)
	e.TraceDir = e.Window
	if !a.DeleteRemote {
		e.TraceDir *= int64(a.Rounds)
	}
	if windows[0].Strategy != StrategyGate {
		cut = int64(math.Round(each * wanted))
	}
	return e, cut, true
}

// weight is what one rank's trace weighed, and how much it held. The uncut file is
// what the server wrote; where only the cut one was kept, that stands for it.
func (a Asked) weight(m *archive.Manifest, w archive.Window) (size int64, amount float64, ok bool) {
	f, ok := fileOf(m, w.File)
	if !ok {
		return 0, 0, false
	}
	amount = float64(w.Got.Steps)
	if a.Window.Form == "manual" {
		return f.Size, float64(w.Got.DurationNS) / 1e9, w.Got.DurationNS > 0
	}
	if uncut, kept := fileOf(m, f.TrimmedFrom); kept {
		f, amount = uncut, float64(w.Got.RecordedSteps)
	}
	return f.Size, amount, amount > 0
}

func fileOf(m *archive.Manifest, path string) (archive.File, bool) {
	i := slices.IndexFunc(m.Files, func(f archive.File) bool { return f.Path == path })
	if i < 0 || path == "" {
		return archive.File{}, false
	}
	return m.Files[i], true
}

// others is what came with the workers' traces: of the API server's own process, and tables.
func others(m *archive.Manifest, windows []archive.Window) (sum int64) {
	for _, f := range m.Files {
		if (f.Kind == archive.KindFrontend || f.Kind == archive.KindTable) && f.Target == windows[0].Target && f.Attempt == windows[0].Attempt && f.Round == roundOf(m, windows[0]) {
			sum += f.Size
		}
	}
	return sum
}

func roundOf(m *archive.Manifest, w archive.Window) int {
	f, _ := fileOf(m, w.File)
	return f.Round
}

// String tells it in a line.
func (e *Estimate) String() string {
	var parts []string
	for _, t := range e.Targets {
		parts = append(parts, fmt.Sprintf("%s will write about %s a window (%s %s of %s; run %s: %s for %s of %s)", t.Target, size(t.Window),
			amountText(t.Expected), e.Unit, ranksText(t.Ranks), e.RunID, size(t.Before), amountText(t.Recorded), ranksText(t.Had)))
	}
	return strings.Join(append(parts, "the archive needs about "+size(e.Archive)), "; ")
}

func ranksText(n int) string {
	if n == 1 {
		return "1 rank"
	}
	return fmt.Sprintf("%d ranks", n)
}

func amountText(n float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
}

// Rooms are where a run will write.
type Rooms struct {
	Archive string            // absolute
	Traces  map[string]string // by target, absolute; empty where it is not known or cannot be seen
	Files   func(dir string) hostfs.FS
}

// Warnings says what of an estimate would go past the limits of the job file.
func (e *Estimate) Warnings(ctx context.Context, minFree, maxTrace int64, rooms Rooms) []string {
	if e == nil {
		return nil
	}
	var all []string
	needs := []need{{room{"the archive", rooms.Archive}, e.Archive}}
	for _, t := range e.Targets {
		if maxTrace > 0 && t.Window > maxTrace {
			all = append(all, fmt.Sprintf("%s would write about %s a window, by run %s: limits.max_trace_size is %s",
				t.Target, size(t.Window), e.RunID, size(maxTrace)))
		}
		if dir := rooms.Traces[t.Target]; dir != "" {
			needs = add(needs, need{room{"trace_dir", dir}, t.TraceDir})
		}
	}
	for _, n := range needs {
		free, err := freeBelow(ctx, rooms.Files, n.dir)
		if err == nil && free-n.bytes < minFree {
			all = append(all, fmt.Sprintf("%s %s has %s free; the run would write about %s there, by run %s, and limits.min_free_disk keeps %s",
				n.what, n.dir, size(free), size(n.bytes), e.RunID, size(minFree)))
		}
	}
	return all
}

// need is how much will be written below a directory.
type need struct {
	room
	bytes int64
}

// add puts what goes to one disk together.
func add(needs []need, n need) []need {
	for i, other := range needs {
		if local.SameDisk(other.dir, n.dir) {
			needs[i].bytes += n.bytes
			if other.dir != n.dir {
				needs[i].what, needs[i].dir = "the disk of "+strings.TrimPrefix(other.what, "the disk of ")+" "+other.dir+" and "+n.what, filepath.Clean(n.dir)
			}
			return needs
		}
	}
	return append(needs, n)
}
