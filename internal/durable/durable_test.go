package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("n", 255) // as long as names may be
	path := filepath.Join(dir, name)
	for _, content := range []string{"old and longer", "new"} { // an older one is replaced
		if err := WriteFile(path, text(content)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != content {
			t.Errorf("%q, %v, want %q", data, err, content)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if got := names(t, dir); got != name {
		t.Errorf("there are %s", got)
	}
}

// Whatever fails, an older file stays as it was and nothing is left beside it.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, text("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := WriteFile(path, func(w io.Writer) error { return errors.Join(text("half")(w), broken) }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	var link *os.LinkError
	if err := WriteFile(filepath.Join(dir, "folder"), text("x")); !errors.As(err, &link) {
		t.Errorf("in the place of a folder: error %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "none", "x"), text("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: error %v", err)
	}
	if got := names(t, dir); got != "file folder" {
		t.Errorf("there are %s", got)
	}
}

func TestWriteTmp(t *testing.T) {
	dir := t.TempDir()
	tmp, err := WriteTmp(dir, text("x"))
	if err != nil || filepath.Dir(tmp.Name()) != dir || !IsTmp(filepath.Base(tmp.Name())) {
		t.Errorf("%v, %v", tmp, err)
	}
	// What is being written is not swept, what its writer has left is.
	if err := SweepTmp(dir); err != nil || names(t, dir) != filepath.Base(tmp.Name()) {
		t.Errorf("there are %s, %v", names(t, dir), err)
	}
	mustDo(t, tmp.file.Close(), os.WriteFile(filepath.Join(dir, "final"), nil, 0o600))
	if err := SweepTmp(dir); err != nil || names(t, dir) != "final" {
		t.Errorf("there are %s, %v", names(t, dir), err)
	}
	for _, name := range []string{"trace.json", "server.tmp", ".profjob-x", ""} {
		if IsTmp(name) {
			t.Errorf("%q counts as not written to its end", name)
		}
	}
}

func TestSyncDir(t *testing.T) {
	if err := SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// Where directories cannot be synced that is no error: Linux's /proc is such a
// file system, and says EINVAL.
func TestSyncDirThatCannotBe(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	if err := SyncDir("/proc/self"); err != nil {
		t.Error(err)
	}
}
