package steps

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
)

// sealed makes a run of a job that is sealed and not stored yet.
func sealed(t *testing.T, root, id string, emit func(event.Event) error) *Run {
	t.Helper()
	dir, err := archive.Create(root, `decode["b64"]`, id)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	m := &archive.Manifest{FormatVersion: archive.ManifestVersion, RunID: id, Job: dir.Job, Status: archive.StatusOK, StartedAt: at, FinishedAt: at}
	if err := archive.Seal(context.Background(), dir, m, nil); err != nil {
		t.Fatal(err)
	}
	run := &Run{Job: dir.Job, Dir: dir, State: &State{}, Emit: emit, Files: func(dir string) hostfs.FS { return local.New(dir) }}
	run.State.Put(event.Place{Step: "seal"}, SealResult{Manifest: m})
	return run
}

// Once a run is stored, those go that the archive is not to keep any longer.
func TestStoreKeeps(t *testing.T) {
	for _, c := range []struct {
		name, format string
		keep         archive.Keep
		removed      []string
	}{
		{"all", "dir", archive.Keep{}, nil},
		{"directories", "dir", archive.Keep{Last: 2}, []string{"20261122T031500Z-000001"}},
		{"archive files", "tar.zst", archive.Keep{Last: 1}, []string{"20261122T031500Z-000001", "20261123T031500Z-000002"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			store := &Store{Format: c.format, Keep: c.keep}
			nothing := func(event.Event) error { return nil }
			for _, id := range []string{"20261122T031500Z-000001", "20261123T031500Z-000002"} {
				if _, err := (&Store{Format: c.format}).Do(context.Background(), sealed(t, root, id, nothing)); err != nil {
					t.Fatal(err)
				}
			}
			result, err := store.Do(context.Background(), sealed(t, root, "20261124T031500Z-000003", nothing))
			if err != nil {
				t.Fatal(err)
			}
			got := result.(StoreResult)
			if !slices.Equal(got.Removed, c.removed) {
				t.Errorf("removed %q, want %q", got.Removed, c.removed)
			}
			if told := strings.Contains(got.Summary(), "older removed"); told != (len(c.removed) > 0) {
				t.Errorf("the summary is %q", got.Summary())
			}
			if _, err := archive.ReadManifest(got.Path); err != nil {
				t.Errorf("the run just stored: %v", err)
			}
			left, err := archive.List(root)
			if err != nil || len(left) != 3-len(c.removed) {
				t.Errorf("%d runs are left (%v), want %d", len(left), err, 3-len(c.removed))
			}
		})
	}
}

// A run that is stored does not fail because an older one cannot be removed.
func TestStoreWarnsWhereItCannotPrune(t *testing.T) {
	root := t.TempDir()
	var told []event.Event
	run := sealed(t, root, "20261124T031500Z-000003", func(ev event.Event) error { told = append(told, ev); return nil })
	old := sealed(t, root, "20261122T031500Z-000001", nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	result, err := (&Store{Format: "dir", Keep: archive.Keep{Last: 1}}).Do(ctx, run)
	if err != nil {
		t.Fatal(err)
	}
	if got := result.(StoreResult); got.Path != filepath.Join(run.Dir.Final()) || len(got.Removed) != 0 {
		t.Errorf("the result is %+v", got)
	}
	if len(told) != 1 || !strings.Contains(told[0].(event.Warning).Text, "archive.keep: prune runs: ") {
		t.Errorf("told: %v, want one warning", told)
	}
	if _, err := os.Stat(old.Dir.Path()); err != nil {
		t.Error(err)
	}
}

// A run that its disk has no room for once more stays as it is.
func TestStoreDoesNotFit(t *testing.T) {
	run := sealed(t, t.TempDir(), "20261124T031500Z-000003", func(event.Event) error { return nil })
	m, _ := Latest[SealResult](run.State)
	m.Manifest.Files = append(m.Manifest.Files, archive.File{Path: "a.json.gz", Size: 10 << 20}, archive.File{Path: "b.json", Size: 1 << 40})
	free := int64(9<<20 - 1)
	run.Files = func(string) hostfs.FS { return fakeFS{free: func() (int64, error) { return free, nil }} }
	_, err := (&Store{Format: "tar.zst"}).Do(context.Background(), run)
	failed(t, err, ExitIncomplete, "the packed run's files do not fit: 9.0 MiB are to be copied, the archive "+run.Dir.Root+" has 9.0 MiB free")
	if free++; run.hasRoom(t.Context(), archive.PackedAtLeast(m.Manifest), "it") != nil {
		t.Error("what fits does not")
	}
}
