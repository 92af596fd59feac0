package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestUnpack: only the files asked for are written, and only as the manifest says.
func TestUnpack(t *testing.T) {
	path, m := packedRun(t, t.TempDir(), "job", runA)
	dir := t.TempDir()
	i := slices.IndexFunc(m.Files, func(f File) bool { return f.Path == tracePath })
	want := m.Files[i]
	if err := Unpack(t.Context(), m, dir, []File{want}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); len(got) != 1 || got[0] != tracePath {
		t.Errorf("unpacked %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(tracePath))); err != nil || string(data) != contents[tracePath] {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	other := want
	other.SHA256 = m.Files[(i+1)%len(m.Files)].SHA256
	wantError(t, Unpack(t.Context(), m, t.TempDir(), []File{other}), path, tracePath, "not what the manifest says")
	other = want
	other.Size--
	wantError(t, Unpack(t.Context(), m, t.TempDir(), []File{other}), "not what the manifest says")
	wantError(t, Unpack(t.Context(), m, t.TempDir(), []File{{Path: "none"}}), "are not there")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Unpack(ctx, m, t.TempDir(), []File{want}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	entries := unpack(t, path)
	for j := range entries {
		if entries[j].name == runA+"/plan.json" {
			entries[j].name = runA + "/../../out"
		}
	}
	repack(t, path, entries)
	out := filepath.Join(t.TempDir(), "a", "b")
	wantError(t, Unpack(t.Context(), m, out, []File{{Path: "../../out", Size: 3}}), "leads out of the run")
}

func TestSealedAround(t *testing.T) {
	root := t.TempDir()
	sealed, _ := sealedRun(t, root, "job", runA)
	going := newRun(t, root, "job", runB)
	link := filepath.Join(t.TempDir(), "link")
	mustDo(t, os.Symlink(sealed.Join("logs"), link))
	for path, want := range map[string]bool{
		sealed.Join("new"): true, sealed.Join("logs", "new"): true, filepath.Join(link, "new"): true,
		going.Join("new"): false, filepath.Join(root, "new"): false,
	} {
		got, err := SealedAround(path)
		if err != nil || (got != "") != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if _, err := SealedAround(filepath.Join(root, "none", "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
