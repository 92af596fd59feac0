package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"profjob/internal/durable"
)

// Source is a file elsewhere that can be read from any place on.
type Source struct {
	// ID is another one when the file is: its place, and what changes when its content
	// does, such as size, time and identity, or a hash.
	ID string
	// Open reads from an offset in bytes to the end.
	Open func(ctx context.Context, offset int64) (io.ReadCloser, error)
	// Check looks at the copy, at path, before it gets its final name; nil: anything
	// will do. Its error is that of the copy, of which nothing is left then.
	Check func(ctx context.Context, path string, c Copied) error
}

// SourceError is an error of reading the source of a copy. What was read before it
// stays for another go.
type SourceError struct {
	At  int64 // bytes that are copied
	Err error
}

// Error is the error's own text.
func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap gives the error inside.
func (e *SourceError) Unwrap() error { return e.Err }

// Fetch writes a source under dst: to a temporary name in the same folder first,
// synced, then renamed, so that no half file ever bears the final name. It makes the
// folder. Once it returns without an error the source may be removed.
//
// A copy that was cut off, by an error of the source (a *SourceError), the end of
// ctx or the end of the process, is gone on with by the next Fetch of the same
// source, and one that was finished is not made again; where the source's ID is
// another one it is copied from the start. Any other file at dst is an error that
// matches fs.ErrExist. A disk that is full leaves nothing behind.
func Fetch(ctx context.Context, dst string, src Source) (Copied, error) {
	c, err := fetch(ctx, dst, src)
	if err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", dst, err)
	}
	return c, nil
}

func fetch(ctx context.Context, dst string, src Source) (Copied, error) {
	if err := mkdirAll(filepath.Dir(dst)); err != nil {
		return Copied{}, err
	}
	size, sum, written, err := durable.Written(ctx, dst, src.ID)
	if written || err != nil {
		return Copied{Size: size, SHA256: sum, From: size}, err
	}
	part, err := durable.OpenPart(ctx, dst, src.ID)
	if errors.Is(err, fs.ErrExist) {
		return Copied{}, fmt.Errorf("the file exists already: %w", fs.ErrExist)
	}
	if err != nil {
		return Copied{}, err
	}
	if err := pour(ctx, part, src); err != nil {
		return Copied{}, leave(part, err)
	}
	c := Copied{Size: part.Size(), SHA256: part.Sum(), From: part.From()}
	if src.Check != nil {
		if err := src.Check(ctx, part.Name(), c); err != nil {
			return Copied{}, errors.Join(err, part.Discard())
		}
	}
	if _, _, err := part.Commit(); err != nil {
		return Copied{}, leave(part, err)
	}
	return c, nil
}

// pour copies what is still missing.
func pour(ctx context.Context, part *durable.Part, src Source) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r, err := src.Open(ctx, part.Size())
	if err != nil {
		return &SourceError{part.Size(), err}
	}
	reading := &sourceReader{from: &contextReader{ctx, r}}
	_, err = io.Copy(part, reading)
	err = errors.Join(err, r.Close())
	if ctx.Err() == nil && reading.err != nil {
		return &SourceError{part.Size(), reading.err}
	}
	return err
}

// sourceReader keeps the error of a source apart from that of what it is written to.
type sourceReader struct {
	from io.Reader
	err  error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// leave closes a part that was not finished. Where there was no room for it, it
// makes room for what tells of that.
func leave(part *durable.Part, err error) error {
	var broken *SourceError
	full := !errors.As(err, &broken) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
	if !full && part.Size() > 0 && part.Keep() == nil {
		return err
	}
	return errors.Join(err, part.Discard())
}

// Fetched tells whether a copy of a source to dst was begun, or is finished, and how
// many bytes of it the disk holds.
func Fetched(dst string, src Source) (size int64, ok bool) { return durable.Begun(dst, src.ID) }

// Discard takes away a copy, and what a copy that was begun has left.
func Discard(dst string) error { return errors.Join(remove(dst), durable.DiscardPart(dst)) }

// Move gives a file of the run's own disk another name within the run. It makes the
// folder, syncs file and folder, and fails with fs.ErrExist where dst is there.
func Move(ctx context.Context, dst, src string) (Copied, error) {
	c, err := move(ctx, dst, src)
	if err != nil {
		return Copied{}, fmt.Errorf("move to %s: %w", dst, err)
	}
	return c, nil
}

func move(ctx context.Context, dst, src string) (Copied, error) {
	if err := mkdirAll(filepath.Dir(dst)); err != nil {
		return Copied{}, err
	}
	if taken, err := exists(dst); err != nil || taken {
		return Copied{}, errors.Join(err, fs.ErrExist)
	}
	f, err := os.Open(src)
	if err != nil {
		return Copied{}, err
	}
	defer f.Close() // it is only read
	c, err := copyHashing(ctx, io.Discard, f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(src, dst)
	}
	return c, errors.Join(err, durable.SyncDir(filepath.Dir(dst)))
}
