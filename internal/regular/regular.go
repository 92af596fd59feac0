// Package regular reads files that somebody else may have put there: nothing but
// a regular file is opened, and no more is read than a limit. A named pipe in a
// file's place would be waited for forever.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular: what has the file's name is a directory, a pipe, a device.
var ErrNotRegular = errors.New("not a regular file")

// LimitError is the error of a file that is larger than what is read.
type LimitError struct {
	Path  string
	Limit int64 // bytes
}

// Error names the file and the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s is larger than the limit of %d bytes", e.Path, e.Limit)
}

// Open opens a regular file to read it, through links too. The error is an
// [*fs.PathError].
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, err
	}
	return f, nil
}

// Read reads a whole regular file of at most limit bytes; of a larger one the error
// is a [*LimitError].
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it is only read
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &LimitError{Path: path, Limit: limit}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}
