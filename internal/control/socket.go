package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// longestSocket is the longest path of a Unix socket, in bytes, that every system
// takes: sun_path has 104 bytes on BSD and macOS and 108 on Linux (unix(7)), one
// of them the final zero.
const longestSocket = 103

// socketFolder begins the name of a folder that holds one socket only.
const socketFolder = "profjob-"

// bind listens at a path. If that is too long, as below a deep state directory,
// it listens in a folder of its own below one of the temporary directories, which
// only the user may enter.
func bind(path string, temporary ...string) (net.Listener, string, error) {
	if len(path) <= longestSocket {
		l, err := listenPrivately(path)
		return l, path, err
	}
	for _, dir := range temporary {
		// os.MkdirTemp puts up to ten digits in the place of the star.
		if len(filepath.Join(dir, socketFolder+"0123456789", socketFolder+socketSuffix)) > longestSocket {
			continue
		}
		folder, err := os.MkdirTemp(dir, socketFolder+"*") // its mode is 0700
		if err != nil {
			return nil, "", err
		}
		short := filepath.Join(folder, "run"+socketSuffix)
		l, err := listenPrivately(short)
		if err != nil {
			return nil, "", errors.Join(err, os.Remove(folder))
		}
		return l, short, nil
	}
	return nil, "", fmt.Errorf("the path of a socket may have %d bytes: %s has %d, and %s is too long, too; set PROFJOB_STATE_DIR or TMPDIR to a shorter one",
		longestSocket, path, len(path), strings.Join(temporary, " or "))
}

func listenPrivately(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeSocket removes a socket, and its folder where it has one of its own.
// What is no socket is left alone: the path comes from a file.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() == fs.ModeSocket {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if folder := filepath.Dir(path); strings.HasPrefix(filepath.Base(folder), socketFolder) {
		_ = os.Remove(folder) // only an empty one goes; any other is not ours
	}
	return nil
}
