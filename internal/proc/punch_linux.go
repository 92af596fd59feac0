package proc

import (
	"os"
	"syscall"
)

// punch takes a part of a file from the disk; its size stays. A file system that
// cannot do it keeps it until the file ends.
func punch(f *os.File, at, length int64) {
	const keepSize, punchHole = 1, 2 // FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate(2)
	_ = syscall.Fallocate(int(f.Fd()), keepSize|punchHole, at, length)
}
