package archive

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"profjob/internal/regular"
)

// maxManifest bounds the manifests that are written and read, in bytes.
const maxManifest = 256 << 20

// ReadManifest reads the manifest of a sealed run that is a directory or a
// .tar.zst file.
func ReadManifest(path string) (*Manifest, error) {
	m, err := readManifest(path, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", path, err)
	}
	return m, nil
}

func readManifest(path string, most int64) (*Manifest, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	r, err := openManifest(path)
	if err != nil {
		return nil, err
	}
	defer r.Close() // it is only read
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("it is larger than %d bytes, the limit", most)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.Dir = abs
	return &m, nil
}

func openManifest(path string) (io.ReadCloser, error) {
	if isPacked(path) {
		return openTarManifest(path)
	}
	return regular.Open(filepath.Join(path, manifestName))
}

func isPacked(path string) bool { return strings.HasSuffix(path, tarSuffix) }
