// Package local is the file system of the host that profjob runs on.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"profjob/internal/hostfs"
)

// FS is the files below a directory of this host. It holds nothing open between
// calls, so that the directory may come, go and be mounted over.
type FS struct {
	root       string
	maxEntries int
}

var _ hostfs.FS = (*FS)(nil)

// New gives the files below root, a path of this host.
func New(root string) *FS {
	return &FS{root: root, maxEntries: hostfs.MaxEntries}
}

// List implements hostfs.FS.
func (f *FS) List(ctx context.Context, dir string) ([]hostfs.File, error) {
	if err := hostfs.CheckDir("list", dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	defer root.Close()
	files, err := list(ctx, root, dir, f.maxEntries)
	if err != nil {
		return nil, fmt.Errorf("list files below %s: %w", filepath.Join(f.root, dir), err)
	}
	return files, nil
}

// Open implements hostfs.FS.
func (f *FS) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if err := hostfs.CheckPath("open", path); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("open %s at offset %d: %w", path, offset, fs.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer root.Close()
	file, err := openRegular(root, path)
	if err != nil {
		return nil, fmt.Errorf("open file below %s: %w", f.root, err)
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return nil, fmt.Errorf("open %s at offset %d: %w", path, offset, err)
	}
	return &reader{ctx: ctx, file: file}, nil
}

// openRegular opens a regular file. Opening a named pipe would wait for its other
// end, without O_NONBLOCK.
func openRegular(root *os.Root, path string) (*os.File, error) {
	file, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// reader ends with its context.
type reader struct {
	ctx  context.Context
	file *os.File
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.file.Name(), err)
	}
	return r.file.Read(p)
}

func (r *reader) Close() error { return r.file.Close() }

// Remove implements hostfs.FS.
func (f *FS) Remove(ctx context.Context, path string) error {
	if err := hostfs.CheckPath("remove", path); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer root.Close()
	if err := root.Remove(path); err != nil {
		return fmt.Errorf("remove file below %s: %w", f.root, err)
	}
	return nil
}

// Free implements hostfs.FS.
func (f *FS) Free(ctx context.Context, dir string) (int64, error) {
	if err := hostfs.CheckDir("free", dir); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	defer root.Close()
	file, err := root.Open(dir)
	if err != nil {
		return 0, fmt.Errorf("free space below %s: %w", f.root, err)
	}
	defer file.Close()
	free, err := freeBytes(file)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", filepath.Join(f.root, dir), err)
	}
	return free, nil
}
