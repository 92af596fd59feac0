package archive

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shape is what a list says of a run.
type shape struct {
	RunID, JobDir, Base string
	Partial             bool
	Err                 string
}

func shapes(entries []Entry) []shape {
	var all []shape
	for _, e := range entries {
		s := shape{RunID: e.RunID, JobDir: e.JobDir, Base: filepath.Base(e.Path), Partial: e.Partial}
		if e.Err != nil {
			s.Err = e.Err.Error()[strings.LastIndex(e.Err.Error(), ": ")+2:]
		}
		if (e.Manifest == nil) != (e.Partial || e.Err != nil) {
			s.Err += " (manifest missing or there for no reason)"
		}
		all = append(all, s)
	}
	return all
}

func TestList(t *testing.T) {
	root := t.TempDir()
	sealedRun(t, root, "b-job", runA)
	packedRun(t, root, "b-job", runC)
	newRun(t, root, "a-job", runB)
	unreadable := filepath.Join(root, "a-job", runC)
	other := filepath.Join(root, "a-job", "20261125T031500Z-dddddd")
	damaged := filepath.Join(root, "a-job", "20261126T031500Z-eeeeee.tar.zst")
	mustDo(t, os.Mkdir(unreadable, 0o700), os.WriteFile(filepath.Join(unreadable, manifestName), []byte("{"), 0o600),
		os.Mkdir(other, 0o700), os.WriteFile(filepath.Join(other, manifestName), []byte(withFiles()), 0o600),
		os.WriteFile(damaged, []byte("no zstd"), 0o600))
	for _, noRun := range []string{"a-job/notes", "a-job/" + runA + ".removing", "a-job/" + runA + ".tar.zst.partial", "lost+found/" + runA, ".hidden/" + runA} {
		mustDo(t, os.MkdirAll(filepath.Join(root, noRun), 0o700))
	}
	mustDo(t, os.WriteFile(filepath.Join(root, "notes.txt"), nil, 0o600), os.WriteFile(filepath.Join(root, "a-job", runA), nil, 0o600),
		os.Mkdir(filepath.Join(root, "a-job", "20261126T031500Z-ffffff.tar.zst"), 0o700))

	got, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []shape{
		{RunID: runA, JobDir: "b-job", Base: runA},
		{RunID: runB, JobDir: "a-job", Base: runB + ".partial", Partial: true},
		{RunID: runC, JobDir: "a-job", Base: runC, Err: "unexpected end of JSON input"},
		{RunID: runC, JobDir: "b-job", Base: runC + ".tar.zst"},
		{RunID: filepath.Base(other), JobDir: "a-job", Base: filepath.Base(other), Err: "it is that of run " + runA},
		{RunID: "20261126T031500Z-eeeeee", JobDir: "a-job", Base: filepath.Base(damaged), Err: "magic number mismatch"},
	}
	if diff := cmp.Diff(want, shapes(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestListOfNothing(t *testing.T) {
	if got, err := List(filepath.Join(t.TempDir(), "absent")); err != nil || len(got) != 0 {
		t.Errorf("%v, %v, want nothing", got, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	mustDo(t, os.WriteFile(file, nil, 0o600))
	_, err := List(file)
	wantError(t, err, "list runs: ", "not a directory")
}

// A crash while a run is packed can leave it there twice; it is one run.
func TestListShowsARunOnce(t *testing.T) {
	for _, c := range []struct{ name, packed, want string }{
		{"both whole", "", runA + ".tar.zst"},
		{"the packed one damaged", "no zstd", runA},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			path, _ := packedRun(t, root, "job", runA)
			aside := filepath.Join(t.TempDir(), "aside")
			mustDo(t, os.Rename(path, aside))
			sealedRun(t, root, "job", runA)
			mustDo(t, os.Rename(aside, path))
			if c.packed != "" {
				mustDo(t, os.WriteFile(path, []byte(c.packed), 0o600))
			}
			got, err := List(root)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]shape{{RunID: runA, JobDir: "job", Base: c.want}}, shapes(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Of two runs that began in one second the manifests tell which is newer.
func TestRunsOfOneSecond(t *testing.T) {
	root := t.TempDir()
	ids := []string{"20261124T031500Z-cccccc", "20261124T031500Z-aaaaaa", "20261124T031500Z-bbbbbb"}
	for i, id := range ids {
		d, m := newRun(t, root, "job", id), manifestOf("job", id)
		m.StartedAt = m.StartedAt.Add(time.Duration(i) * time.Millisecond)
		mustDo(t, Seal(context.Background(), d, m, nil))
	}
	all, err := List(root)
	mustDo(t, err)
	for i, e := range all {
		if e.RunID != ids[i] {
			t.Errorf("run %d is %s, want %s", i, e.RunID, ids[i])
		}
	}
	if e, err := Find(root, "latest"); err != nil || e.RunID != ids[2] {
		t.Errorf("latest is %s, %v, want %s", e.RunID, err, ids[2])
	}
	removed, err := Prune(context.Background(), root, "job", Keep{Last: 1})
	if diff := cmp.Diff(ids[:2], removed); err != nil || diff != "" {
		t.Errorf("removed (%v), -want +got:\n%s", err, diff)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	sealedRun(t, root, "job", runA)
	sealedRun(t, root, "other", runB)
	packed, _ := packedRun(t, root, "job", runC)
	partial := "20261125T031500Z-dddddd"
	newRun(t, root, "job", partial)
	t.Chdir(filepath.Join(root, "job", runA))
	for _, c := range []struct{ name, want string }{
		{runA, runA},
		{"20261124", ""},
		{"20261124T03", runB},
		{"20261123", runA},
		{"latest", runC},
		{partial, partial},
		{packed, runC},
		{filepath.Join(root, "job", runA) + "/", runA},
		{".", runA},
		{"../" + partial + ".partial", partial},
		{"", ""},
		{"2026", ""},
		{"nightly", ""},
		{"./nightly", ""},
		{"..", ""},
	} {
		e, err := Find(root, c.name)
		if c.want != "" && (err != nil || e.RunID != c.want) {
			t.Errorf("%q is run %q, %v, want %s", c.name, e.RunID, err, c.want)
		}
		if c.want == "" && err == nil {
			t.Errorf("%q is run %s, want none", c.name, e.RunID)
		}
	}
	for name, want := range map[string]string{"2026": "4 runs in " + root + ` begin with "2026"`, "nightly": `no run "nightly" in ` + root, "a/nightly": "a/nightly is no run"} {
		_, err := Find(root, name)
		wantError(t, err, want)
	}
	_, err := Find(filepath.Join(root, "absent"), "latest")
	wantError(t, err, "there are no runs in "+filepath.Join(root, "absent"))
}
