package archive

import (
	"context"
	"io"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk gives an error that says so, and leaves no half file.
func TestCopyToAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	_, err := Copy(context.Background(), filepath.Join(dir, "trace.json"), io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), 1<<20))
	wantError(t, err, "trace.json", "no space left on device")
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}
