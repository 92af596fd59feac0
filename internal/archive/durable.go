package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The modes of what a run writes: traces hold prompts' shapes, logs hold more.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Files are written under a name of this form first. It is short, whatever the
// length of the final name, and tells what a crash has left behind.
const (
	tmpPrefix = ".profjob-"
	tmpSuffix = ".tmp"
)

func isTmp(name string) bool {
	return strings.HasPrefix(name, tmpPrefix) && strings.HasSuffix(name, tmpSuffix)
}

// writeDurably makes a file with what write gives, whole or not at all: it is
// written beside its place, synced, renamed, and the directory is synced. An
// older file of the name is replaced.
func writeDurably(path string, write func(io.Writer) error) error {
	tmp, err := writeTmp(filepath.Dir(path), write)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// writeTmp writes and syncs a file with a name that is not final. After an error
// there is none.
func writeTmp(dir string, write func(io.Writer) error) (path string, err error) {
	f, err := os.CreateTemp(dir, tmpPrefix+"*"+tmpSuffix) // its mode is 0600
	if err != nil {
		return "", err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// mkdirAll makes a directory and what is missing above it, and syncs the parent
// of each that it made.
func mkdirAll(path string) error {
	var missing []string
	for p := path; ; p = filepath.Dir(p) {
		_, err := os.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, p)
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return err
	}
	for _, p := range missing {
		if err := syncDir(filepath.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable. File systems that can't (some
// network and FUSE ones) say EINVAL or ENOTSUP; there is nothing more to be done there.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// removeRun takes a run's directory or file away. It loses its name first, so
// that a crash never leaves half a run that is listed as a whole one.
func removeRun(path string) error {
	gone := path + removingSuffix
	if err := os.RemoveAll(gone); err != nil { // what a crash has left
		return err
	}
	if err := os.Rename(path, gone); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// removingSuffix ends the name of what is being removed.
const removingSuffix = ".removing"

// exists tells whether there is anything of that name, a dangling link too.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
