package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"profjob/internal/hostfs"
)

// listing is one walk through the directories below base.
type listing struct {
	ctx        context.Context
	root       *os.Root
	base       string // the directory listed, relative to root
	maxEntries int

	entries int
	files   []hostfs.File
}

func list(ctx context.Context, root *os.Root, base string, maxEntries int) ([]hostfs.File, error) {
	l := &listing{ctx: ctx, root: root, base: base, maxEntries: maxEntries}
	if err := l.walk(".", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(l.files, func(a, b hostfs.File) int { return strings.Compare(a.Path, b.Path) })
	return l.files, nil
}

// walk lists a directory, relative to base, in pieces: it may be larger than what fits into memory.
func (l *listing) walk(dir string, depth int) error {
	if depth > hostfs.MaxDepth {
		return fmt.Errorf("%s: %w", dir, hostfs.ErrTooDeep)
	}
	d, err := l.root.Open(path.Join(l.base, dir))
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		entries, err := d.ReadDir(1024)
		for _, entry := range entries {
			if err := l.add(path.Join(dir, entry.Name()), depth); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add takes an entry. It is looked at again without following it: through the
// root, since its directory may have been replaced meanwhile.
func (l *listing) add(name string, depth int) error {
	if l.entries++; l.entries > l.maxEntries {
		return hostfs.ErrTooMany
	}
	full := path.Join(l.base, name)
	info, err := l.root.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case info.IsDir() && full != hostfs.LostAndFound:
		err := l.walk(name, depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	case info.Mode().IsRegular():
		l.files = append(l.files, hostfs.File{Path: name, Size: info.Size(), ModTime: info.ModTime(), ID: fileID(info)})
	}
	return nil
}
