package archive

import (
	"fmt"
	"path/filepath"
)

// SealedAround gives the path of the sealed run in whose directory a path is, empty
// for none. The path itself need not exist, its directory must.
func SealedAround(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", fmt.Errorf("find the run around %s: %w", path, err)
	}
	for {
		if e, ok := entryOf(dir, true); ok && !e.Partial {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", nil
		}
		dir = above
	}
}
