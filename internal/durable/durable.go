// Package durable writes files that are there whole or not at all, also after a
// crash of the machine.
package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Files are written under a name of this form first. It is short, whatever the
// length of the final name, and tells what a crash has left behind.
const (
	tmpPrefix = ".profjob-"
	tmpSuffix = ".tmp"
)

// IsTmp tells of a file's name, without folders, whether it is that of a file
// which was not written to its end.
func IsTmp(name string) bool {
	return strings.HasPrefix(name, tmpPrefix) && strings.HasSuffix(name, tmpSuffix)
}

// WriteFile makes a file with what write gives, whole or not at all: it is
// written beside its place, synced, renamed, and the directory is synced. An
// older file of the name is replaced. Only its owner may read it: traces hold
// prompts' shapes, logs hold more.
func WriteFile(path string, write func(io.Writer) error) error {
	tmp, err := WriteTmp(filepath.Dir(path), write)
	if err != nil {
		return err
	}
	return tmp.Commit(path)
}

// Tmp is a file that is written, and synced, and has no final name yet.
type Tmp struct{ file *os.File }

// Name is its path.
func (t *Tmp) Name() string { return t.file.Name() }

// Commit gives it its final name, replacing what had it, and syncs the directory.
// After an error there is no file any more.
func (t *Tmp) Commit(path string) error {
	if err := os.Rename(t.Name(), path); err != nil {
		return errors.Join(err, t.Discard())
	}
	return errors.Join(t.file.Close(), SyncDir(filepath.Dir(path)))
}

// Discard takes it away.
func (t *Tmp) Discard() error { return errors.Join(os.Remove(t.Name()), t.file.Close()) }

// WriteTmp writes and syncs a file with a name that is not final ([IsTmp]), in
// the folder dir. After an error there is none. It is locked until it is committed or
// discarded, so that [SweepTmp] leaves it alone.
func WriteTmp(dir string, write func(io.Writer) error) (*Tmp, error) {
	f, err := os.CreateTemp(dir, tmpPrefix+"*"+tmpSuffix) // its mode is 0600
	if err != nil {
		return nil, err
	}
	_ = lock(f) // where files cannot be locked they are not swept either
	t := &Tmp{f}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, t.Discard())
	}
	return t, nil
}

// SweepTmp removes from a folder the files of [WriteTmp] whose writer is gone.
func SweepTmp(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		if !IsTmp(n.Name()) || !n.Type().IsRegular() {
			continue
		}
		f, err := os.Open(filepath.Join(dir, n.Name()))
		if err != nil {
			continue // it was committed meanwhile, or is somebody else's
		}
		if lock(f) == nil {
			err = os.Remove(f.Name())
		}
		errs = append(errs, err, f.Close())
	}
	return errors.Join(errs...)
}

// lock takes a file's lock, or fails. It goes when the file is closed, by the end of
// the process at the latest.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// SyncDir makes the names in a directory durable. File systems that can't (some
// network and FUSE ones) say EINVAL or ENOTSUP; there is nothing more to be done there.
func SyncDir(path string) error {
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
