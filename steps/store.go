package steps

import (
	"context"
	"errors"
	"fmt"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
)

// Store brings the sealed run into the form in which the archive keeps it, and
// then removes the job's runs that the archive is not to keep any longer.
type Store struct {
	Header
	noUndo
	Path   string `json:"path"`   // relative to the job file, or absolute
	Format string `json:"format"` // dir or tar.zst
	// Keep is how many runs of the job stay; the zero value keeps all.
	Keep archive.Keep `json:"keep,omitzero"`
}

// StoreResult says where the run is kept, and the ids of the runs that were removed.
type StoreResult struct {
	Path    string   `json:"path"`
	Removed []string `json:"removed,omitempty"`
}

// Summary tells the path, and how many runs went.
func (r StoreResult) Summary() string {
	if len(r.Removed) == 0 {
		return r.Path
	}
	return fmt.Sprintf("%s; %d older removed", r.Path, len(r.Removed))
}

// Kind is the row in the table of kinds.
func (s *Store) Kind() string { return "store" }

// Do packs the run where the archive wants it packed.
func (s *Store) Do(ctx context.Context, run *Run) (any, error) {
	sealed, ok := Latest[SealResult](run.State)
	if !ok {
		return nil, backoff.Permanent(errors.New("store: the run is not sealed"))
	}
	result := StoreResult{Path: run.Dir.Path()}
	if s.Format == "tar.zst" {
		if err := run.hasRoom(ctx, archive.PackedAtLeast(sealed.Manifest), "the packed run's files"); err != nil {
			return nil, backoff.Permanent(err)
		}
		path, err := archive.Pack(ctx, run.Dir, sealed.Manifest)
		if err != nil {
			return nil, backoff.Permanent(incomplete("%w", err))
		}
		result.Path = path
	}
	removed, err := archive.Prune(ctx, run.Dir.Root, archive.JobDir(run.Job), s.Keep)
	result.Removed = removed
	if err != nil { // this run is stored: older ones in its folder are no reason to fail it
		err = run.warn("archive.keep: %v", err)
	}
	return result, errorPermanent(err)
}
