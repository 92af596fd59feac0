package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The modes of what a run writes, whatever the umask: traces hold prompts' shapes,
// logs hold more. Until a run is sealed its files have them for certain; sealed, it
// has those that Share was told of.
const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// Share says which mode the files of the run have once it is sealed, instead of
// 0600: directories have it too, with the right to enter where there is the right to
// read. Those that Create made for the run, and the job's, have it at once. mode is
// what a file may have: its owner reads and writes, and nobody executes.
func (d *Dir) Share(mode fs.FileMode) error {
	d.mode = mode
	if mode == 0 || mode == fileMode {
		return nil
	}
	var errs []error
	for _, path := range append(d.made, filepath.Dir(d.Final())) {
		info, err := os.Stat(path)
		if err == nil { // it may be open for more than this run
			err = os.Chmod(path, info.Mode().Perm()|enterable(mode))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// files is the mode of the run's files once it is sealed.
func (d *Dir) files() fs.FileMode {
	if d.mode == 0 {
		return fileMode
	}
	return d.mode
}

// enterable is the mode of a directory whose files have a mode.
func enterable(mode fs.FileMode) fs.FileMode { return mode | mode&0o444>>2 }

// settleModes gives everything below the run's directory, and this last, its mode.
func (d *Dir) settleModes() error {
	root := d.Path()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root:
			return os.Chmod(path, enterable(d.files()))
		case entry.Type().IsRegular():
			return os.Chmod(path, d.files())
		}
		return nil // Seal removes what is neither
	})
	return errors.Join(err, os.Chmod(root, enterable(d.files())))
}
