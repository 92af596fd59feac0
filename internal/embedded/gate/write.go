package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"

	"profjob/internal/embedded/kineto"
)

// gzipLevel is the plugin's.
const gzipLevel = 3

// file is a finished file of a session.
type file struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// counter counts what goes through it, in bytes.
type counter struct {
	io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += int64(n)
	return n, err
}

// writeTrace writes a trace into the folder; it has its name once it is complete.
func writeTrace(root, name string, t *kineto.Trace, m kineto.Meta) (file, error) {
	part := filepath.Join(root, "."+name+".part")
	m.Name = filepath.Join(root, "."+name+".json")
	out, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return file{}, err
	}
	defer os.Remove(part) // it is gone where all went well
	sum := sha256.New()
	packed := &counter{Writer: io.MultiWriter(out, sum)}
	z, err := gzip.NewWriterLevel(packed, gzipLevel)
	if err != nil {
		return file{}, errors.Join(err, out.Close())
	}
	if err := errors.Join(t.WriteJSON(z, m), z.Close(), out.Sync(), out.Close()); err != nil {
		return file{}, err
	}
	if err := os.Rename(part, filepath.Join(root, name)); err != nil {
		return file{}, err
	}
	return file{Name: name, Size: packed.n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}
