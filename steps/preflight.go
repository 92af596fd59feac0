package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/cenkalti/backoff/v4"
)

// Preflight checks, before anything is recorded, that there is room for the
// traces and that they can be read back.
type Preflight struct {
	Header
	noUndo
	Targets     []Target `json:"targets"`
	MinFreeDisk int64    `json:"min_free_disk"` // bytes
}

// PreflightResult has the free space of each directory, in bytes.
type PreflightResult struct {
	ArchiveFree int64            `json:"archive_free"`
	TraceFree   map[string]int64 `json:"trace_free"` // by target
}

// Summary tells the least free space.
func (r PreflightResult) Summary() string {
	return size(r.ArchiveFree) + " free for the run"
}

// Kind is the row in the table of kinds.
func (p *Preflight) Kind() string { return "preflight" }

// Do looks at the run's directory and at every target's trace directory.
func (p *Preflight) Do(ctx context.Context, run *Run) (any, error) {
	result := PreflightResult{TraceFree: map[string]int64{}}
	free, err := run.free(ctx, run.Dir.Path())
	if err != nil {
		return nil, backoff.Permanent(finalIncomplete("archive: %w", err))
	}
	if err := p.enough("the archive", run.Dir.Root, free); err != nil {
		return nil, backoff.Permanent(err)
	}
	result.ArchiveFree = free
	for _, t := range p.Targets {
		free, err := p.traceDir(ctx, run, t)
		if err != nil {
			return nil, backoff.Permanent(fmt.Errorf("target %s: %w", t.Name, err))
		}
		result.TraceFree[t.Name] = free
	}
	return result, nil
}

func (p *Preflight) traceDir(ctx context.Context, run *Run, t Target) (int64, error) {
	dir := run.traceDir(t)
	if dir == "" {
		return 0, finalServerFailure("nobody says where the server writes its traces: set trace_dir in the target to the directory that the server was launched with")
	}
	_, err := run.Files(dir).List(ctx, ".")
	if errors.Is(err, fs.ErrNotExist) {
		// vLLM makes the directory when it writes its first trace.
		err = run.warn("%s: trace_dir %s does not exist yet; the server may make it with its first trace", t.Name, dir)
		if err != nil {
			return 0, err
		}
	}
	if err != nil {
		return 0, finalIncomplete("trace_dir: %w", err)
	}
	free, err := run.free(ctx, dir)
	if err != nil {
		return 0, finalIncomplete("trace_dir: %w", err)
	}
	return free, p.enough("trace_dir", dir, free)
}

func (p *Preflight) enough(what, dir string, free int64) error {
	if free >= p.MinFreeDisk {
		return nil
	}
	return finalIncomplete("%s %s has %s free, limits.min_free_disk asks for %s", what, dir, size(free), size(p.MinFreeDisk))
}

// free gives the bytes that can still be written below a directory of the targets'
// host, or where it will be. A host that does not tell has enough.
func (r *Run) free(ctx context.Context, dir string) (int64, error) {
	for {
		free, err := r.Files(dir).Free(ctx, ".")
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
