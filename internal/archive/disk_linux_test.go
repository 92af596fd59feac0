package archive

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk gives an error that says so, and leaves no half file.
func TestFetchToAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	_, err := Fetch(t.Context(), filepath.Join(dir, "trace.json"), sourceOf("id", make([]byte, 1<<20), 0, nil))
	wantError(t, err, "trace.json", "no space left on device")
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Where the directory cannot be removed the run is there once, as it was.
func TestPackCannotRemove(t *testing.T) {
	d, m := sealedRun(t, t.TempDir(), "job", runA)
	busy := d.Final() + removingSuffix
	mustDo(t, os.Mkdir(busy, 0o700))
	if err := syscall.Mount("tmpfs", busy, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(busy, 0); err != nil {
			t.Error(err)
		}
	}()
	_, err := Pack(context.Background(), d, m)
	wantError(t, err, "pack run: remove what was packed: ", "busy")
	if isThere(t, d.Final()+tarSuffix) || m.Dir != d.Final() {
		t.Errorf("the packed run is there, too; the manifest says %s", m.Dir)
	}
	if diffs, err := Verify(context.Background(), d.Path()); err != nil || len(diffs) != 0 {
		t.Errorf("the directory differs from its manifest: %v, %v", diffs, err)
	}
}
