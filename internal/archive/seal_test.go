package archive

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const tracePath = "rounds/01/attempt-2/traces/server/10.0.0.7-8000/rank0.pt.trace.json"

// knownTrace is the trace as collect and verify describe it.
func knownTrace(t *testing.T, d *Dir) File {
	t.Helper()
	sum, err := HashFile(d.Join(tracePath))
	if err != nil {
		t.Fatal(err)
	}
	endpoint, rank := "http://10.0.0.7:8000", 0
	return File{Path: tracePath, Size: sum.Size, SHA256: sum.SHA256, Kind: KindTrace, Round: 1, Attempt: 2, Target: "server",
		Endpoint: &endpoint, Rank: &rank, OriginalName: "rank0.1.pt.trace.json"}
}

func TestSeal(t *testing.T) {
	d := newRun(t, t.TempDir(), "job", runA)
	known := knownTrace(t, d)
	for _, dir := range []string{"empty", "rounds/02/attempt-1", ScratchDir + "/deep"} {
		if _, err := d.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	mustDo(t,
		os.WriteFile(d.Join(ScratchDir, "deep", "junk"), nil, 0o600),
		os.WriteFile(d.Join("rounds", ".profjob-123.tmp"), []byte("half a copy"), 0o600),
		os.WriteFile(d.Join("server's own.tmp"), []byte("whole"), 0o600),
		os.Symlink("/etc/passwd", d.Join("link")),
		syscall.Mkfifo(d.Join("pipe"), 0o600))
	m := manifestOf("job", runA)
	if err := Seal(context.Background(), d, m, []File{known}); err != nil {
		t.Fatal(err)
	}

	if d.Path() != d.Final() || !isThere(t, d.Final()) || isThere(t, d.Final()+partialSuffix) {
		t.Errorf("the run is in %s, want it in %s alone", d.Path(), d.Final())
	}
	want := append(slices.Sorted(maps.Keys(contents)), "server's own.tmp")
	var listed []string
	for _, f := range m.Files {
		listed = append(listed, f.Path)
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("the manifest's files, -want +got:\n%s", diff)
	}
	onDisk := slices.DeleteFunc(tree(t, d.Path()), func(p string) bool { return p == manifestName })
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(onDisk))); diff != "" {
		t.Errorf("the directory's files, -want +got:\n%s", diff)
	}
	for _, gone := range []string{"empty", "rounds/02", ScratchDir} {
		if isThere(t, d.Join(gone)) {
			t.Errorf("%s is still there", gone)
		}
	}
	if diffs, err := Verify(context.Background(), d.Path()); err != nil || len(diffs) != 0 {
		t.Errorf("the sealed run differs from its manifest: %v, %v", diffs, err)
	}
	wantError(t, Seal(context.Background(), d, m, nil), "is sealed already")
}

func TestSealDescribesFiles(t *testing.T) {
	d := newRun(t, t.TempDir(), "job", runA)
	known := knownTrace(t, d)
	mustDo(t, os.Mkdir(d.Join("logs", "others"), 0o700))
	mustDo(t, os.WriteFile(d.Join("logs", "others", "x.log"), nil, 0o600), os.WriteFile(d.Join("rounds", "01", "attempt-1", "metrics", "server", "10.0.0.8-8000-stop.prom"), nil, 0o600))
	m := manifestOf("job", runA)
	endpoint := "http://10.0.0.7:8000"
	m.Targets = []Target{
		{Name: "other", Endpoints: []string{"http://10.0.0.8:8000"}}, // of another target than the file's
		{Name: "server", Endpoints: []string{"http://10.0.0.6:8000", endpoint}},
	}
	if err := Seal(context.Background(), d, m, []File{known}); err != nil {
		t.Fatal(err)
	}
	want := map[string]File{
		"plan.json":                      {Kind: KindPlan},
		"journal.jsonl":                  {Kind: KindJournal},
		"input/nightly.hcl":              {Kind: KindInput},
		"logs/server.log":                {Kind: KindLog, Target: "server"},
		"logs/others/x.log":              {Kind: KindLog},
		"guard.log":                      {Kind: KindLog},
		"analysis/round-01-server.json":  {Kind: KindAnalysis, Round: 1, Target: "server"},
		"rounds/01/attempt-1/load.json":  {Kind: KindLoad, Round: 1, Attempt: 1},
		"rounds/01/attempt-1/load.jsonl": {Kind: KindLoad, Round: 1, Attempt: 1},
		"rounds/01/attempt-1/metrics/server/10.0.0.7-8000-start.prom":              {Kind: KindMetrics, Round: 1, Attempt: 1, Target: "server", Endpoint: &endpoint},
		"rounds/01/attempt-1/metrics/server/10.0.0.8-8000-stop.prom":               {Kind: KindMetrics, Round: 1, Attempt: 1, Target: "server"},
		"rounds/01/attempt-2/traces/server/10.0.0.7-8000/größe 2.pt.trace.json.gz": {Kind: KindOther, Round: 1, Attempt: 2, Target: "server", Endpoint: &endpoint},
		tracePath: known,
	}
	for _, f := range m.Files {
		w := want[f.Path]
		w.Path, w.Size, w.SHA256 = f.Path, int64(len(contents[f.Path])), f.SHA256
		if diff := cmp.Diff(w, f); diff != "" {
			t.Errorf("%s, -want +got:\n%s", f.Path, diff)
		}
		if len(f.SHA256) != 64 {
			t.Errorf("%s has SHA-256 %q", f.Path, f.SHA256)
		}
	}
	if len(m.Files) != len(want) {
		t.Errorf("%d files, want %d", len(m.Files), len(want))
	}
}

// Where a run can't be sealed its partial directory stays, with everything in it,
// and it can be sealed once the reason is gone.
func TestSealFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, d *Dir) (mend func() error)
		want  []string
	}{
		{"a known file vanished", func(t *testing.T, d *Dir) func() error {
			mustDo(t, os.Rename(d.Join(tracePath), d.Join(tracePath+".moved")))
			return func() error { return os.Rename(d.Join(tracePath+".moved"), d.Join(tracePath)) }
		}, []string{"collected and not there any more", tracePath}},
		{"a known file grew", func(t *testing.T, d *Dir) func() error {
			info, err := os.Stat(d.Join(tracePath))
			mustDo(t, err, os.Truncate(d.Join(tracePath), info.Size()+1))
			return func() error { return os.Truncate(d.Join(tracePath), info.Size()) }
		}, []string{tracePath, "has 100001 bytes and had 100000"}},
		{"the place is taken", func(t *testing.T, d *Dir) func() error {
			mustDo(t, os.Mkdir(d.Final(), 0o700))
			return func() error { return os.Remove(d.Final()) }
		}, []string{"exists already"}},
		{"a name is not UTF-8", func(t *testing.T, d *Dir) func() error {
			mustDo(t, os.WriteFile(d.Join("bad\xff"), nil, 0o600))
			return func() error { return os.Remove(d.Join("bad\xff")) }
		}, []string{`"bad\xff"`, "not UTF-8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newRun(t, t.TempDir(), "job", runA)
			known := knownTrace(t, d)
			mend := c.spoil(t, d)
			err := Seal(context.Background(), d, manifestOf("job", runA), []File{known})
			wantError(t, err, append(c.want, "seal run: ")...)
			if !isThere(t, d.Final()+partialSuffix) || d.Path() != d.Final()+partialSuffix {
				t.Fatal("the partial directory is gone")
			}
			if n := len(tree(t, d.Path())); n < len(contents) {
				t.Errorf("of %d files %d are left", len(contents), n)
			}
			mustDo(t, mend())
			m := manifestOf("job", runA)
			if err := Seal(context.Background(), d, m, []File{known}); err != nil {
				t.Fatalf("after it was mended: %v", err)
			}
			if len(m.Files) != len(contents) {
				t.Errorf("the manifest has %d files, want %d", len(m.Files), len(contents))
			}
		})
	}
}

func TestSealIsEndedByItsContext(t *testing.T) {
	d := newRun(t, t.TempDir(), "job", runA)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("third interrupt"))
	wantError(t, Seal(ctx, d, manifestOf("job", runA), nil), "third interrupt")
	if isThere(t, d.Final()) || isThere(t, d.Join(manifestName)) {
		t.Error("it was sealed all the same")
	}
}

func TestSealOfAnEmptyRun(t *testing.T) {
	d, err := Create(t.TempDir(), "job", runA)
	if err != nil {
		t.Fatal(err)
	}
	if err := Seal(context.Background(), d, manifestOf("job", runA), nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(d.Join(manifestName))
	if err != nil || !strings.Contains(string(data), `"files": []`) {
		t.Errorf("the manifest (%v):\n%s", err, data)
	}
}
