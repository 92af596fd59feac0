//go:build !(linux || darwin || freebsd)

package local

import (
	"errors"
	"io/fs"
	"os"
)

func fileID(fs.FileInfo) string { return "" }

func freeBytes(*os.File) (int64, error) { return 0, errors.ErrUnsupported }
