package steps

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"profjob/internal/engine"
	"profjob/internal/gate"
	"profjob/internal/hostfs"
)

// falling is a disk whose free space goes from so many MiB down by one each second.
func falling(from int64) fakeFS {
	began := time.Now()
	return fakeFS{free: func() (int64, error) { return from<<20 - int64(time.Since(began).Seconds())*1<<20, nil }}
}

// growing is a directory in which a file grows by one MiB each second, beside an old
// one. Its disk does not tell its free space.
func growing() fakeFS {
	began := time.Now()
	return fakeFS{
		free: func() (int64, error) { return 0, errors.ErrUnsupported },
		list: func() ([]hostfs.File, error) {
			old := hostfs.File{Path: "old.pt.trace.json.gz", Size: 1 << 40}
			if time.Since(began) == 0 {
				return []hostfs.File{old}, nil
			}
			return []hostfs.File{old, {Path: "PROF/new.bin", Size: int64(time.Since(began).Seconds()) << 20}}, nil
		},
	}
}

// A disk that fills up, or traces that grow too large, end a window early, whatever
// its form and its strategy; every profiler is stopped, and what there is is kept.
func TestLimits(t *testing.T) {
	always := func(free int64, err error) func() fakeFS {
		return func() fakeFS { return fakeFS{free: func() (int64, error) { return free, err }} }
	}
	disk := func() fakeFS { return falling(20) }
	steps := func(targets ...Target) *Window { return stepsWindow(1<<20, targets...) }
	tokens := func(targets ...Target) *Window {
		w := stepsWindow(1<<20, targets...)
		w.Form, w.Tokens = "tokens", &TokensParams{Threshold: 1 << 20}
		return w
	}
	manual := func(targets ...Target) *Window { return manualWindow(time.Minute, targets...) }
	until := func(targets ...Target) *Window {
		w := manualWindow(0, targets...)
		w.Until = "stopped"
		return w
	}
	const noRoom = "free, limits.min_free_disk asks for 10 MiB"
	for _, c := range []struct {
		name     string
		window   func(...Target) *Window
		strategy string
		traces   func() fakeFS // the disk of the traces
		archive  func() fakeFS
		ended    string
		open     time.Duration
		exit     int
		text     string
		warns    string
	}{
		{"enough", manual, StrategyTimed, always(1<<40, nil), always(1<<40, nil), EndedDuration, time.Minute, 0, "", ""},
		{"a host that does not tell", manual, StrategyTimed, always(0, errors.ErrUnsupported), always(0, errors.ErrUnsupported), EndedDuration, time.Minute, 0, "", ""},
		{"a disk that cannot be asked", manual, StrategyTimed, always(0, os.ErrPermission), always(1<<40, nil), EndedDuration, time.Minute, 0, "", ""},
		{"timed", manual, StrategyTimed, disk, always(1<<40, nil), EndedLimit, 11 * time.Second, ExitIncomplete, "has 9.0 MiB " + noRoom, ""},
		{"until stopped", until, StrategyTimed, disk, always(1<<40, nil), EndedLimit, 11 * time.Second, ExitIncomplete, noRoom, ""},
		{"observed", steps, StrategyObserved, disk, always(1<<40, nil), EndedLimit, 11 * time.Second, ExitIncomplete, noRoom, ""},
		{"bounded", steps, StrategyBounded, disk, always(1<<40, nil), EndedLimit, 11 * time.Second, ExitIncomplete, noRoom, ""},
		{"observed tokens", tokens, StrategyObserved, disk, always(1<<40, nil), EndedLimit, 11 * time.Second, ExitIncomplete, noRoom, ""},
		{"the archive's disk", steps, StrategyObserved, always(1<<40, nil), disk, EndedLimit, 11 * time.Second, ExitIncomplete, "the archive ", ""},
		{"size", manual, StrategyTimed, growing, always(1<<40, nil), EndedLimit, 6 * time.Second, 0, "", "has grown by 6.0 MiB since the window opened, limits.max_trace_size is 5.0 MiB"},
		{"size, observed", steps, StrategyObserved, growing, always(1<<40, nil), EndedLimit, 6 * time.Second, 0, "", "max_trace_size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a", "b")
				h.chose(target, c.strategy)
				for _, s := range []string{"a", "b"} {
					h.server(s).metrics = counting(time.Second)
				}
				traces, kept := c.traces(), c.archive()
				h.Files = func(dir string) hostfs.FS {
					if dir == target.TraceDir {
						return traces
					}
					return kept
				}
				w := c.window(target)
				w.MinFreeDisk, w.MaxTraceSize = 10<<20, 5<<20
				result, err := h.do(t.Context(), w)
				failed(t, err, c.exit, c.text)
				if c.exit != 0 && !failureIn(err).Final {
					t.Error("another attempt would be made")
				}
				r := result.(WindowResult)
				for _, e := range r.Endpoints {
					if e.Ended != c.ended || e.open() != c.open || !e.Stopped {
						t.Errorf("open for %s: %+v", e.open(), e)
					}
				}
				if (r.Limit != "") != (c.ended == EndedLimit) || r.Ended != c.ended {
					t.Errorf("ended %s, limit %q", r.Ended, r.Limit)
				}
				if got := h.asked("a", "b"); got != "a:start,stop b:start,stop" {
					t.Errorf("asked %s", got)
				}
				if warned := strings.Join(h.Warnings(), "\n"); !contains(warned, c.warns) || c.warns == "" && strings.Contains(warned, "limits") {
					t.Errorf("warnings %q", warned)
				}
				if c.exit != 0 && !strings.Contains(err.Error(), target.TraceDir) && !strings.Contains(err.Error(), h.Dir.Root) {
					t.Errorf("%v does not name the directory", err)
				}
				if !(&Collect{}).Keeps(h.Run) {
					t.Error("what was recorded is not kept")
				}
			})
		})
	}
}

// Where there is too little before the window, nothing is started.
func TestNothingStartsOnAFullDisk(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.Files = func(string) hostfs.FS { return fakeFS{free: func() (int64, error) { return 1 << 20, nil }} }
	w := manualWindow(time.Minute, target)
	w.MinFreeDisk = 2 << 20
	_, err := h.do(t.Context(), w)
	failed(t, err, ExitIncomplete, "nothing was recorded: the archive "+h.Dir.Root+" has 1.0 MiB free, limits.min_free_disk asks for 2.0 MiB")
	if !failureIn(err).Final || h.asked("a") != "a:" {
		t.Errorf("asked %s", h.asked("a"))
	}
}

// A disk whose watching panics ends the window as an error, and the profiler is stopped.
func TestLimitsPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		asked := 0
		h.Files = func(string) hostfs.FS {
			return fakeFS{free: func() (int64, error) {
				if asked++; asked > 5 {
					panic("burst")
				}
				return 1 << 40, nil
			}}
		}
		_, err := h.do(t.Context(), manualWindow(time.Minute, target))
		failed(t, err, ExitFailed, "panic: burst")
		if got := h.asked("a"); got != "a:start,stop" {
			t.Errorf("asked %s", got)
		}
	})
}

// The folder of a gate is watched where it is this host's; one of another host, or of
// a container that has this host's name, is not.
func TestGateRooms(t *testing.T) {
	h := newHost(t)
	target := h.serve("a", "b", "c", "d")
	seen := t.TempDir()
	var probed ProbeResult
	for i, g := range []*GateInfo{{Root: seen, Host: "host"}, {Root: seen, Host: "elsewhere"}, {Root: seen + "/none", Host: "host"}, nil} {
		probed.Endpoints = append(probed.Endpoints, Probed{Target: "server", Endpoint: target.Endpoints[i], Gate: g, Choice: Choice{Strategy: StrategyGate}})
	}
	h.State.Put(h.Place, probed)
	if got := fmt.Sprint(h.gateRooms(t.Context(), target)); got != fmt.Sprint([]room{{"the gate's folder", seen}}) {
		t.Errorf("got %s", got)
	}
	least := int64(1) << 60
	_, err := h.do(t.Context(), &Preflight{Header: Header{Name: "preflight"}, Targets: []Target{target}, MinFreeDisk: least})
	failed(t, err, ExitIncomplete, "the archive ")
	h.Files = func(dir string) hostfs.FS {
		return fakeFS{free: func() (int64, error) {
			if dir == seen {
				return 1 << 20, nil
			}
			return 1 << 61, nil
		}}
	}
	_, err = h.do(t.Context(), &Preflight{Header: Header{Name: "preflight"}, Targets: []Target{target}, MinFreeDisk: least})
	failed(t, err, ExitIncomplete, "the gate's folder "+seen+" has 1.0 MiB free")
	if short := manualWindow(time.Second, target).limits(h.Run, nil); short.disks(t.Context()) != nil {
		t.Error("a window without a limit has one")
	}
	w := manualWindow(time.Second, target)
	w.MinFreeDisk = least
	if short := w.limits(h.Run, nil).disks(t.Context()); short == nil || !strings.Contains(short.text, seen) {
		t.Errorf("got %v", short)
	}
}

// A server that records by itself cannot be stopped: its window is over, and that it
// goes on is said.
func TestLimitOfAServerThatRecordsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		target := h.serve("a")
		h.State.Put(h.Place, ProbeResult{Endpoints: []Probed{{Target: "server", Endpoint: "http://a",
			Info: engine.Info{Engine: "omni"}, Choice: Choice{Strategy: StrategyBounded, ByItself: true}}}})
		files := falling(12)
		h.Files = func(string) hostfs.FS { return files }
		w := stepsWindow(5, target)
		w.Form, w.Tokens, w.MinFreeDisk = "tokens", &TokensParams{Threshold: 64}, 10<<20
		result, err := h.do(t.Context(), w)
		failed(t, err, ExitIncomplete, "nothing can stop it")
		if r := result.(WindowResult); r.Ended != EndedLimit || h.asked("a") != "a:" {
			t.Errorf("ended %s, asked %s", r.Ended, h.asked("a"))
		}
	})
}

// A gate's window is disarmed where the archive's disk runs full.
func TestLimitDisarms(t *testing.T) {
	h := newHost(t)
	target, g := h.serveGate(answers{
		"arm": says(200, session(gate.Armed)), "status": says(200, session(gate.Recording)), "disarm": says(200, session(gate.Disarmed)),
	})
	asked := 0
	h.Files = func(string) hostfs.FS {
		return fakeFS{free: func() (int64, error) {
			if asked++; asked > 2 { // not before the window opens
				return 0, nil
			}
			return 1 << 40, nil
		}}
	}
	w := manualWindow(time.Minute, target)
	w.MinFreeDisk = 1
	result, err := h.do(t.Context(), w)
	failed(t, err, ExitIncomplete, "the window was ended early: the archive ")
	if r := result.(WindowResult); r.Ended != EndedLimit || g.asked("disarm") != 1 {
		t.Errorf("ended %s, disarmed %d times", r.Ended, g.asked("disarm"))
	}
}
