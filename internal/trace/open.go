package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdMemory bounds what a zstd frame may ask for; the default window of the
// highest level is 8 MiB.
const zstdMemory = 256 << 20

// opened is a file's uncompressed content.
type opened struct {
	from  io.Reader
	file  *os.File
	size  int64 // of the file when it was opened
	read  int64 // uncompressed bytes
	zstd  *zstd.Decoder
	plain bool // not compressed
}

// openContent opens a file and tells its compression by the first bytes, not
// by its name: gzip, zstd or none.
func openContent(path string) (*opened, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would be waited for
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open trace: %w", err)
	}
	o := &opened{file: file, size: info.Size()}
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
		o.from = z
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(zstdMemory), zstd.WithDecoderMaxWindow(zstdMemory))
		if err != nil {
			return contentError(path, 0, err)
		}
		o.from, o.zstd = z, z
	default:
		o.from, o.plain = in, true
	}
	return nil
}

// Read gives the uncompressed content. Some kilobytes can hold gigabytes, which no
// profiler writes: that ends here.
func (o *opened) Read(p []byte) (int, error) {
	n, err := o.from.Read(p)
	o.read += int64(n)
	if !o.plain && o.read > freeContent && o.read/maxRatio > o.size {
		return n, errBomb
	}
	return n, err
}

var errBomb = fmt.Errorf("the file holds more than %d times its size (limit)", maxRatio)

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
	case err == errBomb:
		return &Error{Path: path, Offset: offset, Kind: ErrLimit, Detail: errBomb.Error()}
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
