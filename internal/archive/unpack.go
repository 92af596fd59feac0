package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Unpack copies files of a packed run below a directory that exists, each at its path
// within the run, and compares them with the manifest. paths are some of those in
// m.Files. An error names the first that is missing or damaged.
func Unpack(ctx context.Context, m *Manifest, paths []string, dir string) error {
	if err := takeOut(ctx, m, paths, dir); err != nil {
		return fmt.Errorf("unpack %s: %w", m.Dir, err)
	}
	return nil
}

func takeOut(ctx context.Context, m *Manifest, paths []string, dir string) error {
	left := map[string]File{}
	for _, f := range m.Files {
		if slices.Contains(paths, f.Path) {
			left[f.Path] = f
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() // what is written is closed where it is written
	t, err := openTar(ctx, m.Dir)
	if err != nil {
		return err
	}
	defer t.Close() // it is only read
	for len(left) > 0 {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, _ := strings.CutPrefix(h.Name, m.RunID+"/")
		f, ok := left[name]
		if !ok {
			continue
		}
		delete(left, name)
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s: it is no regular file", name)
		}
		if err := takeOutFile(ctx, root, f, t); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, p := range paths {
		if _, missing := left[p]; missing {
			return fmt.Errorf("%s: it is missing", p)
		}
	}
	return nil
}

// takeOutFile writes one file. No more is written than the manifest says.
func takeOutFile(ctx context.Context, root *os.Root, f File, from io.Reader) error {
	name := filepath.FromSlash(f.Path)
	if err := root.MkdirAll(filepath.Dir(name), dirMode); err != nil {
		return err
	}
	to, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	got, err := copyHashing(ctx, to, io.LimitReader(from, max(f.Size, 0)+1))
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	if got.Size != f.Size || got.SHA256 != f.SHA256 {
		return errors.New("it is not what the manifest says")
	}
	return nil
}
