package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"profjob/internal/durable"
)

// IsPacked tells whether the run is one file.
func (e Entry) IsPacked() bool { return isPacked(e.Path) }

// Unpack writes files of a packed run into the folder dir, under their paths, and
// compares them with the manifest's hashes. m is as [ReadManifest] gives it.
func Unpack(ctx context.Context, m *Manifest, dir string, files []File) error {
	want := make(map[string]File, len(files))
	for _, f := range files {
		want[f.Path] = f
	}
	t, err := openTar(ctx, m.Dir)
	if err != nil {
		return fmt.Errorf("unpack run: %w", err)
	}
	defer t.Close() // it is only read
	for len(want) > 0 {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			err = errors.New("files of the manifest are not there")
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", m.Dir, err)
		}
		name := strings.TrimPrefix(h.Name, m.RunID+"/")
		f, ok := want[name]
		if !ok {
			continue
		}
		delete(want, name)
		if err := unpackFile(ctx, dir, f, t); err != nil {
			return fmt.Errorf("unpack %s: %s: %w", m.Dir, name, err)
		}
	}
	return nil
}

func unpackFile(ctx context.Context, dir string, f File, r io.Reader) error {
	if !fs.ValidPath(f.Path) {
		return errors.New("its path leads out of the run")
	}
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		got, err := copyHashing(ctx, w, io.LimitReader(r, max(f.Size, 0)+1)) // a sparse entry may go on for exabytes
		if err == nil && (got.Size != f.Size || got.SHA256 != f.SHA256) {
			err = errors.New("it is not what the manifest says")
		}
		return err
	})
}
