//go:build linux || darwin || freebsd

package local

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"profjob/internal/hostfs"
)

// fileID gives a file's device and inode.
func fileID(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return hostfs.FileID(uint64(stat.Dev), uint64(stat.Ino))
}

// freeBytes asks the file system of an open file or directory.
func freeBytes(file *os.File) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &stat); err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}
