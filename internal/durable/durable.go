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
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return SyncDir(filepath.Dir(path))
}

// WriteTmp writes and syncs a file with a name that is not final ([IsTmp]), in
// the folder dir, and gives its path. After an error there is none.
func WriteTmp(dir string, write func(io.Writer) error) (path string, err error) {
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
