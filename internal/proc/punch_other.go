//go:build !linux

package proc

import "os"

// punch does nothing: the file ends with the process.
func punch(*os.File, int64, int64) {}
