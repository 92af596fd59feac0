package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Copied is what Copy wrote.
type Copied struct {
	Size   int64
	SHA256 string
}

// Copy writes what src gives under dst: to a temporary name in the same folder
// first, synced, then renamed, so that no half file ever bears the final name.
// It makes the folder and refuses to write over a file.
func Copy(ctx context.Context, dst string, src io.Reader) (c Copied, err error) {
	if err := os.MkdirAll(filepath.Dir(dst), dirMode); err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", dst, err)
	}
	if _, err := os.Lstat(dst); err == nil {
		return Copied{}, fmt.Errorf("copy to %s: the file exists already", dst)
	}
	tmp := dst + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", dst, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy to %s: %w", dst, errors.Join(err, ignoreMissing(os.Remove(tmp))))
		}
	}()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), &contextReader{ctx, src})
	if err != nil {
		return Copied{}, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return Copied{}, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return Copied{}, err
	}
	if err := os.Rename(tmp, dst); err != nil {
		return Copied{}, err
	}
	return Copied{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// contextReader ends a copy between two reads once its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// HashFile gives a file's size and SHA-256.
func HashFile(path string) (Copied, error) {
	f, err := os.Open(path)
	if err != nil {
		return Copied{}, fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	c, err := hashReader(f)
	if err != nil {
		return Copied{}, fmt.Errorf("hash %s: %w", path, err)
	}
	return c, nil
}

func hashReader(r io.Reader) (Copied, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	return Copied{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}
