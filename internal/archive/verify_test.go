package archive

import (
	"archive/tar"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestVerifyDir(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(d *Dir) error
		want  []string // the beginning of each difference
	}{
		{"nothing", func(*Dir) error { return nil }, nil},
		{"an empty directory", func(d *Dir) error { return os.Mkdir(d.Join("empty"), 0o700) }, nil},
		{"one bit", func(d *Dir) error {
			data := []byte(contents[tracePath])
			data[70_000] ^= 1
			return os.WriteFile(d.Join(tracePath), data, 0o600)
		}, []string{tracePath + ": its content has SHA-256 "}},
		{"many", func(d *Dir) error {
			return errors.Join(os.Truncate(d.Join(tracePath), 99_999), os.Remove(d.Join("plan.json")), os.WriteFile(d.Join("more"), nil, 0o600),
				os.Remove(d.Join("guard.log")), os.Symlink("/etc/passwd", d.Join("guard.log")),
				os.Remove(d.Join("journal.jsonl")), os.Mkdir(d.Join("journal.jsonl"), 0o700),
				os.Symlink("/etc", d.Join("etc")))
		}, []string{"etc: the manifest does not have it", "guard.log: it is no regular file", "journal.jsonl: missing", "more: the manifest does not have it",
			"plan.json: missing", tracePath + ": it has 99999 bytes, the manifest says 100000"}},
		{"a directory through a link", func(d *Dir) error {
			return errors.Join(os.Rename(d.Join("logs"), d.Final()+".logs"), os.Symlink(d.Final()+".logs", d.Join("logs")))
		}, []string{"logs/server.log: missing", "logs: the manifest does not have it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := sealedRun(t, t.TempDir(), "job", runA)
			mustDo(t, c.spoil(d))
			checkDifferences(t, d.Path(), c.want)
		})
	}
}

func checkDifferences(t *testing.T, path string, want []string) {
	t.Helper()
	got, err := Verify(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range got {
		if i >= len(want) || !strings.HasPrefix(d.String(), want[i]) {
			t.Errorf("difference %d is %q", i, d)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d differences %q, want %d: %q", len(got), got, len(want), want)
	}
}

func TestVerifyPacked(t *testing.T) {
	const plan = runA + "/plan.json"
	at := func(entries []entry, name string) int {
		return slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
	}
	for _, c := range []struct {
		name  string
		spoil func(entries []entry) []entry
		want  []string
	}{
		{"nothing", func(e []entry) []entry { return e }, nil},
		{"content", func(e []entry) []entry { e[at(e, plan)].content = "[]\n"; return e }, []string{"plan.json: its content has SHA-256 "}},
		{"size", func(e []entry) []entry { e[at(e, plan)].content = ""; return e }, []string{"plan.json: it has 0 bytes, the manifest says 3"}},
		{"missing", func(e []entry) []entry { return slices.Delete(e, at(e, plan), at(e, plan)+1) }, []string{"plan.json: missing"}},
		{"a link", func(e []entry) []entry { e[at(e, plan)].kind = tar.TypeSymlink; return e }, []string{"plan.json: it is no regular file"}},
		{"twice", func(e []entry) []entry { return append(e, e[at(e, plan)]) }, []string{"plan.json: the manifest does not have it, or it is there twice"}},
		{"a second manifest", func(e []entry) []entry { return append(e, e[0]) }, []string{"manifest.json: the manifest does not have it, or it is there twice"}},
		{"more", func(e []entry) []entry { return append(e, entry{runA + "/more", tar.TypeReg, "x"}) }, []string{"more: the manifest does not have it"}},
		{"paths that lead out", func(e []entry) []entry {
			return append(e, entry{runA + "/../../x", tar.TypeReg, "x"}, entry{"/etc/passwd", tar.TypeReg, "x"}, entry{"x", tar.TypeReg, "x"})
		}, []string{`the entry "/etc/passwd" is not of this run`, `the entry "` + runA + `/../../x" is not of this run`, `the entry "x" is not of this run`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, _ := packedRun(t, t.TempDir(), "job", runA)
			repack(t, path, c.spoil(unpack(t, path)))
			checkDifferences(t, path, c.want)
		})
	}
}

func TestVerifyDamagedFile(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(data []byte) []byte
	}{
		{"cut off", func(data []byte) []byte { return data[:len(data)-20] }},
		{"last byte of the checksum", func(data []byte) []byte { data[len(data)-1] ^= 1; return data }},
		{"something behind it", func(data []byte) []byte { return append(data, "more"...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, m := newRun(t, t.TempDir(), "job", runA), manifestOf("job", runA)
			noise := make([]byte, 1<<20) // more than a block of zstd, so that the manifest before it can be read
			rand.NewChaCha8([32]byte{}).Read(noise)
			mustDo(t, os.WriteFile(d.Join("noise"), noise, 0o600), Seal(context.Background(), d, m, nil))
			path, err := Pack(context.Background(), d, m)
			mustDo(t, err)
			data, err := os.ReadFile(path)
			mustDo(t, err, os.WriteFile(path, c.spoil(data), 0o600))
			got, err := Verify(context.Background(), path)
			if err != nil {
				t.Fatal(err)
			}
			damage := func(d Difference) bool { return strings.HasPrefix(d.String(), "the file cannot be read on: ") }
			if !slices.ContainsFunc(got, damage) {
				t.Errorf("the differences are %q, want one that says that the file is damaged", got)
			}
		})
	}
}

func TestVerifyFails(t *testing.T) {
	root := t.TempDir()
	partial := newRun(t, root, "job", runA)
	_, err := Verify(context.Background(), partial.Path())
	wantError(t, err, "the run was never sealed")
	_, err = Verify(context.Background(), filepath.Join(root, "absent"))
	wantError(t, err, "verify: read manifest of ", "no such file")

	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	d, _ := sealedRun(t, root, "job", runB)
	packed, _ := packedRun(t, root, "job", runC)
	for _, path := range []string{d.Path(), packed} {
		_, err := Verify(ended, path)
		wantError(t, err, "verify "+path, "enough")
	}
}

func TestVerifyUnderAnotherName(t *testing.T) {
	d, _ := sealedRun(t, t.TempDir(), "job", runA)
	moved := filepath.Join(t.TempDir(), runB)
	mustDo(t, os.Rename(d.Path(), moved))
	checkDifferences(t, moved, []string{"manifest.json: it is that of run " + runA + ", the run is kept as " + runB})
}

func TestVerifyRelativePath(t *testing.T) {
	d, _ := sealedRun(t, t.TempDir(), "job", runA)
	t.Chdir(d.Path())
	checkDifferences(t, ".", nil)
}
