package steps

import (
	"context"
	"errors"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
)

// Store brings the sealed run into the form in which the archive keeps it.
type Store struct {
	Header
	noUndo
	Path   string `json:"path"`   // relative to the job file, or absolute
	Format string `json:"format"` // dir or tar.zst
}

// StoreResult says where the run is kept.
type StoreResult struct {
	Path string `json:"path"`
}

// Summary tells the path.
func (r StoreResult) Summary() string { return r.Path }

// Kind is the row in the table of kinds.
func (s *Store) Kind() string { return "store" }

// Do packs the run where the archive wants it packed.
func (s *Store) Do(ctx context.Context, run *Run) (any, error) {
	sealed, ok := Latest[SealResult](run.State)
	if !ok {
		return nil, backoff.Permanent(errors.New("store: the run is not sealed"))
	}
	if s.Format != "tar.zst" {
		return StoreResult{Path: run.Dir.Path()}, nil
	}
	path, err := archive.Pack(ctx, run.Dir, sealed.Manifest)
	if err != nil {
		return nil, backoff.Permanent(incomplete("%w", err))
	}
	return StoreResult{Path: path}, nil
}
