package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pointer[T any](v T) *T { return &v }

// fullManifest has something in every field.
func fullManifest() *Manifest {
	m := manifestOf("decode-64", runB)
	endpoint := pointer("http://10.0.0.7:8000")
	m.Dir, m.Status = "/runs/decode-64/"+runB, StatusWindowNotMet
	m.Targets = []Target{{Name: "server", Engine: "vllm", Version: "0.11.0", Endpoints: []string{*endpoint}}}
	asked := Asked{Kind: "steps", Steps: 2, Delay: 10}
	m.Rounds = []Round{{
		Number:   1,
		Attempts: []Attempt{{Number: 1, Error: "the window asked for was not got"}, {Number: 2}},
		Windows: []Window{{
			Target: "server", Endpoint: endpoint, Rank: pointer(0), Attempt: 2, Strategy: "observed", Evidence: "annotation", Asked: asked,
			Got: Got{Steps: 2, RecordedSteps: 17, IdlePasses: 1, Trimmed: true, Annotations: []string{"execute_new_0_0", "execute_new_1_1"}, DurationNS: 2_500_000,
				EngineSteps: []Step{
					{Name: "execute_new_0_0", Class: "decode", Requests: pointer(64), Tokens: pointer(64), StartNS: 1790133300000000000, DurationNS: 1_200_000},
					{Name: "execute_new_1_1", Class: "unknown", StartNS: 1790133300001200000, DurationNS: 1_300_000},
				}},
			Exact: true, File: tracePath,
		}, {
			Target: "server", Attempt: 2, Strategy: "observed", Evidence: "none", Asked: asked, Reason: "no engine step can be found in the trace", File: tracePath,
		}},
		SkewNS: pointer(int64(1500)),
	}, {
		Number: 2, Windows: []Window{{Target: "server", Asked: Asked{Kind: "manual", DurationNS: 2_000_000_000, Until: "stopped"}}},
	}}
	m.Record = Record{Asked: Options{Shapes: true}, Seen: &Options{Shapes: true, Stack: true}, Extra: []string{"stack"}}
	sum := strings.Repeat("0f", 32)
	m.Files = []File{
		{Path: "journal.jsonl", Size: 10, SHA256: sum, Kind: KindJournal},
		{Path: tracePath, Size: 100000, SHA256: sum, Kind: KindTrace, Round: 1, Attempt: 2, Target: "server", Endpoint: endpoint, Rank: pointer(0),
			OriginalName: "sub/rank0.1.pt.trace.json", TrimmedFrom: "rounds/01/attempt-2/traces/server/whole.pt.trace.json"},
	}
	m.Fingerprint = map[string]map[string]string{"server": {"model": "opt-125m", "dtype": "bfloat16"}}
	m.Warnings = []string{"the server recorded stack, which the job did not ask for"}
	m.Errors = []string{"the window asked for was not got"}
	return m
}

// The names in a manifest are a contract: a change of a golden file is a change
// of format_version, unless it only adds a name.
func TestManifestGolden(t *testing.T) {
	for name, m := range map[string]*Manifest{
		"full":  fullManifest(),
		"empty": {FormatVersion: ManifestVersion, RunID: runA, Rounds: []Round{{Number: 1, Windows: []Window{{}}}}, Targets: []Target{{}}, Files: []File{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "manifest-"+name+".json")
			if *update {
				mustDo(t, os.MkdirAll("testdata", 0o755), os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var back Manifest
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			again, err := back.Encode()
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("read back and written again (%v):\n%s", err, cmp.Diff(string(got), string(again)))
			}
		})
	}
}

// The names that are promised are there, whatever the golden files say.
func TestManifestContract(t *testing.T) {
	var any map[string]any
	data, err := fullManifest().Encode()
	mustDo(t, err, json.Unmarshal(data, &any))
	for _, path := range []string{
		"format_version", "run_id", "dir", "job", "status", "started_at", "finished_at", "plan_digest", "profjob.version",
		"targets.0.name", "targets.0.engine", "targets.0.version", "targets.0.endpoints.0",
		"rounds.0.number", "rounds.0.windows.0.target", "rounds.0.windows.0.endpoint", "rounds.0.windows.0.rank",
		"rounds.0.windows.0.strategy", "rounds.0.windows.0.evidence", "rounds.0.windows.0.asked", "rounds.0.windows.0.exact",
		"rounds.0.windows.0.got.steps", "rounds.0.windows.0.got.recorded_steps", "rounds.0.windows.0.got.idle_passes",
		"rounds.0.windows.0.got.trimmed", "rounds.0.windows.0.got.annotations.0", "rounds.0.windows.0.got.duration_ns",
		"record.asked", "record.seen", "record.extra.0", "fingerprint", "errors.0",
		"files.1.path", "files.1.size", "files.1.sha256", "files.1.kind", "files.1.round", "files.1.attempt", "files.1.target",
		"files.1.endpoint", "files.1.rank", "files.1.original_name", "files.1.trimmed_from",
	} {
		if v, ok := at(any, path); !ok || v == nil {
			t.Errorf("%s is not there", path)
		}
	}
	for _, path := range []string{"round", "attempt", "target", "endpoint", "rank", "original_name", "trimmed_from"} {
		if v, ok := at(any, "files.0."+path); !ok || v != nil {
			t.Errorf("files.0.%s is %v (there: %t), want null: it is not known", path, v, ok)
		}
	}
}

// at follows a path of names and numbers into decoded JSON.
func at(v any, path string) (any, bool) {
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			next, ok := in[name]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// What is null in a manifest with nothing in it is never an array.
func TestNoArrayIsNull(t *testing.T) {
	mayBeNull := map[string]bool{"endpoint": true, "rank": true, "skew_ns": true, "seen": true, "round": true, "attempt": true,
		"target": true, "original_name": true, "trimmed_from": true}
	empty := Manifest{Targets: []Target{{}}, Rounds: []Round{{Windows: []Window{{}}}}, Files: []File{{}}}
	for name, v := range map[string]any{"by pointer": &empty, "by value": empty, "in an array": []*Manifest{{}, &empty}} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		mustDo(t, json.Unmarshal(data, &back))
		var walk func(path string, v any)
		walk = func(path string, v any) {
			switch v := v.(type) {
			case map[string]any:
				for key, in := range v {
					if in == nil && !mayBeNull[key] {
						t.Errorf("%s: %s.%s is null", name, path, key)
					}
					walk(path+"."+key, in)
				}
			case []any:
				for i, in := range v {
					walk(fmt.Sprintf("%s.%d", path, i), in)
				}
			}
		}
		walk("", back)
	}
}

func TestReadManifest(t *testing.T) {
	root := t.TempDir()
	d, m := sealedRun(t, root, "job", runA)
	packed, packedManifest := packedRun(t, root, "job", runB)
	for path, want := range map[string]*Manifest{d.Path(): m, packed: packedManifest} {
		got, err := ReadManifest(path)
		if err != nil {
			t.Fatal(err)
		}
		if want.Dir != path {
			t.Errorf("the manifest says that the run is in %s, it is in %s", want.Dir, path)
		}
		if diff := cmp.Diff(encoded(t, want), encoded(t, got)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", path, diff)
		}
		moved := filepath.Join(t.TempDir(), filepath.Base(path))
		mustDo(t, os.Rename(path, moved))
		if got, err = ReadManifest(moved); err != nil || got.Dir != moved {
			t.Errorf("moved to %s, its manifest is read with dir %q, %v", moved, got.Dir, err)
		}
	}
}

func encoded(t *testing.T, m *Manifest) string {
	t.Helper()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReadManifestFails(t *testing.T) {
	for _, c := range []struct{ name, manifest, want string }{
		{"no JSON", "{", "unexpected end of JSON input"},
		{"another's JSON", "[]", "cannot unmarshal array"},
		{"no version", "{}", "format_version 0, this profjob reads 1 to 1"},
		{"newer", `{"format_version": 2}`, "format_version 2, this profjob reads 1 to 1"},
		{"no run id", `{"format_version": 1, "run_id": "../x"}`, `run_id "../x" is no run id`},
		{"path out of the run", withFiles("../../etc/passwd"), `"../../etc/passwd" is no path of a file of the run`},
		{"absolute path", withFiles("/etc/passwd"), `"/etc/passwd" is no path`},
		{"path with a dot", withFiles("a/./b"), `"a/./b" is no path`},
		{"the run itself", withFiles("."), `"." is no path`},
		{"no path", withFiles(""), `"" is no path`},
		{"itself", withFiles("manifest.json"), `"manifest.json" is no path`},
		{"twice", withFiles("a", "b", "a"), "a is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), runA)
			mustDo(t, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, manifestName), []byte(c.manifest), 0o600))
			_, err := ReadManifest(dir)
			wantError(t, err, "read manifest of "+dir, c.want)
		})
	}
	_, err := ReadManifest(filepath.Join(t.TempDir(), runA))
	wantError(t, err, "no such file")
}

func withFiles(paths ...string) string {
	m := manifestOf("job", runA)
	for _, p := range paths {
		m.Files = append(m.Files, File{Path: p})
	}
	data, err := m.Encode()
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func TestManifestHasALimit(t *testing.T) {
	d, _ := sealedRun(t, t.TempDir(), "job", runA)
	info, err := os.Stat(d.Join(manifestName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readManifest(d.Path(), info.Size()); err != nil {
		t.Errorf("as large as the limit: %v", err)
	}
	_, err = readManifest(d.Path(), info.Size()-1)
	wantError(t, err, fmt.Sprintf("larger than %d bytes, the limit", info.Size()-1))
}

func FuzzManifest(f *testing.F) {
	data, err := fullManifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(withFiles("a/../../b")))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Manifest
		if json.Unmarshal(data, &m) != nil || m.check() != nil {
			return
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(file.Path)) {
				t.Errorf("the path %q is accepted", file.Path)
			}
		}
		if y := m.StartedAt.Year(); y < 0 || y > 9999 || m.FinishedAt.Year() < 0 || m.FinishedAt.Year() > 9999 {
			return // what time.Time does not write as JSON
		}
		if _, err := m.Encode(); err != nil {
			t.Error(err)
		}
	})
}
