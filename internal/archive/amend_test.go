package archive

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAmend(t *testing.T) {
	d, m := sealedRun(t, t.TempDir(), "job", runA)
	before := tree(t, d.Root)
	m.Status, m.Errors = StatusIncomplete, append(m.Errors, "pack run: no space left on device")
	if err := Amend(d, m); err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != StatusIncomplete || !slices.Equal(got.Errors, m.Errors) {
		t.Errorf("the manifest on disk says %s and %q", got.Status, got.Errors)
	}
	if diff := cmp.Diff(before, tree(t, d.Root)); diff != "" {
		t.Errorf("the archive's files changed, -before +after:\n%s", diff)
	}
	if diffs, err := Verify(context.Background(), d.Path()); err != nil || len(diffs) != 0 {
		t.Errorf("the run differs from its manifest: %v, %v", diffs, err)
	}
}

// Nothing is written where there is no sealed directory.
func TestAmendFails(t *testing.T) {
	root := t.TempDir()
	wantError(t, Amend(newRun(t, root, "job", runA), manifestOf("job", runA)), "amend manifest: ", "is not sealed")

	d, m := sealedRun(t, root, "job", runB)
	path, err := Pack(context.Background(), d, m)
	mustDo(t, err)
	wantError(t, Amend(d, m), "amend manifest: ", filepath.Join(runB, manifestName)+" is not there")
	if isThere(t, d.Final()) || !isThere(t, path) {
		t.Error("beside the packed run there is a directory")
	}
}
