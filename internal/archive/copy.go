package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"profjob/internal/durable"
)

// Copied is what Copy wrote.
type Copied struct {
	Size   int64  // bytes
	SHA256 string // hex
}

// Copy writes what src gives under dst: to a temporary name in the same folder
// first, synced, then renamed, so that no half file ever bears the final name.
// It makes the folder and refuses to write over a file. Once it returns without
// an error the source may be removed. The end of ctx ends it between two reads.
func Copy(ctx context.Context, dst string, src io.Reader) (Copied, error) {
	if err := mkdirAll(filepath.Dir(dst)); err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", dst, err)
	}
	taken, err := exists(dst)
	if err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", dst, err)
	}
	if taken {
		return Copied{}, fmt.Errorf("copy to %s: the file exists already", dst)
	}
	var c Copied
	err = durable.WriteFile(dst, func(w io.Writer) (err error) {
		c, err = copyHashing(ctx, w, src)
		return err
	})
	if err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", dst, err)
	}
	return c, nil
}

// HashFile gives a file's size and SHA-256.
func HashFile(path string) (Copied, error) {
	f, err := os.Open(path)
	if err != nil {
		return Copied{}, fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	c, err := copyHashing(context.Background(), io.Discard, f)
	if err != nil {
		return Copied{}, fmt.Errorf("hash %s: %w", path, err)
	}
	return c, nil
}

func copyHashing(ctx context.Context, w io.Writer, r io.Reader) (Copied, error) {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, hash), &contextReader{ctx, r})
	return Copied{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}

// contextReader ends a copy between two reads once its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
