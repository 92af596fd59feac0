package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/zstd"

	"profjob/internal/regular"
)

const tarSuffix = ".tar.zst"

// maxWindow bounds the memory that a packed run may ask for when it is read; what
// Pack writes asks for 8 MiB.
const maxWindow = 64 << 20

// tarFile is a packed run that is being read.
type tarFile struct {
	*tar.Reader
	zstd *zstd.Decoder
	file *os.File
}

// openTar opens a packed run before its first entry. Reading ends with ctx.
func openTar(ctx context.Context, name string) (*tarFile, error) {
	f, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	// One goroutine, the caller's: a manifest is read without decoding ahead.
	zr, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &tarFile{Reader: tar.NewReader(&contextReader{ctx, zr}), zstd: zr, file: f}, nil
}

// Close ends the reading.
func (t *tarFile) Close() error {
	t.zstd.Close()
	return t.file.Close()
}

// rest reads what follows the last entry, so that the checksums of the
// compressed stream have all been compared, and fails if it is more than padding.
func (t *tarFile) rest() error {
	const padding = 1 << 20
	n, err := io.Copy(io.Discard, io.LimitReader(t.zstd, padding+1))
	if err == nil && n > padding {
		err = errors.New("data follows the last entry")
	}
	return err
}

// openTarManifest opens the first entry of a packed run.
func openTarManifest(name string) (io.ReadCloser, error) {
	t, err := openTar(context.Background(), name)
	if err != nil {
		return nil, err
	}
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && path.Base(h.Name) != manifestName {
		err = fmt.Errorf("the first entry is %q, not %s", h.Name, manifestName)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}
