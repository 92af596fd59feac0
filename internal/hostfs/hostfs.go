// Package hostfs reads and removes the files that a server has written on its own
// host: trace files, below one directory. Each way to reach a host is a package
// below this one; hostfstest is the suite that each of them passes.
//
// It knows files. It must not know what is in them, nor engines or plans.
package hostfs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Limits of a listing. Who writes below the directory is not trusted.
const (
	// MaxDepth is the most directories that may lie below one another, the listed one not counted.
	MaxDepth = 16
	// MaxEntries is the most entries, of any kind, that a listing looks at.
	MaxEntries = 100_000
)

// What a listing fails with when it would go over a limit.
var (
	ErrTooDeep = fmt.Errorf("directories more than %d deep (limit of a listing)", MaxDepth)
	ErrTooMany = fmt.Errorf("more than %d entries (limit of a listing)", MaxEntries)
)

// LostAndFound is the directory that file systems make at their root for repairs.
// Only the superuser can read it, and it is no server's.
const LostAndFound = "lost+found"

// FS is the files below one directory of a host, its root. Whoever makes an FS says
// which directory that is; it need not exist yet.
//
// Names are relative to the root, with slashes, whatever the host: valid as
// [fs.ValidPath] says, so without "..", and "." is the root itself. Anything else
// fails with an error that matches [fs.ErrInvalid]. No operation leaves the root:
// a symbolic link that leads out of it is not followed, in no place of a name. (The
// root itself may be reached through links.)
//
// Errors match [fs.ErrNotExist] and [fs.ErrPermission] by errors.Is where that is
// the reason, and a network error as it came otherwise. When ctx ends, an operation
// ends soon and its error matches ctx's. Methods are safe for concurrent use. No
// method tries again by itself.
type FS interface {
	// List gives the regular files below dir, at any depth, sorted by path. It
	// leaves out symbolic links wherever they lead, what is neither a file nor a
	// directory, the directory [LostAndFound] of the root, and files that vanish
	// while it runs. A directory that can't be read fails the listing, and so does
	// going over a limit (ErrTooDeep, ErrTooMany): nothing is left out silently.
	// A dir without files gives none and no error.
	List(ctx context.Context, dir string) ([]File, error)

	// Open reads a regular file from an offset in bytes, to the end that it has when
	// the reader gets there. An offset at or after the end gives an empty reader; a
	// negative one is fs.ErrInvalid. What is no regular file fails, at once (a named
	// pipe too). The caller closes the reader. ctx is for the reading as well: after
	// its end Read fails.
	Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)

	// Remove deletes a file, or a directory that is empty, or a symbolic link but
	// not what it leads to. A path that isn't there fails with fs.ErrNotExist, so
	// a removal that is sent twice can tell. The root is never removed.
	Remove(ctx context.Context, path string) error

	// Free gives the bytes that an unprivileged process can still write to the file
	// system that dir is on. It fails with errors.ErrUnsupported where the host
	// doesn't tell.
	Free(ctx context.Context, dir string) (bytes int64, err error)
}

// File is a regular file as a listing saw it.
type File struct {
	// Path is relative to the directory that was listed, with slashes.
	Path string
	// Size is in bytes.
	Size int64
	// ModTime is by the host's clock, to a second or better.
	ModTime time.Time
	// ID tells files of the host apart whatever their paths: device and inode
	// number. Two names of one file (hard links, two mounts of a directory) have the
	// same. Empty: not known.
	ID string
}

// CheckDir tells what is wrong with the name of a directory, for an operation's
// error; nil if nothing is.
func CheckDir(op, dir string) error {
	if fs.ValidPath(dir) {
		return nil
	}
	return &fs.PathError{Op: op, Path: dir, Err: fs.ErrInvalid}
}

// CheckPath is CheckDir for what must lie below the root.
func CheckPath(op, path string) error {
	if fs.ValidPath(path) && path != "." {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: fs.ErrInvalid}
}

// FileID makes the ID of a file from its device and inode numbers.
func FileID(device, inode uint64) string {
	return fmt.Sprintf("%x:%x", device, inode)
}
