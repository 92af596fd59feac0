package steps

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"profjob/internal/hostfs"
)

// room is a directory whose disk must not fill up: a run writes there, or what it
// profiles does.
type room struct {
	what string // for people: "the archive"
	dir  string // absolute
}

// archiveRoom is where the run is kept.
func (r *Run) archiveRoom() room { return room{"the archive", r.Dir.Root} }

// traceRoom is where a target writes.
func (r *Run) traceRoom(t Target) room { return room{"trace_dir", r.traceDir(t)} }

// gateRooms are the folders of a target's gates that can be seen from here: those of
// gates on this host that are there. A gate in a container has the container's host
// name, and its folder is not this host's.
func (r *Run) gateRooms(ctx context.Context, t Target) []room {
	probed, _ := Latest[ProbeResult](r.State)
	var rooms []room
	for _, e := range probed.Endpoints {
		if e.Target != t.Name || e.Gate == nil || e.Gate.Host == "" || e.Gate.Host != r.Host || !filepath.IsAbs(e.Gate.Root) {
			continue
		}
		if _, err := r.Files(e.Gate.Root).Free(ctx, "."); err == nil {
			rooms = append(rooms, room{"the gate's folder", e.Gate.Root})
		}
	}
	return rooms
}

// short says that less is free than must be; nil where it is enough.
func (r room) short(free, least int64) *limitReached {
	if free >= least {
		return nil
	}
	return limit(true, "%s %s has %s free, limits.min_free_disk asks for %s", r.what, r.dir, size(free), size(least))
}

// free gives the bytes that can still be written below a directory of the targets'
// host, or where it will be. A host that does not tell has enough.
func (r *Run) free(ctx context.Context, dir string) (int64, error) {
	return freeBelow(ctx, r.Files, dir)
}

func freeBelow(ctx context.Context, files func(dir string) hostfs.FS, dir string) (int64, error) {
	for {
		free, err := files(dir).Free(ctx, ".")
		parent := filepath.Dir(dir)
		switch {
		case err == nil:
			return free, nil
		case errors.Is(err, errors.ErrUnsupported):
			return math.MaxInt64, nil
		case !errors.Is(err, fs.ErrNotExist) || parent == dir:
			return 0, err
		}
		dir = parent
	}
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
