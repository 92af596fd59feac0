package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"profjob/internal/durable"
)

// mkdirAll makes a directory and what is missing above it, and syncs the parent
// of each that it made.
func mkdirAll(path string) error {
	_, err := mkdirMissing(path)
	return err
}

// mkdirMissing is mkdirAll that tells what it made.
func mkdirMissing(path string) (missing []string, err error) {
	for p := path; ; p = filepath.Dir(p) {
		_, err := os.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		missing = append(missing, p)
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, err
	}
	for _, p := range missing {
		if err := durable.SyncDir(filepath.Dir(p)); err != nil {
			return nil, err
		}
	}
	return missing, nil
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
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
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

// remove takes a file away, if it is there.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
