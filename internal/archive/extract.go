package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Extract writes files of a packed run below a directory, under their paths in the
// run, as far as want says so. What they hold is compared with the manifest; one that
// differs is an error, and so is one that is missing.
func Extract(ctx context.Context, m *Manifest, dir string, want func(File) bool) error {
	wanted := map[string]File{}
	for _, f := range m.Files {
		if want(f) && filepath.IsLocal(filepath.FromSlash(f.Path)) {
			wanted[f.Path] = f
		}
	}
	if err := extract(ctx, m.Dir, dir, wanted); err != nil {
		return fmt.Errorf("unpack %s: %w", m.Dir, err)
	}
	for name := range wanted {
		return fmt.Errorf("unpack %s: %s is missing", m.Dir, name)
	}
	return nil
}

// extract takes each file that it has written out of those wanted.
func extract(ctx context.Context, from, dir string, wanted map[string]File) error {
	t, err := openTar(ctx, from)
	if err != nil {
		return err
	}
	defer t.Close() // it is only read
	for len(wanted) > 0 {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(path.Clean(h.Name), "/")
		f, ok := wanted[name]
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := extractFile(ctx, filepath.Join(dir, filepath.FromSlash(name)), f, t); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		delete(wanted, name)
	}
	return nil
}

func extractFile(ctx context.Context, to string, f File, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	got, err := copyHashing(ctx, w, from)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	if got.Size != f.Size || got.SHA256 != f.SHA256 {
		return errors.New("it is not what the manifest says: the run is damaged")
	}
	return nil
}
