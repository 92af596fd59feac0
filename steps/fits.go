package steps

import (
	"context"
	"path/filepath"

	"profjob/internal/archive"
	"profjob/internal/hostfs"
	"profjob/internal/trace"
)

// fits refuses to begin a copy that the archive's disk has no room for: what was
// recorded stays where it is. What is less than limits.min_free_disk may be used for
// it: that is there to be had when it is needed.
func (g *gathering) fits(ctx context.Context, listed []hostfs.File) error {
	var need int64
	for _, f := range listed {
		if now := fingerprint(f); g.have[f.Path].fingerprint == now || g.tried[f.Path] == now {
			continue
		}
		need += f.Size
		if begun, ok := archive.Fetched(g.run.Dir.Join(filepath.FromSlash(g.place(f))), g.source(f)); ok {
			need -= min(begun, f.Size)
		}
	}
	err := g.run.hasRoom(ctx, need, "the traces in "+g.dir())
	g.full = err != nil
	return err
}

// inScratch tells whether a target writes below the run's own scratch folder.
func (g *gathering) inScratch() bool {
	return within(resolved(g.dir()), resolved(g.run.Dir.Join(archive.ScratchDir)))
}

// hasRoom fails where the archive's disk has less free than so many bytes.
func (r *Run) hasRoom(ctx context.Context, need int64, what string) error {
	free, err := r.free(ctx, r.Dir.Path())
	if err != nil || free >= need {
		return nil // writing will say what is wrong with a disk that cannot be asked
	}
	return finalIncomplete("%s do not fit: %s are to be copied, the archive %s has %s free; they stay where they are", what, size(need), r.Dir.Root, size(free))
}

// keep copies or moves what there is of a file, and says what it is.
func (g *gathering) keep(ctx context.Context, f hostfs.File, rel string) (archive.Copied, string, error) {
	dst := g.run.Dir.Join(filepath.FromSlash(rel))
	if !g.inScratch() {
		sum, err := archive.Fetch(ctx, dst, g.source(f))
		return sum, archive.KindOther, err
	}
	sum, err := archive.Move(ctx, dst, filepath.Join(g.dir(), filepath.FromSlash(f.Path)))
	kind := archive.KindOther
	if err == nil && traceKind(f.Path) != archive.KindTable && trace.Complete(ctx, dst) == nil {
		kind = traceKind(f.Path)
	}
	return sum, kind, err
}

// tooLarge warns of a window that wrote more than limits.max_trace_size: profilers
// write when they are stopped, and what is written then can't be cut short. It is kept.
func (c *Collect) tooLarge(run *Run, t Target, files []archive.File) error {
	var sum int64
	for _, f := range files {
		if f.Target == t.Name {
			sum += f.Size
		}
	}
	if c.MaxTraceSize <= 0 || sum <= c.MaxTraceSize {
		return nil
	}
	return run.warn("%s: the window wrote %s, limits.max_trace_size is %s: it was written when the profiler was stopped, and all of it is kept",
		t.Name, size(sum), size(c.MaxTraceSize))
}
