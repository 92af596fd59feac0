package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SameDisk tells whether two directories of this host, which need not exist yet, are
// or will be on one file system. It is false where that cannot be known.
func SameDisk(a, b string) bool {
	one, ok := device(a)
	other, ok2 := device(b)
	return ok && ok2 && one == other
}

// device names the file system of a directory, or of what it will be made in.
func device(dir string) (string, bool) {
	for {
		info, err := os.Stat(dir)
		if err == nil {
			name, _, ok := strings.Cut(fileID(info), ":")
			return name, ok
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return "", false
		}
		dir = parent
	}
}
