package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestCopy(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "new", strings.Repeat("n", 255)) // as long as names may be
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	got, err := Copy(context.Background(), dst, iotest.HalfReader(bytes.NewReader(content)))
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := HashFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	want := Copied{Size: 1_000_000, SHA256: "ec21d64624228af3ecd4bdaa8239e32ed943b01e26934cd5610fddb361426dc6"}
	if diff := cmp.Diff([]Copied{want, want}, []Copied{got, hashed}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	data, err := os.ReadFile(dst)
	if err != nil || !bytes.Equal(data, content) {
		t.Errorf("the copy has other content (%v)", err)
	}
}

// The hash is the one that sha256sum gives.
func TestHashFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc")
	mustDo(t, os.WriteFile(path, []byte("abc"), 0o600))
	got, err := HashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Copied{3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	_, err = HashFile(filepath.Join(t.TempDir(), "absent"))
	wantError(t, err, "hash: ", "absent")
}

func TestCopyFails(t *testing.T) {
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("collect.timeout is over"))
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("the connection broke")))
	for _, c := range []struct {
		name string
		ctx  context.Context
		src  io.Reader
		dst  string
		want string
	}{
		{"source breaks", context.Background(), broken, "new", "the connection broke"},
		{"context ends", ended, strings.NewReader("text"), "new", "collect.timeout is over"},
		{"file exists", context.Background(), strings.NewReader("text"), "old", "exists already"},
		{"link exists", context.Background(), strings.NewReader("text"), "link", "exists already"},
		{"below a file", context.Background(), strings.NewReader("text"), "old/new", "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			mustDo(t, os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600), os.Symlink("nowhere", filepath.Join(dir, "link")))
			_, err := Copy(c.ctx, filepath.Join(dir, c.dst), c.src)
			wantError(t, err, "copy to "+filepath.Join(dir, c.dst), c.want)
			if got := tree(t, dir); !slices.Equal(got, []string{"link", "old"}) {
				t.Errorf("left behind: %q", got)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || string(data) != "old" {
				t.Errorf("the old file has %q (%v)", data, err)
			}
		})
	}
}

// While it is written a copy does not have its final name.
func TestNoHalfCopyHasTheFinalName(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "trace.json")
	looked := false
	_, err := Copy(context.Background(), dst, io.MultiReader(strings.NewReader("first half, "), readerFunc(func([]byte) (int, error) {
		looked = true
		if isThere(t, dst) {
			t.Error("half a file bears the final name")
		}
		return 0, io.EOF
	})))
	if err != nil || !looked {
		t.Errorf("error %v, looked %t", err, looked)
	}
	if !isThere(t, dst) {
		t.Error("there is no copy")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
