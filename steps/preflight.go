package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
)

// Preflight checks, before anything is recorded, that there is room for the
// traces and that they can be read back.
type Preflight struct {
	Header
	noUndo
	Targets     []Target `json:"targets"`
	MinFreeDisk int64    `json:"min_free_disk"` // bytes
	// MaxTraceSize is what a window may write, in bytes; 0: any amount.
	MaxTraceSize int64 `json:"max_trace_size,omitempty"`
}

// PreflightResult has the free space of each directory, in bytes.
type PreflightResult struct {
	ArchiveFree int64            `json:"archive_free"`
	TraceFree   map[string]int64 `json:"trace_free"` // by target
	// Estimate is about what the run will write; nil where no earlier run tells.
	Estimate *Estimate `json:"estimate,omitempty"`
}

// Summary tells the least free space.
func (r PreflightResult) Summary() string {
	text := size(r.ArchiveFree) + " free for the run"
	if r.Estimate != nil {
		text += "; " + r.Estimate.String()
	}
	return text
}

// Kind is the row in the table of kinds.
func (p *Preflight) Kind() string { return "preflight" }

// Do looks at the run's directory and at every target's trace directory.
func (p *Preflight) Do(ctx context.Context, run *Run) (any, error) {
	result := PreflightResult{TraceFree: map[string]int64{}}
	free, err := p.enough(ctx, run, run.archiveRoom())
	if err != nil {
		return nil, backoff.Permanent(fmt.Errorf("archive: %w", err))
	}
	result.ArchiveFree = free
	for _, t := range p.Targets {
		if run.byGate(t) {
			// Where it cannot be seen the gate looks at its own disk, and refuses one that is nearly full.
			for _, r := range run.gateRooms(ctx, t) {
				if result.TraceFree[t.Name], err = p.enough(ctx, run, r); err != nil {
					return nil, backoff.Permanent(fmt.Errorf("target %s: %w", t.Name, err))
				}
			}
			continue
		}
		free, err := p.traceDir(ctx, run, t)
		if err != nil {
			return nil, backoff.Permanent(fmt.Errorf("target %s: %w", t.Name, err))
		}
		result.TraceFree[t.Name] = free
	}
	result.Estimate, err = p.estimate(ctx, run)
	return result, err
}

// estimate warns where the run is about to write more than there is room for. An
// archive that cannot be read for it is no reason not to run.
func (p *Preflight) estimate(ctx context.Context, run *Run) (*Estimate, error) {
	if run.Estimate == nil {
		return nil, nil
	}
	e, err := run.Estimate()
	if err != nil {
		return nil, run.warn("%v", err)
	}
	rooms := Rooms{Archive: run.Dir.Root, Traces: map[string]string{}, Files: run.Files}
	for _, t := range p.Targets {
		if gates := run.gateRooms(ctx, t); len(gates) > 0 {
			rooms.Traces[t.Name] = gates[0].dir
		} else if !run.byGate(t) {
			rooms.Traces[t.Name] = run.traceDir(t)
		}
	}
	for _, text := range e.Warnings(ctx, p.MinFreeDisk, p.MaxTraceSize, rooms) {
		if err := run.warn("%s", text); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (p *Preflight) traceDir(ctx context.Context, run *Run, t Target) (int64, error) {
	dir := run.traceDir(t)
	if dir == "" {
		return 0, finalServerFailure("nobody says where the server writes its traces: set trace_dir in the target to the directory that the server was launched with")
	}
	if err := apart(run.Dir, dir); err != nil {
		return 0, err
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
	return p.enough(ctx, run, run.traceRoom(t))
}

// apart refuses a trace_dir that has the archive in it, or lies in it: what is
// archived would be collected as what the server wrote, and removed as such. The
// run's own scratch folder, for servers that it launches, is not archived.
func apart(run *archive.Dir, traceDir string) error {
	dir, job := resolved(traceDir), resolved(filepath.Dir(run.Final()))
	switch {
	case within(dir, resolved(run.Join(archive.ScratchDir))):
		return nil
	case within(resolved(run.Path()), dir), within(resolved(run.Root), dir):
		return finalIncomplete("the archive %s lies inside of trace_dir %s: what is archived would be taken for traces of the server; give the archive block another path",
			run.Root, traceDir)
	case within(dir, job):
		return finalIncomplete("trace_dir %s lies inside of %s, where the runs of this job are archived: give the archive block another path, or the server another trace_dir",
			traceDir, job)
	}
	return nil
}

// resolved is a path without symbolic links, as far as it exists.
func resolved(path string) string {
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(path)
		parent := filepath.Dir(path)
		if err == nil {
			return filepath.Join(real, rest)
		}
		if parent == path {
			return filepath.Join(path, rest)
		}
		path, rest = parent, filepath.Join(filepath.Base(path), rest)
	}
}

// within tells whether a path is a directory or below it. Both are absolute.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// enough gives the free space of a directory, and an error where it is too little.
func (p *Preflight) enough(ctx context.Context, run *Run, r room) (free int64, err error) {
	free, err = run.free(ctx, r.dir)
	if err != nil {
		return 0, finalIncomplete("%s: %w", r.what, err)
	}
	if short := r.short(free, p.MinFreeDisk); short != nil {
		return 0, finalIncomplete("%w", short)
	}
	return free, nil
}
