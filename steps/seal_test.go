package steps

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/event"
)

// at is a place in an attempt.
func at(step string, round, attempt int) event.Place {
	return event.Place{Step: step, Round: round, Attempt: attempt}
}

func sealNow(t *testing.T, h *host, record Record) *archive.Manifest {
	t.Helper()
	result, err := (&Seal{Header: Header{Name: "seal"}, Record: record}).Do(t.Context(), h.Run)
	if err != nil {
		t.Fatal(err)
	}
	return result.(SealResult).Manifest
}

// A run that failed before anything was known of its servers is sealed, too.
func TestSealOfNothing(t *testing.T) {
	h := newHost(t)
	h.Outcome = Outcome{Status: archive.StatusFailed, Errors: []string{"launch: it failed"}}
	h.write("plan.json", "{}")
	m := sealNow(t, h, Record{Shapes: true})
	if m.Status != archive.StatusFailed || len(m.Errors) != 1 || m.Targets == nil || m.Rounds == nil || m.Record.Seen != nil ||
		!m.Record.Asked.Shapes || m.Record.Extra == nil || m.Warnings == nil || len(m.Files) != 1 {
		t.Errorf("manifest %+v", m)
	}
	if _, err := os.Stat(h.Dir.Final() + "/manifest.json"); err != nil {
		t.Error(err)
	}
}

// What several attempts and rounds got is put together: the windows are those of
// the last attempt that has any, the files those of all.
func TestSealPutsTogether(t *testing.T) {
	h := newHost(t)
	window := func(attempt int, exact bool) archive.Window {
		return archive.Window{Target: "server", Attempt: attempt, Exact: exact, Asked: archive.Asked{Kind: "steps", Steps: 3}}
	}
	for _, name := range []string{"one", "two", "two.window"} {
		h.write("traces/"+name, name)
	}
	file := func(name string, rank *int) archive.File {
		sum, err := archive.HashFile(h.Dir.Join("traces/" + name))
		if err != nil {
			t.Fatal(err)
		}
		return archive.File{Path: "traces/" + name, Size: sum.Size, SHA256: sum.SHA256, Kind: archive.KindTrace, Rank: rank}
	}
	zero := 0
	h.State.Put(at("probe", 0, 0), ProbeResult{Endpoints: []Probed{
		{Target: "server", Endpoint: "http://a", Info: engine.Info{Engine: "vllm", Version: "0.32.0", Fingerprint: map[string]string{"max_num_seqs": "8"}}},
		{Target: "server", Endpoint: "http://b", Info: engine.Info{Engine: "vllm", Version: "0.32.0"}},
		{Target: "other", Endpoint: "http://c", Info: engine.Info{Engine: "embedded", Version: "0.15.1"}}}})
	h.State.Put(at("collect", 1, 1), CollectResult{Files: []archive.File{file("one", nil)}})
	h.State.Put(at("verify", 1, 1), VerifyResult{Windows: []archive.Window{window(1, false)}, Files: []archive.File{file("one", &zero)},
		Seen: &archive.Options{Shapes: true, Stack: true}, Extra: []string{"stack"}})
	h.State.Put(at("collect", 1, 2), CollectResult{Files: []archive.File{file("two", nil)}})
	h.State.Put(at("verify", 1, 2), VerifyResult{Windows: []archive.Window{window(2, true)}, Files: []archive.File{file("two.window", &zero)},
		Removed: []string{"traces/two"}, Seen: &archive.Options{Stack: true}, Extra: []string{"stack", "memory"}})
	h.State.Put(at("verify", 2, 1), VerifyResult{Windows: []archive.Window{window(1, true)}})
	h.State.Put(at("verify", 2, 2), VerifyResult{})
	if err := os.Remove(h.Dir.Join("traces/two")); err != nil {
		t.Fatal(err)
	}
	h.Outcome = Outcome{Status: archive.StatusOK, Attempts: []Attempt{{1, 1, "missed"}, {1, 2, ""}, {2, 1, ""}}}
	if err := errors.Join(h.warn("once"), h.warn("once"), h.warn("twice")); err != nil {
		t.Fatal(err)
	}
	m := sealNow(t, h, Record{Shapes: true})
	if len(m.Rounds) != 2 || m.Rounds[0].Windows[0].Attempt != 2 || len(m.Rounds[0].Attempts) != 2 || m.Rounds[0].Attempts[0].Error != "missed" || len(m.Rounds[1].Windows) != 1 {
		t.Errorf("rounds %+v", m.Rounds)
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Path)
		if f.Rank == nil || *f.Rank != 0 {
			t.Errorf("%s: what verify knows of it is missing", f.Path)
		}
	}
	if !slices.Equal(names, []string{"traces/one", "traces/two.window"}) {
		t.Errorf("files %q", names)
	}
	if *m.Record.Seen != (archive.Options{Stack: true}) || !slices.Equal(m.Record.Extra, []string{"stack", "memory"}) {
		t.Errorf("record %+v", m.Record)
	}
	if len(m.Targets) != 2 || len(m.Targets[0].Endpoints) != 2 || m.Targets[1].Engine != "embedded" || m.Fingerprint["server"]["max_num_seqs"] != "8" || len(m.Fingerprint) != 1 {
		t.Errorf("targets %+v, fingerprint %v", m.Targets, m.Fingerprint)
	}
	if !slices.Equal(m.Warnings, []string{"once", "twice"}) {
		t.Errorf("warnings %q", m.Warnings)
	}
}

// A collected file that is not there any more, or is another, keeps a run from being sealed.
func TestSealOfWhatIsMissing(t *testing.T) {
	for name, f := range map[string]archive.File{
		"gone":     {Path: "traces/gone", Size: 1, SHA256: "x", Kind: archive.KindTrace},
		"replaced": {Path: "traces/there", Size: 99, SHA256: "x", Kind: archive.KindTrace},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.write("traces/there", "x")
			closed := 0
			h.CloseJournal = func() error { closed++; return nil }
			h.State.Put(at("collect", 1, 1), CollectResult{Files: []archive.File{f}})
			result, err := (&Seal{}).Do(t.Context(), h.Run)
			failed(t, err, ExitIncomplete, "seal run")
			if _, statErr := os.Stat(h.Dir.Final()); statErr == nil || result != nil || closed != 1 {
				t.Errorf("sealed: %v, journal closed %d times", result, closed)
			}
		})
	}
}

func TestSealWithoutJournal(t *testing.T) {
	h := newHost(t)
	h.CloseJournal = func() error { return errors.New("full") }
	_, err := (&Seal{}).Do(t.Context(), h.Run)
	failed(t, err, ExitIncomplete, "close journal: full")
}

func TestSealFinishedAt(t *testing.T) {
	h := newHost(t)
	before := time.Now()
	if m := sealNow(t, h, Record{}); m.FinishedAt.Before(before) || m.FinishedAt.Location() != time.UTC || m.StartedAt.Location() != time.UTC {
		t.Errorf("from %s to %s", m.StartedAt, m.FinishedAt)
	}
}
