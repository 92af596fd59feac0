package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// newestTries bounds how many manifests Newest reads: each may be megabytes.
const newestTries = 20

// Newest gives the newest sealed run of a job, packed or not, whose manifest serves:
// among the newest 20. It is nil where there is none. Manifests that cannot be read
// are passed over.
func Newest(root, job string, serves func(*Manifest) bool) (*Manifest, error) {
	dir := filepath.Join(root, JobDir(job))
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the newest run of %s: %w", job, err)
	}
	slices.SortFunc(names, func(a, b os.DirEntry) int { return strings.Compare(b.Name(), a.Name()) })
	tries := 0
	for _, n := range names {
		id, packed := strings.CutSuffix(n.Name(), tarSuffix)
		if !runIDPattern.MatchString(id) || packed == n.IsDir() {
			continue
		}
		if tries++; tries > newestTries {
			break
		}
		m, err := ReadManifest(filepath.Join(dir, n.Name()))
		if err == nil && m.Job == job && serves(m) {
			return m, nil
		}
	}
	return nil, nil
}
