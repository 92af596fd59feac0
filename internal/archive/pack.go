package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"profjob/internal/durable"
)

// Pack turns a sealed run's directory into one file beside it, <run id>.tar.zst,
// with the manifest as its first entry, reads it back against the manifest's
// hashes, and only then removes the directory. It gives the path of the file,
// which m.Dir then is, in the packed manifest too. After an error there is the
// directory and no file. A directory that has lost its name and could not be
// emptied is no error: it is no run any more, and Prune finishes its removal.
func Pack(ctx context.Context, d *Dir, m *Manifest) (string, error) {
	if !d.sealed {
		return "", fmt.Errorf("pack run: %s is not sealed", d.Path())
	}
	path := d.Final() + tarSuffix
	taken, err := exists(path)
	if err != nil {
		return "", fmt.Errorf("pack run: %w", err)
	}
	if taken {
		return "", fmt.Errorf("pack run: %s exists already", path)
	}
	packed := *m
	packed.Dir = path
	if err := pack(ctx, d, &packed); err != nil {
		return "", fmt.Errorf("pack run: %w", err)
	}
	if err := removeRun(d.Final()); err != nil {
		if there, existsErr := exists(d.Final()); there || existsErr != nil { // one run, not the same one twice
			return "", fmt.Errorf("pack run: remove what was packed: %w", errors.Join(err, os.Remove(path)))
		}
	}
	*m = packed
	return path, nil
}

func pack(ctx context.Context, d *Dir, m *Manifest) error {
	parent := filepath.Dir(m.Dir)
	tmp, err := durable.WriteTmp(parent, func(w io.Writer) error { return writeTar(ctx, w, d, m) })
	if err != nil {
		return err
	}
	if err := verifyPacked(ctx, tmp.Name(), m); err != nil {
		return errors.Join(err, tmp.Discard())
	}
	if err := os.Chmod(tmp.Name(), d.files()); err != nil {
		return errors.Join(err, tmp.Discard())
	}
	return tmp.Commit(m.Dir)
}

// PackedAtLeast is how many bytes a packed run takes at the least: what is compressed
// already does not get much smaller.
func PackedAtLeast(m *Manifest) int64 {
	var sum int64
	for _, f := range m.Files {
		if strings.HasSuffix(f.Path, ".gz") || strings.HasSuffix(f.Path, ".zst") {
			sum += f.Size
		}
	}
	return sum / 10 * 9
}

// verifyPacked reads a packed run again and compares all of it with the manifest.
func verifyPacked(ctx context.Context, path string, m *Manifest) error {
	c := newComparison(m)
	if err := c.tar(ctx, path); err != nil {
		return err
	}
	var errs []error
	for _, diff := range c.finish() {
		errs = append(errs, errors.New(diff.String()))
	}
	return errors.Join(errs...)
}

func writeTar(ctx context.Context, w io.Writer, d *Dir, m *Manifest) (err error) {
	root, err := os.OpenRoot(d.Final())
	if err != nil {
		return err
	}
	defer root.Close() // it is only read
	zw, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := zw.Close(); err == nil { // after an error it says the same once more
			err = closeErr
		}
	}()
	tw := tar.NewWriter(zw)
	if err := addManifest(tw, d, m); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := addFile(ctx, tw, root, f.Path, d); err != nil {
			return err
		}
	}
	return tw.Close()
}

func addManifest(tw *tar.Writer, d *Dir, m *Manifest) error {
	data, err := m.Encode()
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	header := &tar.Header{Name: m.RunID + "/" + manifestName, Mode: int64(d.files()), Size: int64(len(data)), ModTime: m.FinishedAt, Format: tar.FormatPAX}
	if err := tw.WriteHeader(header); err != nil {
		return err
	}
	_, err = tw.Write(data)
	return err
}

func addFile(ctx context.Context, tw *tar.Writer, root *os.Root, name string, d *Dir) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // it is only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: d.RunID + "/" + name, Mode: int64(d.files()), Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX}
	if err := tw.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err = io.Copy(tw, &contextReader{ctx, f}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
