package steps

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
	"profjob/internal/wire"
)

// earlier is a run whose window asked for 10 engine steps after 2. Each of two ranks
// recorded 20 of them in 2000 bytes a step; the cut files have 10 steps in 21000 bytes.
// The API server's own trace has 500 bytes.
func earlier(change func(*archive.Manifest)) *archive.Manifest {
	m := &archive.Manifest{RunID: "20261124T031500Z-1f3c9a", Status: archive.StatusOK}
	var round archive.Round
	for rank := range 2 {
		uncut := fmt.Sprintf("rounds/02/attempt-3/rank%d.json.gz", rank)
		file := archive.File{Path: uncut, Size: 40_000, Kind: archive.KindTrace, Round: 2, Attempt: 3, Target: "server"}
		cut := file
		cut.Path, cut.Size, cut.TrimmedFrom = "cut-"+uncut, 21_000, uncut
		m.Files = append(m.Files, file, cut)
		round.Windows = append(round.Windows, archive.Window{Target: "server", Attempt: 3, Strategy: StrategyObserved, File: cut.Path,
			Asked: archive.Asked{Kind: "steps", Steps: 10, Delay: 2}, Got: archive.Got{Steps: 10, RecordedSteps: 20, DurationNS: 2e9}})
	}
	m.Files = append(m.Files, archive.File{Path: "front", Size: 500, Kind: archive.KindFrontend, Round: 2, Attempt: 3, Target: "server"},
		archive.File{Path: "front-1", Size: 9999, Kind: archive.KindFrontend, Round: 2, Attempt: 2, Target: "server"},
		archive.File{Path: "front-2", Size: 9999, Kind: archive.KindFrontend, Round: 1, Attempt: 3, Target: "server"})
	m.Rounds = []archive.Round{{Number: 1}, round}
	if change != nil {
		change(m)
	}
	return m
}

func TestEstimate(t *testing.T) {
	target := Target{Name: "server"}
	steps := func(count int) *Window {
		return &Window{Targets: []Target{target}, Form: "steps", Count: count, Delay: 2}
	}
	manual := &Window{Targets: []Target{target}, Form: "manual", Duration: wire.Duration(10 * time.Second)}
	until := &Window{Targets: []Target{target}, Form: "manual", Until: "stopped"}
	byHand := func(m *archive.Manifest) {
		for i := range m.Rounds[1].Windows {
			w := &m.Rounds[1].Windows[i]
			w.Asked, w.File = archive.Asked{Kind: "manual", DurationNS: 2e9}, m.Files[2*i].Path
		}
	}
	for _, c := range []struct {
		name    string
		asked   Asked
		change  func(*archive.Manifest)
		window  int64
		dir     int64
		archive int64
	}{
		{"the same", Asked{Window: steps(10), Rounds: 1, KeepOriginal: true}, nil, 80_500, 80_500, 120_500},
		{"ten times as long", Asked{Window: steps(100), Rounds: 1, KeepOriginal: true}, nil, 440_500, 440_500, 840_500}, // 110 steps of 2 ranks, and 100 of them cut
		{"three rounds", Asked{Window: steps(10), Rounds: 3, KeepOriginal: true}, nil, 80_500, 241_500, 361_500},
		{"removed at the server", Asked{Window: steps(10), Rounds: 3, KeepOriginal: true, DeleteRemote: true}, nil, 80_500, 80_500, 361_500},
		{"only the cut files are kept", Asked{Window: steps(10), Rounds: 3}, nil, 80_500, 241_500, 200_500},
		{"packed", Asked{Window: steps(10), Rounds: 1, KeepOriginal: true, Packed: true}, nil, 80_500, 80_500, 241_000},
		{"four ranks", Asked{Window: steps(10), Rounds: 1, KeepOriginal: true, Ranks: 4}, nil, 160_500, 160_500, 240_500},
		{"by the gate", Asked{Window: steps(10), Rounds: 1, KeepOriginal: true}, func(m *archive.Manifest) {
			for i := range m.Rounds[1].Windows {
				m.Rounds[1].Windows[i].Strategy = StrategyGate
			}
		}, 80_500, 80_500, 80_500},
		{"of cut files", Asked{Window: steps(10), Rounds: 1, KeepOriginal: true}, func(m *archive.Manifest) { m.Files = []archive.File{m.Files[1], m.Files[3]} }, 50_400, 50_400, 92_400},
		{"for a time", Asked{Window: manual, Rounds: 1, KeepOriginal: true}, byHand, 400_500, 400_500, 400_500},
		{"as long as then", Asked{Window: until, Rounds: 1, KeepOriginal: true}, byHand, 80_500, 80_500, 80_500},
		{"steps by time", Asked{Window: steps(10), Rounds: 1, KeepOriginal: true}, func(m *archive.Manifest) {
			byHand(m)
			m.Rounds[1].Windows[0].Got.Steps = 20
			m.Rounds[1].Windows[1].Got.Steps = 20
		},
			48_500, 48_500, 88_500},
		{"nothing recorded", Asked{Window: steps(10), Rounds: 1}, func(m *archive.Manifest) { m.Rounds[1].Windows = nil }, 0, 0, 0},
		{"no rounds", Asked{Window: steps(10), Rounds: 1}, func(m *archive.Manifest) { m.Rounds = nil }, 0, 0, 0},
		{"a file that is missing", Asked{Window: steps(10), Rounds: 1}, func(m *archive.Manifest) { m.Files = nil }, 0, 0, 0},
		{"no step", Asked{Window: steps(10), Rounds: 1}, func(m *archive.Manifest) { m.Rounds[1].Windows[1].Got.RecordedSteps = 0 }, 0, 0, 0},
		{"another target", Asked{Window: &Window{Targets: []Target{target, {Name: "other"}}, Form: "steps", Count: 1}, Rounds: 1}, nil, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := earlier(c.change)
			e := c.asked.Estimate(m)
			if c.asked.Serves(m) != (c.window > 0) || (e != nil) != (c.window > 0) {
				t.Fatalf("got %+v", e)
			}
			if e == nil {
				return
			}
			if got := e.Targets[0]; got.Window != c.window || got.TraceDir != c.dir || e.Archive != c.archive || e.RunID != m.RunID {
				t.Errorf("got %+v, %d in the archive", got, e.Archive)
			}
		})
	}
	if (Asked{Window: steps(1)}).Estimate(nil) != nil {
		t.Error("an estimate of nothing")
	}
	want := "server will write about 157 KiB a window (20 engine steps of 4 ranks; run 20261124T031500Z-1f3c9a: 79 KiB for 20 of 2 ranks); the archive needs about 235 KiB"
	if got := (Asked{Window: steps(10), Rounds: 1, KeepOriginal: true, Ranks: 4}).Estimate(earlier(nil)).String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestEstimateWarnings(t *testing.T) {
	dir := t.TempDir()
	e := (Asked{Window: stepsWindow(10, Target{Name: "server"}), Rounds: 1, KeepOriginal: true}).Estimate(earlier(func(m *archive.Manifest) {
		for i := range m.Rounds[1].Windows {
			m.Rounds[1].Windows[i].Strategy = StrategyGate // the archive needs what the server writes
		}
	})) // 18 steps and 500 bytes: 72500
	for _, c := range []struct {
		name          string
		free          int64
		err           error
		min, max      int64
		archive, dirs string
		want          []string
	}{
		{"room for both", 145_000 + 10, nil, 10, 72_500, dir + "/a", dir + "/b", nil},
		{"not for both", 145_000 + 9, nil, 10, 0, dir + "/a", dir + "/b", []string{"the disk of the archive " + dir + "/a and trace_dir " + dir + "/b has 142 KiB free; the run would write about 142 KiB there, by run 20261124T031500Z-1f3c9a, and limits.min_free_disk keeps 10 B"}},
		{"two disks", 72_500, nil, 0, 0, dir, "/proc/self", nil},
		{"two disks that are too small", 72_499, nil, 0, 0, dir, "/proc/self", []string{"the archive " + dir + " has 71 KiB free", "trace_dir /proc/self has 71 KiB free"}},
		{"a trace directory that cannot be seen", 72_499, nil, 0, 0, dir, "", []string{"the archive " + dir}},
		{"a window that is too large", math.MaxInt64, nil, 0, 72_499, dir, dir, []string{"server would write about 71 KiB a window, by run 20261124T031500Z-1f3c9a: limits.max_trace_size is 71 KiB"}},
		{"a host that does not tell", 0, errors.ErrUnsupported, 1, 0, dir, "", nil},
		{"a disk that cannot be asked", 0, errReset, 1, 0, dir, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			rooms := Rooms{Archive: c.archive, Traces: map[string]string{"server": c.dirs}, Files: func(string) hostfs.FS {
				return fakeFS{free: func() (int64, error) { return c.free, c.err }}
			}}
			got := e.Warnings(t.Context(), c.min, c.max, rooms)
			if len(got) != len(c.want) {
				t.Fatalf("got %q", got)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
	if got := (*Estimate)(nil).Warnings(t.Context(), math.MaxInt64, 1, Rooms{Archive: dir, Files: func(d string) hostfs.FS { return local.New(d) }}); got != nil {
		t.Errorf("without an estimate: %q", got)
	}
}

// A run warns of what its estimate goes past, and goes on; where the earlier runs
// cannot be read it goes on as well.
func TestPreflightEstimates(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.Run.Estimate = func() (*Estimate, error) {
		return &Estimate{RunID: "20261124T031500Z-1f3c9a", Unit: "engine steps", Archive: 1 << 60, Targets: []TargetEstimate{{Target: "server", Window: 5 << 20}}}, nil
	}
	p := &Preflight{Header: Header{Name: "preflight"}, Targets: []Target{target}, MaxTraceSize: 4 << 20}
	result, err := h.do(t.Context(), p)
	if r, ok := result.(PreflightResult); err != nil || !ok || !strings.Contains(r.Summary(), "server will write about 5.0 MiB a window") {
		t.Errorf("%+v, %v", result, err)
	}
	if !hasWarning(h, "limits.max_trace_size is 4.0 MiB") || !hasWarning(h, "the run would write about 1.0 EiB there") {
		t.Errorf("warnings %q", h.Warnings())
	}
	h.Run.Estimate = func() (*Estimate, error) { return nil, errReset }
	if _, err := h.do(t.Context(), p); err != nil || !hasWarning(h, errReset.Error()) {
		t.Errorf("%v, warnings %q", err, h.Warnings())
	}
}

// What was written beyond the limit is kept, and that it is too much is said.
func TestCollectSaysWhatIsTooLarge(t *testing.T) {
	for _, most := range []int64{0, 1, 1 << 20} {
		h := newHost(t)
		target := h.serve("a")
		h.recorded(nil, target)
		write(t, target.TraceDir, traceName+".gz", traceOf(t, "ours"))
		c := collectFrom(target)
		c.MaxTraceSize = most
		got, err := h.collect(t.Context(), c)
		if err != nil || got == "" || hasWarning(h, "limits.max_trace_size is 1 B: it was written when the profiler was stopped, and all of it is kept") != (most == 1) {
			t.Errorf("%d: %q, %v, warnings %q", most, got, err, h.Warnings())
		}
	}
}
