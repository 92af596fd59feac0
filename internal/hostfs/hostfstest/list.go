package hostfstest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"profjob/internal/hostfs"
)

func testList(t *testing.T, open Open) {
	root := t.TempDir()
	f := open(t, root)
	wantPaths(t, f, ".")

	modified := time.Date(2026, 11, 24, 3, 15, 7, 0, time.UTC)
	write(t, root, "rank0.pt.trace.json.gz", "0123456789")
	write(t, root, "host_ascend_pt/PROF_1/device_0/data.bin", "abc")
	write(t, root, "host_ascend_pt/profiler_info_0.json", "")
	write(t, root, "host_ascend_pt-2/x", "x")
	write(t, root, hostfs.LostAndFound+"/#123", "x")
	write(t, root, "host_ascend_pt/"+hostfs.LostAndFound, "x")
	if err := os.Chtimes(filepath.Join(root, "rank0.pt.trace.json.gz"), modified, modified); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "empty/directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantPaths(t, f, ".",
		"host_ascend_pt-2/x", "host_ascend_pt/PROF_1/device_0/data.bin", "host_ascend_pt/lost+found",
		"host_ascend_pt/profiler_info_0.json", "rank0.pt.trace.json.gz")
	wantPaths(t, f, "host_ascend_pt", "PROF_1/device_0/data.bin", "lost+found", "profiler_info_0.json")
	wantPaths(t, f, "empty")

	files, err := f.List(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got := files[4]; got.Size != 10 || got.ModTime.Sub(modified).Abs() > time.Second {
		t.Errorf("file %+v, want 10 bytes from %s", got, modified)
	}
	checkListFails(t, open, root)
}

func checkListFails(t *testing.T, open Open, root string) {
	t.Helper()
	f := open(t, root)
	_, err := f.List(t.Context(), "missing")
	wantError(t, "missing directory", err, fs.ErrNotExist)
	if files, err := f.List(t.Context(), "rank0.pt.trace.json.gz"); err == nil {
		t.Errorf("listing a file gives %v", files)
	}
	later := filepath.Join(root, "later")
	f = open(t, later)
	_, err = f.List(t.Context(), ".")
	wantError(t, "root that does not exist", err, fs.ErrNotExist)
	write(t, later, "a", "a")
	wantPaths(t, f, ".", "a")
}

// testIDs checks what is said of IDs, where the implementation has them.
func testIDs(t *testing.T, open Open) {
	root := t.TempDir()
	a := write(t, root, "a", "same")
	write(t, root, "b", "same")
	if err := os.Link(a, filepath.Join(root, "c")); err != nil {
		t.Skipf("no hard links: %v", err)
	}
	files, err := open(t, root).List(t.Context(), ".")
	if err != nil || len(files) != 3 {
		t.Fatalf("list: %v, %v", files, err)
	}
	if files[0].ID == "" {
		t.Skip("the implementation has no IDs")
	}
	if files[0].ID == files[1].ID {
		t.Errorf("two files have the ID %s", files[0].ID)
	}
	if files[0].ID != files[2].ID {
		t.Errorf("two names of a file have the IDs %s and %s", files[0].ID, files[2].ID)
	}
	if err := os.Rename(a, filepath.Join(root, "d")); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, root).List(t.Context(), ".")
	if err != nil || len(again) != 3 || again[2].ID != files[0].ID {
		t.Errorf("after it got another name, the file with ID %s: %v, %v", files[0].ID, again, err)
	}
}

func testDepth(t *testing.T, open Open) {
	root := t.TempDir()
	f := open(t, root)
	deep := strings.Repeat("d/", hostfs.MaxDepth)
	write(t, root, deep+"a", "a")
	wantPaths(t, f, ".", deep+"a")
	write(t, root, deep+"d/a", "a")
	_, err := f.List(t.Context(), ".")
	wantError(t, "directories too deep", err, hostfs.ErrTooDeep)
	wantPaths(t, f, "d", deep[2:]+"a", deep+"a")
}

// testLinks checks that no link leads out of the root, nor is listed.
func testLinks(t *testing.T, open Open) {
	outside := t.TempDir()
	secret := write(t, outside, "secret", "secret")
	real := t.TempDir()
	write(t, real, "sub/a", "a")
	for name, target := range map[string]string{
		"file-out": secret, "dir-out": outside, "sub/up": "..", "sub/up-out": "../../" + filepath.Base(outside),
		"file-in": "sub/a", "dir-in": "sub", "dangling": "nowhere", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(real, name)); err != nil {
			t.Skipf("no symbolic links: %v", err)
		}
	}
	root := filepath.Join(outside, "root")
	if err := os.Symlink(real, root); err != nil {
		t.Fatal(err)
	}
	f := open(t, root)
	wantPaths(t, f, ".", "sub/a")
	for _, path := range []string{"file-out", "dir-out/secret", "sub/up-out/secret", "dangling", "loop"} {
		if text, err := read(t.Context(), f, path, 0); err == nil {
			t.Errorf("%s: read %q", path, text)
		}
	}
	for _, dir := range []string{"dir-out", "sub/up-out", "dangling", "loop"} {
		if files, err := f.List(t.Context(), dir); err == nil {
			t.Errorf("%s: listed %v", dir, files)
		}
		if free, err := f.Free(t.Context(), dir); err == nil {
			t.Errorf("%s: %d bytes free", dir, free)
		}
	}
	for _, path := range []string{"dir-out/secret", "sub/up-out/secret"} {
		if err := f.Remove(t.Context(), path); err == nil {
			t.Errorf("%s: removed", path)
		}
	}
	if err := f.Remove(t.Context(), "file-out"); err != nil {
		t.Errorf("remove a link: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(real, "file-out")); err == nil {
		t.Error("the link is still there")
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("the file that links lead to: %q, %v", text, err)
	}
}
