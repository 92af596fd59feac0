package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// entry is one entry of a tar file.
type entry struct {
	name    string
	kind    byte
	content string
}

func unpack(t *testing.T, path string) []entry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	var all []entry
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{h.Name, h.Typeflag, string(data)})
	}
}

// repack writes a packed run with other entries.
func repack(t *testing.T, path string, entries []entry) {
	t.Helper()
	var b bytes.Buffer
	zw, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Size: int64(len(e.content)), Mode: 0o600}
		if e.kind == tar.TypeSymlink {
			h.Linkname, h.Size = "/etc/passwd", 0
		}
		mustDo(t, tw.WriteHeader(h))
		if h.Size > 0 {
			_, err := tw.Write([]byte(e.content))
			mustDo(t, err)
		}
	}
	mustDo(t, tw.Close(), zw.Close(), os.WriteFile(path, b.Bytes(), 0o600))
}

func TestPack(t *testing.T) {
	root := t.TempDir()
	d, m := sealedRun(t, root, "job", runA)
	path, err := Pack(context.Background(), d, m)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "job", runA+".tar.zst"); path != want || m.Dir != want {
		t.Errorf("packed as %s, the manifest says %s, want %s", path, m.Dir, want)
	}
	if got := tree(t, root); !slices.Equal(got, []string{"job/" + runA + ".tar.zst"}) {
		t.Errorf("the archive holds %q, want the packed run alone", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	want := []entry{{runA + "/manifest.json", tar.TypeReg, encoded(t, m)}}
	for _, f := range m.Files {
		want = append(want, entry{runA + "/" + f.Path, tar.TypeReg, contents[f.Path]})
	}
	if diff := cmp.Diff(want, unpack(t, path), cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diffs, err := Verify(context.Background(), path); err != nil || len(diffs) != 0 {
		t.Errorf("the packed run differs from its manifest: %v, %v", diffs, err)
	}
}

// A run that can't be packed stays as it was.
func TestPackFails(t *testing.T) {
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("third interrupt"))
	for _, c := range []struct {
		name  string
		ctx   context.Context
		spoil func(d *Dir) error
		want  []string
	}{
		{"content changed since it was sealed", context.Background(), func(d *Dir) error {
			return os.WriteFile(d.Join("plan.json"), []byte("[]\n"), 0o600)
		}, []string{"plan.json: its content has SHA-256"}},
		{"a file grew", context.Background(), func(d *Dir) error {
			return os.WriteFile(d.Join("plan.json"), []byte("{}\n\n"), 0o600)
		}, []string{"plan.json: it has more bytes than the manifest says, 3"}},
		{"a file is gone", context.Background(), func(d *Dir) error { return os.Remove(d.Join("plan.json")) }, []string{"plan.json", "no such file"}},
		{"a link leads out", context.Background(), func(d *Dir) error {
			return errors.Join(os.Remove(d.Join("plan.json")), os.Symlink("/etc/passwd", d.Join("plan.json")))
		}, []string{"plan.json", "escapes"}},
		{"the place is taken", context.Background(), func(d *Dir) error { return os.WriteFile(d.Final()+".tar.zst", []byte("theirs"), 0o600) }, []string{"exists already"}},
		{"the context ends", ended, func(*Dir) error { return nil }, []string{"third interrupt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, m := sealedRun(t, t.TempDir(), "job", runA)
			mustDo(t, c.spoil(d))
			before := tree(t, filepath.Dir(d.Final()))
			_, err := Pack(c.ctx, d, m)
			wantError(t, err, append(c.want, "pack run: ")...)
			if diff := cmp.Diff(before, tree(t, filepath.Dir(d.Final()))); diff != "" {
				t.Errorf("the archive changed, -before +after:\n%s", diff)
			}
			if m.Dir != d.Final() {
				t.Errorf("the manifest says that the run is in %s", m.Dir)
			}
		})
	}
	d := newRun(t, t.TempDir(), "job", runA)
	_, err := Pack(context.Background(), d, manifestOf("job", runA))
	wantError(t, err, "is not sealed")
}

func TestTarManifestComesFirst(t *testing.T) {
	for name, entries := range map[string][]entry{
		"another first": {{runA + "/plan.json", tar.TypeReg, "{}"}, {runA + "/manifest.json", tar.TypeReg, withFiles()}},
		"nothing":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), runA+".tar.zst")
			repack(t, path, entries)
			_, err := ReadManifest(path)
			wantError(t, err, "read manifest of "+path)
			if _, err := Verify(context.Background(), path); err == nil {
				t.Error("it is verified all the same")
			}
		})
	}
}

// A packed run is read with bounded memory, whatever its header asks for.
func TestTarWindowHasALimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), runA+".tar.zst")
	// A frame header as RFC 8878, 3.1.1 has it: magic, descriptor without content size, window of 2 GiB.
	mustDo(t, os.WriteFile(path, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0, 0, 0}, 0o600))
	_, err := ReadManifest(path)
	wantError(t, err, "window size exceeded")
}
