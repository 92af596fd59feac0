package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

const tarSuffix = ".tar.zst"

// Pack turns a sealed run's directory into one file beside it, <run id>.tar.zst,
// with the manifest as its first entry, reads it back against the manifest's
// hashes, and then removes the directory. The path of the file is returned.
func Pack(ctx context.Context, d *Dir, m *Manifest) (string, error) {
	path := d.Final() + tarSuffix
	tmp := path + partialSuffix
	if err := writeTar(ctx, tmp, d, m); err != nil {
		return "", fmt.Errorf("pack run: %w", errors.Join(err, ignoreMissing(os.Remove(tmp))))
	}
	if err := verifyTar(ctx, tmp, m); err != nil {
		return "", fmt.Errorf("pack run: %w", errors.Join(err, ignoreMissing(os.Remove(tmp))))
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("pack run: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("pack run: %w", err)
	}
	if err := os.RemoveAll(d.Final()); err != nil {
		return "", fmt.Errorf("pack run: %s is complete, the directory could not be removed: %w", path, err)
	}
	return path, nil
}

func writeTar(ctx context.Context, path string, d *Dir, m *Manifest) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zw, err := zstd.NewWriter(f)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	names := []string{manifestName}
	for _, file := range m.Files {
		names = append(names, file.Path)
	}
	for _, name := range names {
		if err := addToTar(ctx, tw, d.Join(filepath.FromSlash(name)), d.RunID+"/"+name); err != nil {
			return errors.Join(err, zw.Close())
		}
	}
	if err := tw.Close(); err != nil {
		return errors.Join(err, zw.Close())
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return f.Sync()
}

func addToTar(ctx context.Context, tw *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: fileMode, Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX}
	if err := tw.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(tw, &contextReader{ctx, f})
	return err
}

// verifyTar reads a packed run again and compares every file with the manifest.
func verifyTar(ctx context.Context, path string, m *Manifest) error {
	want := make(map[string]File, len(m.Files))
	for _, f := range m.Files {
		want[m.RunID+"/"+f.Path] = f
	}
	err := eachTarEntry(path, func(h *tar.Header, r io.Reader) error {
		f, ok := want[h.Name]
		if !ok {
			return nil
		}
		delete(want, h.Name)
		c, err := hashReader(&contextReader{ctx, r})
		if err != nil {
			return err
		}
		if c.Size != f.Size || c.SHA256 != f.SHA256 {
			return fmt.Errorf("%s: packed content differs from the manifest", f.Path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name := range want {
		return fmt.Errorf("%s is missing in the packed file", name)
	}
	return nil
}

func eachTarEntry(path string, do func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	zr, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer zr.Close()
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(h, tr); err != nil {
			return err
		}
	}
}

// openTarManifest opens the first entry of a packed run.
func openTarManifest(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	zr, err := zstd.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	tr := tar.NewReader(zr)
	h, err := tr.Next()
	if err == nil && filepath.Base(h.Name) != manifestName {
		err = fmt.Errorf("the first entry is %s, not %s", h.Name, manifestName)
	}
	if err != nil {
		zr.Close()
		return nil, errors.Join(err, f.Close())
	}
	return &tarFile{Reader: tr, zstd: zr, file: f}, nil
}

// tarFile is one open entry of a packed run.
type tarFile struct {
	io.Reader
	zstd *zstd.Decoder
	file *os.File
}

func (t *tarFile) Close() error {
	t.zstd.Close()
	return t.file.Close()
}
