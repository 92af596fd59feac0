package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnwanted(t *testing.T) {
	// Days 1 and 2 have three runs each, day 5 one, day 6 two.
	ids := []string{"20261101T01", "20261101T02", "20261101T03", "20261102T01", "20261102T02", "20261102T03", "20261105T01", "20261106T01", "20261106T02"}
	for _, c := range []struct {
		keep Keep
		stay string // indexes
	}{
		{Keep{Last: 1}, "8"},
		{Keep{Last: 3}, "678"},
		{Keep{Last: 9}, "012345678"},
		{Keep{Last: 100}, "012345678"},
		{Keep{Daily: 1}, "8"},
		{Keep{Daily: 2}, "68"},
		{Keep{Daily: 3}, "568"},
		{Keep{Daily: 4}, "2568"},
		{Keep{Daily: 100}, "2568"},
		{Keep{Last: 2, Daily: 3}, "5678"},
		{Keep{Last: 4, Daily: 2}, "5678"},
		{Keep{Last: 1, Daily: 4}, "2568"},
	} {
		gone := unwanted(ids, c.keep)
		if !slices.IsSorted(gone) {
			t.Errorf("%+v: gone in another order: %q", c.keep, gone)
		}
		stay := ""
		for i, id := range ids {
			if !slices.Contains(gone, id) {
				stay += fmt.Sprint(i)
			}
		}
		if stay != c.stay {
			t.Errorf("%+v: %s stay, want %s", c.keep, stay, c.stay)
		}
	}
	if gone := unwanted(nil, Keep{Last: 1}); len(gone) != 0 {
		t.Errorf("of nothing %q go", gone)
	}
}

func TestPrune(t *testing.T) {
	root := t.TempDir()
	packedRun(t, root, "job", runA)
	sealedRun(t, root, "job", runB)
	sealedRun(t, root, "job", runC)
	sealedRun(t, root, "other", runA)
	newRun(t, root, "job", "20261101T000000Z-000001")
	unreadable := filepath.Join(root, "job", "20261101T000000Z-000002")
	mustDo(t, os.Mkdir(unreadable, 0o700), os.WriteFile(filepath.Join(unreadable, manifestName), []byte("{"), 0o600))
	stranger, _ := sealedRun(t, root, "stranger", "20261101T000000Z-000003")
	mustDo(t, os.Rename(stranger.Path(), filepath.Join(root, "job", "20261101T000000Z-000003")))

	removed, err := Prune(context.Background(), root, "job", Keep{Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{runA, runB}, removed); diff != "" {
		t.Errorf("removed, -want +got:\n%s", diff)
	}
	var left []string
	for _, dir := range []string{"job", "other"} {
		names, err := os.ReadDir(filepath.Join(root, dir))
		mustDo(t, err)
		for _, n := range names {
			left = append(left, dir+"/"+n.Name())
		}
	}
	want := []string{"job/20261101T000000Z-000001.partial", "job/20261101T000000Z-000002", "job/20261101T000000Z-000003", "job/" + runC, "other/" + runA}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left, -want +got:\n%s", diff)
	}
	if removed, err := Prune(context.Background(), root, "job", Keep{Last: 1}); err != nil || len(removed) != 0 {
		t.Errorf("again: %q, %v, want nothing to do", removed, err)
	}
}

// Nights of failures push out no good run.
func TestPruneCountsFailuresApart(t *testing.T) {
	root := t.TempDir()
	sealedRun(t, root, "job", runA)
	for _, id := range []string{runB, runC} {
		d := newRun(t, root, "job", id)
		m := &Manifest{FormatVersion: ManifestVersion, RunID: id, Job: "job", Status: StatusFailed}
		mustDo(t, Seal(context.Background(), d, m, nil))
	}
	removed, err := Prune(context.Background(), root, "job", Keep{Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{runB}, removed); diff != "" {
		t.Errorf("removed, -want +got:\n%s", diff)
	}
}

func TestPruneKeepsAll(t *testing.T) {
	root := t.TempDir()
	sealedRun(t, root, "job", runA)
	for name, keep := range map[string]Keep{"no rule": {}, "more than there are": {Last: 5}} {
		if removed, err := Prune(context.Background(), root, "job", keep); err != nil || len(removed) != 0 {
			t.Errorf("%s: %q, %v", name, removed, err)
		}
	}
	if removed, err := Prune(context.Background(), root, "never-run", Keep{Last: 1}); err != nil || len(removed) != 0 {
		t.Errorf("a job without runs: %q, %v", removed, err)
	}
}

func TestPruneFails(t *testing.T) {
	for _, dir := range []string{"", ".", "..", "../job", "a/b", "/job"} {
		_, err := Prune(context.Background(), t.TempDir(), dir, Keep{Last: 1})
		wantError(t, err, "prune runs: ", "is no folder of a job")
	}
	root := t.TempDir()
	sealedRun(t, root, "job", runA)
	sealedRun(t, root, "job", runB)
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	removed, err := Prune(ended, root, "job", Keep{Last: 1})
	wantError(t, err, "prune runs: ", "enough")
	if len(removed) != 0 || !isThere(t, filepath.Join(root, "job", runA)) {
		t.Errorf("removed %q all the same", removed)
	}
}

// A crash in the middle leaves nothing that looks like a sealed run, and the
// next call removes it.
func TestPruneFinishesWhatACrashLeft(t *testing.T) {
	root := t.TempDir()
	sealedRun(t, root, "job", runC)
	job := filepath.Join(root, "job")
	for _, left := range []string{runA + removingSuffix, runB + tarSuffix + removingSuffix} {
		mustDo(t, os.MkdirAll(filepath.Join(job, left, "half"), 0o700))
	}
	mustDo(t, os.MkdirAll(filepath.Join(job, "notes"+removingSuffix), 0o700))
	if all, err := List(root); err != nil || len(all) != 1 {
		t.Fatalf("listed: %v, %v, want the sealed one alone", shapes(all), err)
	}
	if _, err := Prune(context.Background(), root, "job", Keep{}); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(job)
	mustDo(t, err)
	if len(names) != 2 || names[0].Name() != runC || names[1].Name() != "notes"+removingSuffix {
		t.Errorf("left: %v", names)
	}
}

// What an earlier removal of the same run left is no hindrance.
func TestRemoveRunAgain(t *testing.T) {
	d, _ := sealedRun(t, t.TempDir(), "job", runA)
	mustDo(t, os.Mkdir(d.Path()+removingSuffix, 0o700), os.WriteFile(filepath.Join(d.Path()+removingSuffix, "half"), nil, 0o600))
	if err := removeRun(d.Path()); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(filepath.Dir(d.Final()))
	mustDo(t, err)
	if len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// A directory that can't be emptied has lost its name all the same: it is not
// listed as a run any more.
func TestHalfRemovedIsNotListed(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may remove everything")
	}
	root := t.TempDir()
	d, _ := sealedRun(t, root, "job", runA)
	sealedRun(t, root, "job", runB)
	mustDo(t, os.Chmod(d.Join("logs"), 0o500))
	defer os.Chmod(filepath.Join(d.Path()+removingSuffix, "logs"), 0o700) //nolint:errcheck // so that the test's folder can be removed
	_, err := Prune(context.Background(), root, "job", Keep{Last: 1})
	wantError(t, err, "prune runs: ")
	all, err := List(root)
	mustDo(t, err)
	if len(all) != 1 || strings.HasSuffix(all[0].Path, removingSuffix) {
		t.Errorf("listed: %v", shapes(all))
	}
}
