package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdMemory bounds what a zstd frame may ask for; the default window of the
// highest level is 8 MiB.
const zstdMemory = 256 << 20

// opened is a file's uncompressed content.
type opened struct {
	io.Reader
	file  *os.File
	zstd  *zstd.Decoder
	plain bool // not compressed
}

// openContent opens a file and tells its compression by the first bytes, not
// by its name: gzip, zstd or none.
func openContent(path string) (*opened, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	o := &opened{file: file}
	if err := o.decompress(path); err != nil {
		file.Close()
		return nil, err
	}
	return o, nil
}

func (o *opened) decompress(path string) error {
	in := bufio.NewReaderSize(o.file, 256<<10)
	magic, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return fmt.Errorf("open trace: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return contentError(path, 0, err)
		}
		o.Reader = z
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(zstdMemory), zstd.WithDecoderMaxWindow(zstdMemory))
		if err != nil {
			return contentError(path, 0, err)
		}
		o.Reader, o.zstd = z, z
	default:
		o.Reader, o.plain = in, true
	}
	return nil
}

func (o *opened) Close() error {
	if o.zstd != nil {
		o.zstd.Close()
	}
	if err := o.file.Close(); err != nil {
		return fmt.Errorf("close trace: %w", err)
	}
	return nil
}

// contentError names what a failed read means: a stream that ends too early, a
// damaged one, or a disk that does not answer.
func contentError(path string, offset int64, err error) error {
	var pathError *os.PathError
	switch {
	case errors.As(err, &pathError), errors.Is(err, io.ErrNoProgress):
		return fmt.Errorf("read trace: %w", err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &Error{Path: path, Offset: offset, Kind: ErrTruncated, Detail: "the compressed stream ends early"}
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return &Error{Path: path, Offset: offset, Kind: ErrLimit,
			Detail: fmt.Sprintf("zstd memory (limit %d bytes)", zstdMemory), Cause: err}
	default:
		return &Error{Path: path, Offset: offset, Kind: ErrFormat, Detail: "the compressed stream is damaged", Cause: err}
	}
}
