package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"profjob/internal/durable"
)

// sourceOf is a source of content that breaks after so many bytes of a reading; 0: it
// does not. at notes where each reading began.
func sourceOf(id string, content []byte, breaks int64, at *[]int64) Source {
	return Source{ID: id, Open: func(_ context.Context, offset int64) (io.ReadCloser, error) {
		if at != nil {
			*at = append(*at, offset)
		}
		var r io.Reader = bytes.NewReader(content[min(offset, int64(len(content))):])
		if breaks > 0 {
			r = io.MultiReader(io.LimitReader(r, breaks), iotest.ErrReader(errors.New("the connection broke")))
		}
		return io.NopCloser(iotest.HalfReader(r)), nil
	}}
}

func TestFetch(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "new", strings.Repeat("n", 255)) // as long as names may be
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	var at []int64
	want := Copied{Size: 1_000_000, SHA256: "ec21d64624228af3ecd4bdaa8239e32ed943b01e26934cd5610fddb361426dc6"}
	for range 2 { // the second time it is there
		got, err := Fetch(t.Context(), dst, sourceOf("id", content, 0, &at))
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		want.From = want.Size
	}
	if data, err := os.ReadFile(dst); err != nil || !bytes.Equal(data, content) {
		t.Errorf("the copy has other content (%v)", err)
	}
	if !slices.Equal(at, []int64{0}) {
		t.Errorf("read from %v", at)
	}
}

// A copy that was cut off goes on from where it was, where the source is the same.
func TestFetchGoesOn(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 1_000_000)
	for _, c := range []struct {
		name  string
		first func(t *testing.T, dst string)
		id    string
		from  int64
	}{
		{"a broken source", func(t *testing.T, dst string) {
			_, err := Fetch(t.Context(), dst, sourceOf("id", content, 7_000_003, nil))
			var broken *SourceError
			if !errors.As(err, &broken) || broken.At != 7_000_003 {
				t.Errorf("got %v", err)
			}
			wantError(t, err, "copy to "+dst, "the connection broke")
		}, "id", 7_000_003},
		{"a broken source that is another one now", func(t *testing.T, dst string) {
			_, err := Fetch(t.Context(), dst, sourceOf("id", content, 7_000_003, nil))
			wantError(t, err, "the connection broke")
		}, "id 2", 0},
		{"the end of the context", func(t *testing.T, dst string) {
			ctx, cancel := context.WithCancelCause(t.Context())
			src := sourceOf("id", content, 0, nil)
			_, err := Fetch(ctx, dst, Source{ID: "id", Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				r, err := src.Open(ctx, offset)
				ends := readerFunc(func([]byte) (int, error) { cancel(errors.New("collect.timeout is over")); return 0, nil })
				return io.NopCloser(io.MultiReader(io.LimitReader(r, 5_000_000), ends)), err
			}})
			wantError(t, err, "collect.timeout is over")
		}, "id", 5_000_000},
		{"a kill", func(t *testing.T, dst string) {
			part, err := durable.OpenPart(t.Context(), dst, "id")
			mustDo(t, err)
			_, err = part.Write(content[:9_000_000])
			mustDo(t, err)
		}, "id", 9_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			dst := filepath.Join(dir, "trace.json")
			c.first(t, dst)
			if isThere(t, dst) {
				t.Error("half a file bears the final name")
			}
			if size, ok := Fetched(dst, Source{ID: "id"}); !ok || size != max(c.from, 7_000_003) && size != c.from {
				t.Errorf("%d bytes were begun, %v", size, ok)
			}
			if _, ok := Fetched(dst, Source{ID: "id 2"}); ok {
				t.Error("the copy was begun of another source")
			}
			var at []int64
			got, err := Fetch(t.Context(), dst, sourceOf(c.id, content, 0, &at))
			if err != nil || got.From != c.from || !slices.Equal(at, []int64{c.from}) {
				t.Errorf("got %+v, %v, read from %v", got, err, at)
			}
			hashed, err := HashFile(dst)
			if got.From = 0; err != nil || hashed != got || hashed.Size != int64(len(content)) {
				t.Errorf("the copy is %+v, %v", hashed, err)
			}
			if data, err := os.ReadFile(dst); err != nil || !bytes.Equal(data, content) {
				t.Errorf("the copy has other content (%v)", err)
			}
			if mustDo(t, Discard(dst)); len(tree(t, dir)) != 0 {
				t.Errorf("left behind: %q", tree(t, dir))
			}
		})
	}
}

func TestFetchFails(t *testing.T) {
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("collect.timeout is over"))
	gone := Source{ID: "id", Open: func(context.Context, int64) (io.ReadCloser, error) { return nil, fs.ErrNotExist }}
	text := sourceOf("id", []byte("text"), 0, nil)
	refused := text
	refused.Check = func(_ context.Context, path string, c Copied) error {
		if data, err := os.ReadFile(path); err != nil || string(data) != "text" || !durable.IsTmp(filepath.Base(path)) {
			t.Errorf("asked about %s with %q, %v", path, data, err)
		}
		return fmt.Errorf("refused: %d bytes", c.Size)
	}
	for _, c := range []struct {
		name string
		ctx  context.Context
		src  Source
		dst  string
		want string
	}{
		{"source is gone", t.Context(), gone, "new", "does not exist"},
		{"not what it should be", t.Context(), refused, "new", "refused: 4 bytes"},
		{"context has ended", ended, text, "new", "collect.timeout is over"},
		{"file exists", t.Context(), text, "old", "exists already"},
		{"link exists", t.Context(), text, "link", "exists already"},
		{"below a file", t.Context(), text, "old/new", "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			mustDo(t, os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600), os.Symlink("nowhere", filepath.Join(dir, "link")))
			_, err := Fetch(c.ctx, filepath.Join(dir, c.dst), c.src)
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

// What copies have left is gone once the run is sealed.
func TestSealTakesPartsAway(t *testing.T) {
	d, m := newRun(t, t.TempDir(), "job", runA), manifestOf("job", runA)
	dst := d.Join("rounds", "01", "attempt-3", "traces", "server", "x", "trace.json")
	_, err := Fetch(t.Context(), dst, sourceOf("id", []byte("0123456789"), 5, nil))
	wantError(t, err, "the connection broke")
	_, err = Fetch(t.Context(), d.Join("rounds", "01", "attempt-2", "copied.json"), sourceOf("id", []byte("{}"), 0, nil))
	mustDo(t, err, Seal(t.Context(), d, m, nil))
	for _, path := range tree(t, d.Path()) {
		if durable.IsTmp(filepath.Base(path)) {
			t.Errorf("left behind: %s", path)
		}
	}
	if !isThere(t, d.Join("rounds/01/attempt-2/copied.json")) || isThere(t, d.Join("rounds/01/attempt-3")) {
		t.Errorf("there are %q", tree(t, d.Path()))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
