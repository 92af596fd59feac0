package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Copied is what a copy is.
type Copied struct {
	Size   int64  // bytes
	SHA256 string // hex
	From   int64  // bytes of it that were there already, from a copy that was cut off
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
