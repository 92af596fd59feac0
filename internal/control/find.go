package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"profjob/internal/regular"
)

// maxInfo bounds the description of a run, in bytes.
const maxInfo = 1 << 20

// Find lists the runs that listen below the state directory dir, by process. What
// runs that died have left behind is removed on the way; another user's is passed over.
func Find(dir string) ([]Info, error) {
	entries, err := os.ReadDir(runsDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find runs: %w", err)
	}
	var all []Info
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), infoSuffix) {
			continue
		}
		info, ok, err := look(filepath.Join(runsDir(dir), entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("find runs: %w", err)
		}
		if ok {
			all = append(all, info)
		}
	}
	slices.SortStableFunc(all, func(a, b Info) int { return a.PID - b.PID })
	return all, nil
}

// look reads one description, and removes it where nobody listens any more.
func look(name string) (info Info, listening bool, err error) {
	info, err = read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return Info{}, false, nil // it has just ended, or is another user's
	case errors.Is(err, errNoInfo):
		return Info{}, false, forget(name, "") // whoever wrote it cannot be asked
	case err != nil:
		return Info{}, false, err
	}
	if died(info.Socket) {
		return Info{}, false, forget(name, info.Socket)
	}
	return info, true, nil
}

// errNoInfo is the error for a file that describes no run.
var errNoInfo = errors.New("it describes no run")

func read(name string) (Info, error) {
	f, err := regular.Open(name)
	if errors.Is(err, regular.ErrNotRegular) {
		return Info{}, fmt.Errorf("%w: %w", errNoInfo, err)
	}
	if err != nil {
		return Info{}, err
	}
	defer f.Close() // it is only read
	data, err := io.ReadAll(io.LimitReader(f, maxInfo+1))
	if err != nil {
		return Info{}, err
	}
	return parse(data)
}

func parse(data []byte) (Info, error) {
	if len(data) > maxInfo {
		return Info{}, fmt.Errorf("%w: it is larger than %d bytes", errNoInfo, maxInfo)
	}
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return Info{}, fmt.Errorf("%w: %w", errNoInfo, err)
	}
	if !filepath.IsAbs(info.Socket) {
		return Info{}, fmt.Errorf("%w: it names no socket", errNoInfo)
	}
	return info, nil
}

// died tells whether it is certain that nobody listens: the socket is gone, or
// refuses. One that is only slow, or may not be asked, counts as alive.
func died(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		_ = conn.Close() // it was opened only to see whether someone listens
		return false
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// forget removes a description and its socket, as far as they are there.
func forget(name, socket string) error {
	var errs []error
	if socket != "" {
		errs = append(errs, removeSocket(socket))
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
