package view

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"profjob/internal/archive"
)

func pointer[T any](v T) *T { return &v }

// manifest is a run with something of everything in it: two endpoints, a round
// whose window was missed once, one that was missed for good.
func manifest() *archive.Manifest {
	at := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	endpoints := []string{"http://10.0.0.7:8000", "http://10.0.0.8:8000"}
	asked := archive.Asked{Kind: "steps", Steps: 2}
	window := func(endpoint string, rank *int) archive.Window {
		return archive.Window{Target: "server", Endpoint: &endpoint, Rank: rank, Attempt: 2, Strategy: "observed", Evidence: "annotation", Asked: asked, Exact: true,
			Got: archive.Got{Steps: 2, RecordedSteps: 17, Trimmed: true, DurationNS: 2_500_000, EngineSteps: []archive.Step{
				{Name: "execute_context_1(256)_generation_3(3)", Class: "mixed", Requests: pointer(4), Tokens: pointer(259), DurationNS: 1_234_567},
				{Name: "execute_new_1_1", Class: "unknown", DurationNS: 999},
			}}}
	}
	missed := window(endpoints[1], nil)
	missed.Exact, missed.Reason, missed.Got = false, "only 1 engine step", archive.Got{Steps: 1, RecordedSteps: 1}
	long := window(endpoints[0], pointer(0))
	for range 12 {
		long.Got.EngineSteps = append(long.Got.EngineSteps, archive.Step{Class: "decode", Requests: pointer(64), Tokens: pointer(64), DurationNS: 1_000_000, Name: "step"})
	}
	return &archive.Manifest{FormatVersion: 1, RunID: "20261124T031500Z-1f3c9a", Job: `decode["b64"]`, Status: archive.StatusWindowNotMet,
		StartedAt: at, FinishedAt: at.Add(83*time.Second + 400*time.Millisecond), Host: "bench-1", Profjob: archive.Tool{Version: "0.1.0"},
		Targets: []archive.Target{{Name: "server", Engine: "vllm", Version: "0.11.0", Endpoints: endpoints}, {Name: "other", Engine: "embedded", Endpoints: endpoints[:1]}},
		Rounds: []archive.Round{
			{Number: 1, Attempts: []archive.Attempt{{Number: 1, Error: "the window asked for was not got:\nserver"}, {Number: 2}},
				Windows: []archive.Window{window(endpoints[0], pointer(0)), missed}, SkewNS: pointer(int64(1_500_000))},
			{Number: 2, Attempts: []archive.Attempt{{Number: 1}}, Windows: []archive.Window{long,
				{Target: "other", Endpoint: &endpoints[0], Strategy: "timed", Evidence: "scope", Asked: archive.Asked{Kind: "manual"}, Exact: true, Got: archive.Got{Steps: 40, DurationNS: 2_003_000_000}}}},
		},
		Record: archive.Record{Asked: archive.Options{Shapes: true}, Seen: &archive.Options{Shapes: true, Stack: true, Memory: true, FLOPs: true}, Extra: []string{"memory", "stack", "flops"}},
		Files: []archive.File{{Path: "journal.jsonl", Size: 0, Kind: archive.KindJournal},
			{Path: "rounds/01/attempt-2/traces/server/a.pt.trace.json.gz", Size: 3 << 30, SHA256: strings.Repeat("0f", 32), Kind: archive.KindTrace},
			{Path: "bad", Size: -1, SHA256: "short", Kind: archive.KindOther}},
		Warnings: []string{"the server recorded stack, which the job did not ask for"},
		Errors:   []string{"the window asked for was not got:\nserver at http://10.0.0.8:8000", "an error with \x1b[31mcolour"},
	}
}

func entries() []archive.Entry {
	ok := manifest()
	ok.Status, ok.Job, ok.Targets, ok.Rounds = archive.StatusOK, "decode", ok.Targets[:1], ok.Rounds[1:]
	empty := &archive.Manifest{RunID: "20261124T040000Z-000004", Job: "decode", Status: archive.StatusFailed}
	const dir = "/runs/decode/"
	return []archive.Entry{
		{RunID: "20261124T010000Z-000001", JobDir: "decode", Path: dir + "20261124T010000Z-000001", Manifest: ok},
		{RunID: "20261124T020000Z-000002", JobDir: "decode-b64-1f3c9a00", Path: "/runs/decode-b64-1f3c9a00/20261124T020000Z-000002.tar.zst", Manifest: manifest()},
		{RunID: "20261124T030000Z-000003", JobDir: "decode", Path: dir + "20261124T030000Z-000003", Err: errors.New("read manifest of /runs/x: unexpected\nend")},
		{RunID: "20261124T040000Z-000004", JobDir: "decode", Path: dir + "20261124T040000Z-000004", Manifest: empty},
		{RunID: "20261124T050000Z-000005", JobDir: "decode", Path: dir + "20261124T050000Z-000005.partial", Partial: true},
	}
}

func TestRuns(t *testing.T) {
	golden(t, "runs.txt", written(t, func(b *strings.Builder) error { return Runs(b, entries()) }))
	golden(t, "runs.json", written(t, func(b *strings.Builder) error { return RunsJSON(b, entries()) }))
	golden(t, "runs.jsonl", written(t, func(b *strings.Builder) error { return RunsJSONLines(b, entries()) }))
}

func TestRunsOfNothing(t *testing.T) {
	if got := written(t, func(b *strings.Builder) error { return RunsJSON(b, nil) }); got != "[]\n" {
		t.Errorf("as JSON %q, want an empty array", got)
	}
	if got := written(t, func(b *strings.Builder) error { return RunsJSONLines(b, nil) }); got != "" {
		t.Errorf("as JSON lines %q, want nothing", got)
	}
}

// The lines are the array's elements.
func TestRunsJSONLinesAreTheArray(t *testing.T) {
	var array, lines []any
	if err := json.Unmarshal([]byte(written(t, func(b *strings.Builder) error { return RunsJSON(b, entries()) })), &array); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(written(t, func(b *strings.Builder) error { return RunsJSONLines(b, entries()) })) {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, v)
	}
	a, errA := json.Marshal(array)
	b, errB := json.Marshal(lines)
	if err := errors.Join(errA, errB); err != nil || string(a) != string(b) {
		t.Errorf("(%v) the array\n%s\nthe lines\n%s", err, a, b)
	}
}

func TestRun(t *testing.T) {
	golden(t, "run.txt", written(t, func(b *strings.Builder) error { return Run(b, "./runs/decode/20261124T031500Z-1f3c9a", manifest()) }))
	empty := &archive.Manifest{RunID: "20261124T040000Z-000004", Job: "decode", Status: archive.StatusFailed}
	golden(t, "run-empty.txt", written(t, func(b *strings.Builder) error { return Run(b, "./runs/decode/20261124T040000Z-000004", empty) }))
}

func TestEnded(t *testing.T) {
	one := manifest()
	one.Rounds = one.Rounds[1:]
	golden(t, "ended.txt", written(t, func(b *strings.Builder) error {
		return errors.Join(
			Ended(b, archive.StatusOK, "./runs/decode/a", one, 872*time.Millisecond),
			Ended(b, archive.StatusWindowNotMet, "./runs/decode/b", manifest(), 83*time.Second),
			Ended(b, archive.StatusFailed, "./runs/decode/c", &archive.Manifest{}, 3*time.Second),
			Ended(b, archive.StatusIncomplete, "./runs/decode/d.partial", nil, time.Hour))
	}))
}
