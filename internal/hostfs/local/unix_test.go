//go:build linux

package local_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"profjob/internal/hostfs/hostfstest"
	"profjob/internal/hostfs/local"
)

// The suite leaves permissions out for the superuser; on Linux one thread can drop its rights on files.
func TestPermissionAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can become nobody; the suite has tested this user")
	}
	root := t.TempDir()
	// The two directories that t.TempDir makes are the owner's alone.
	mustChmod(t, root, 0o755)
	mustChmod(t, filepath.Dir(root), 0o755)
	closed := filepath.Join(root, "closed")
	if err := os.Mkdir(closed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(closed, "a"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if err := os.Chown(closed, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with its thread, which keeps no other goroutine's rights low
		defer close(done)
		runtime.LockOSThread()
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Error(err)
			return
		}
		hostfstest.CheckPermission(t, local.New(root), closed)
	}()
	<-done
}

func mustChmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A named pipe is no file: it is not listed, and opening it doesn't wait for a writer.
func TestNamedPipe(t *testing.T) {
	root := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := local.New(root)
	if files, err := f.List(t.Context(), "."); err != nil || len(files) != 0 {
		t.Errorf("list: %v, %v", files, err)
	}
	if r, err := f.Open(t.Context(), "pipe", 0); err == nil {
		r.Close()
		t.Error("a named pipe was opened")
	}
}
