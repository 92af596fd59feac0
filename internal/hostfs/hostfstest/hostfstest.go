// Package hostfstest is the suite that every implementation of hostfs.FS passes.
package hostfstest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"profjob/internal/hostfs"
)

// Open gives an FS whose root is a directory of the host that the tests run on. It
// may be called several times in a test; what it opens it closes with t.Cleanup.
type Open func(t *testing.T, root string) hostfs.FS

// Run runs the suite. The implementation must run as the user of the tests.
func Run(t *testing.T, open Open) {
	t.Run("List", func(t *testing.T) { testList(t, open) })
	t.Run("IDs", func(t *testing.T) { testIDs(t, open) })
	t.Run("Depth", func(t *testing.T) { testDepth(t, open) })
	t.Run("Open", func(t *testing.T) { testOpen(t, open) })
	t.Run("Same", func(t *testing.T) { testSame(t, open) })
	t.Run("Remove", func(t *testing.T) { testRemove(t, open) })
	t.Run("Free", func(t *testing.T) { testFree(t, open) })
	t.Run("Links", func(t *testing.T) { testLinks(t, open) })
	t.Run("Names", func(t *testing.T) { testNames(t, open) })
	t.Run("Permission", func(t *testing.T) { testPermission(t, open) })
	t.Run("Context", func(t *testing.T) { testContext(t, open) })
}

// write makes a file and the directories above it, and gives its path.
func write(t *testing.T, root, path, content string) string {
	t.Helper()
	full := filepath.Join(root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return full
}

// paths lists a directory and gives the paths in it.
func paths(t *testing.T, f hostfs.FS, dir string) []string {
	t.Helper()
	files, err := f.List(t.Context(), dir)
	if err != nil {
		t.Fatalf("list %s: %v", dir, err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Path)
	}
	return names
}

// read reads a file from an offset to its end.
func read(ctx context.Context, f hostfs.FS, path string, offset int64) (string, error) {
	r, err := f.Open(ctx, path, offset)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), errors.Join(err, r.Close())
}

func wantPaths(t *testing.T, f hostfs.FS, dir string, want ...string) {
	t.Helper()
	if got := paths(t, f, dir); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("list %s gives %q, want %q", dir, got, want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want one that is %v", what, err, want)
	}
}

func testOpen(t *testing.T, open Open) {
	root := t.TempDir()
	content := strings.Repeat("0123456789", 100_000)
	write(t, root, "sub/a.json", content)
	write(t, root, "empty", "")
	f := open(t, root)
	for _, offset := range []int64{0, 1, 65_536, 999_999, 1_000_000, 1_000_001, 1 << 40} {
		got, err := read(t.Context(), f, "sub/a.json", offset)
		if err != nil {
			t.Errorf("offset %d: %v", offset, err)
		}
		if want := content[min(offset, int64(len(content))):]; got != want {
			t.Errorf("offset %d: %d bytes, want %d, or other ones", offset, len(got), len(want))
		}
	}
	if got, err := read(t.Context(), f, "empty", 0); got != "" || err != nil {
		t.Errorf("empty file: %q, %v", got, err)
	}

	_, err := read(t.Context(), f, "missing", 0)
	wantError(t, "missing file", err, fs.ErrNotExist)
	_, err = read(t.Context(), f, "missing/a", 0)
	wantError(t, "missing directory", err, fs.ErrNotExist)
	_, err = read(t.Context(), f, "empty", -1)
	wantError(t, "negative offset", err, fs.ErrInvalid)
	if _, err := read(t.Context(), f, "sub", 0); err == nil {
		t.Error("a directory was read")
	}
	_, err = read(t.Context(), open(t, filepath.Join(root, "later")), "a", 0)
	wantError(t, "root that does not exist", err, fs.ErrNotExist)

	closeEarly(t, f)
}

// closeEarly closes a reader in the middle, and uses the FS afterwards.
func closeEarly(t *testing.T, f hostfs.FS) {
	t.Helper()
	r, err := f.Open(t.Context(), "sub/a.json", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close in the middle: %v", err)
	}
	if got, err := read(t.Context(), f, "sub/a.json", 999_990); got != "0123456789" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func testRemove(t *testing.T, open Open) {
	root := t.TempDir()
	write(t, root, "sub/a", "a")
	write(t, root, "sub/b", "b")
	f := open(t, root)
	if err := f.Remove(t.Context(), "sub/a"); err != nil {
		t.Fatal(err)
	}
	wantPaths(t, f, ".", "sub/b")
	wantError(t, "again", f.Remove(t.Context(), "sub/a"), fs.ErrNotExist)
	wantError(t, "missing", f.Remove(t.Context(), "missing/a"), fs.ErrNotExist)
	if err := f.Remove(t.Context(), "sub"); err == nil {
		t.Error("a directory with a file in it was removed")
	}
	if got, err := read(t.Context(), f, "sub/b", 0); got != "b" || err != nil {
		t.Errorf("the file that stays: %q, %v", got, err)
	}
	if err := f.Remove(t.Context(), "sub/b"); err != nil {
		t.Error(err)
	}
	if err := f.Remove(t.Context(), "sub"); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(root, "sub")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty directory is still there: %v", err)
	}
	if err := f.Remove(t.Context(), "."); err == nil {
		t.Error("the root was removed")
	}
	if _, err := os.Stat(root); err != nil {
		t.Errorf("the root: %v", err)
	}
}

func testFree(t *testing.T, open Open) {
	root := t.TempDir()
	write(t, root, "sub/a", "a")
	f := open(t, root)
	free, err := f.Free(t.Context(), "sub")
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the host does not tell its free space")
	}
	if err != nil || free <= 0 || free > 1<<60 {
		t.Errorf("%d bytes free, %v", free, err)
	}
	if _, err := f.Free(t.Context(), "."); err != nil {
		t.Errorf("root: %v", err)
	}
	_, err = f.Free(t.Context(), "missing")
	wantError(t, "missing directory", err, fs.ErrNotExist)
	_, err = open(t, filepath.Join(root, "later")).Free(t.Context(), ".")
	wantError(t, "root that does not exist", err, fs.ErrNotExist)
}

// testNames has names that an implementation may have to quote, and names that it must refuse.
func testNames(t *testing.T, open Open) {
	root := t.TempDir()
	write(t, filepath.Dir(root), "outside", "secret")
	f := open(t, root)
	for _, name := range []string{
		"with space", "ümläut-日本", "100%25", "a#b?c&d=e+f", "-rf", "$HOME `id` $(id)", `quote'and"quote`, `back\slash`, ".hidden",
		"...", "a..b", "*", "[x]", ";", "tab\there", "dir with space/-n/%2e%2e/file",
		"localhost_1234.1795573310248189087.pt.trace.json.gz",
	} {
		write(t, root, name, name)
		wantPaths(t, f, ".", name)
		if got, err := read(t.Context(), f, name, 0); got != name || err != nil {
			t.Errorf("%q: read %q, %v", name, got, err)
		}
		if err := f.Remove(t.Context(), name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		wantPaths(t, f, ".")
	}
	for _, name := range []string{"", "/", "..", "../outside", "a/../../outside", "./a", "a/", "a//b", filepath.Join(root, "a")} {
		_, err := f.Open(t.Context(), name, 0)
		wantError(t, "open "+name, err, fs.ErrInvalid)
		wantError(t, "remove "+name, f.Remove(t.Context(), name), fs.ErrInvalid)
		_, err = f.List(t.Context(), name)
		wantError(t, "list "+name, err, fs.ErrInvalid)
		_, err = f.Free(t.Context(), name)
		wantError(t, "free space of "+name, err, fs.ErrInvalid)
	}
	_, err := f.Open(t.Context(), ".", 0)
	wantError(t, "open the root", err, fs.ErrInvalid)
}

func testPermission(t *testing.T, open Open) {
	if os.Geteuid() <= 0 {
		t.Skip("the superuser may read everything, and a system without users has no permissions")
	}
	root := t.TempDir()
	secret := write(t, root, "closed/a", "a")
	CheckPermission(t, open(t, root), filepath.Dir(secret))
}

// CheckPermission checks the errors of an FS on a directory below its root that it
// may not read, called closed, with a file a in it. The mode of dir is changed.
func CheckPermission(t *testing.T, f hostfs.FS, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755)
	_, err := f.List(t.Context(), ".")
	wantError(t, "list", err, fs.ErrPermission)
	_, err = f.Open(t.Context(), "closed/a", 0)
	wantError(t, "open", err, fs.ErrPermission)
	wantError(t, "remove", f.Remove(t.Context(), "closed/a"), fs.ErrPermission)
}

func testContext(t *testing.T, open Open) {
	root := t.TempDir()
	write(t, root, "a", strings.Repeat("a", 8<<20))
	f := open(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := f.Open(ctx, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, r)
	wantError(t, "read", err, context.Canceled)

	_, err = f.Open(ctx, "a", 0)
	wantError(t, "open", err, context.Canceled)
	_, err = f.List(ctx, ".")
	wantError(t, "list", err, context.Canceled)
	_, err = f.Free(ctx, ".")
	wantError(t, "free space", err, context.Canceled)
	wantError(t, "remove", f.Remove(ctx, "a"), context.Canceled)
	wantPaths(t, f, ".", "a")

	expired, stop := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	_, err = f.List(expired, ".")
	wantError(t, "list after the deadline", err, context.DeadlineExceeded)
}
