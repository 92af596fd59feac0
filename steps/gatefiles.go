package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"profjob/internal/archive"
	"profjob/internal/gate"
	"profjob/internal/trace"
)

// fromGate fetches what the gates of a target have written, through the gates: the
// disks of their hosts need not be seen. Each worker's files are known by name,
// size and hash, so that nothing has to be waited for.
func (c *Collect) fromGate(ctx context.Context, run *Run, t Target, window WindowResult) ([]archive.File, error) {
	var all []archive.File
	var errs []error
	for _, e := range window.Endpoints {
		if e.Target != t.Name || e.Gate == nil {
			continue
		}
		client, err := run.gateClient(t, e.Endpoint)
		if err != nil {
			return all, incomplete("%w", err)
		}
		if err := run.disarmLate(ctx, t, e); err != nil {
			errs = append(errs, incomplete("%w", err))
		}
		f := gateFetch{Collect: c, run: run, client: client, endpoint: e}
		for _, w := range e.Gate.Workers {
			files, err := f.worker(ctx, w)
			all = append(all, files...)
			if err != nil {
				errs = append(errs, incomplete("core %d rank %d at %s: %w", w.Core, w.Rank, e.Endpoint, err))
			}
		}
	}
	return all, errors.Join(errs...)
}

// disarmLate disarms a gate once more whose answer did not come when its window
// closed: only it can tell which files there are.
func (r *Run) disarmLate(ctx context.Context, t Target, e EndpointWindow) error {
	if e.Stopped || e.Gate.Workers != nil {
		return nil
	}
	servers, err := r.servers([]Target{t})
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.Endpoint != e.Endpoint {
			continue
		}
		s.session = e.Gate.Session
		status, err := r.disarm(ctx, s)
		if err != nil {
			return fmt.Errorf("ask the gate at %s for its files: %w", e.Endpoint, err)
		}
		e.Gate.Workers = status.Workers // verify reads it there
	}
	return nil
}

// gateFetch fetches the files of one endpoint's session.
type gateFetch struct {
	*Collect
	run      *Run
	client   *gate.Client
	endpoint EndpointWindow
}

// worker fetches one worker's files. One that recorded no step has none.
func (f *gateFetch) worker(ctx context.Context, w gate.Worker) ([]archive.File, error) {
	if len(w.Files) == 0 && w.Recorded > 0 {
		if w.Error != "" {
			return nil, errors.New(string(w.Error))
		}
		return nil, fmt.Errorf("it recorded %d engine steps and has no file", w.Recorded)
	}
	var all []archive.File
	for _, file := range w.Files {
		f.run.progress("fetching "+file.Name, int64(len(all)), int64(len(w.Files)), "traces")
		got, err := f.file(ctx, w, file)
		if err != nil {
			return all, err
		}
		all = append(all, got)
	}
	return all, nil
}

func (f *gateFetch) file(ctx context.Context, w gate.Worker, file gate.File) (archive.File, error) {
	rel := path.Join(f.run.attemptDir(), "traces", f.endpoint.Target, archive.EndpointSlug(f.endpoint.Endpoint), path.Base(file.Name))
	dst := f.run.Dir.Join(filepath.FromSlash(rel))
	sum, err := f.copy(ctx, file, dst)
	if err != nil {
		return archive.File{}, err
	}
	kind := traceKind(file.Name)
	if kind == archive.KindTrace {
		if err := trace.Complete(ctx, dst); err != nil {
			return archive.File{}, fmt.Errorf("%s: %w", file.Name, err)
		}
	} else {
		kind = archive.KindOther
	}
	if f.DeleteRemote {
		if err := f.client.Delete(ctx, f.endpoint.Gate.Session, file.Name); err != nil {
			if err := f.run.warn("%s: collect.delete_remote: %v", f.endpoint.Target, err); err != nil {
				return archive.File{}, err
			}
		}
	}
	endpoint, rank := f.endpoint.Endpoint, globalRank(w)
	return archive.File{Path: rel, Size: sum.Size, SHA256: sum.SHA256, Kind: kind, Round: f.run.Place.Round,
		Attempt: f.run.Place.Attempt, Target: f.endpoint.Target, Endpoint: &endpoint, Rank: &rank, OriginalName: file.Name}, nil
}

// copy streams a file of the gate into the run. One that an earlier try of the
// plan step has fetched whole is not fetched again.
func (f *gateFetch) copy(ctx context.Context, file gate.File, dst string) (archive.Copied, error) {
	have, err := archive.HashFile(dst)
	if err == nil && have.SHA256 == file.SHA256 {
		return have, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(dst); err != nil {
			return archive.Copied{}, fmt.Errorf("replace the copy of %s: %w", file.Name, err)
		}
	}
	r, w := io.Pipe()
	var fetching sync.WaitGroup
	fetching.Go(func() {
		_ = w.CloseWithError(f.client.File(ctx, f.endpoint.Gate.Session, file, w)) // it never fails
	})
	sum, err := archive.Copy(ctx, dst, r)
	_ = r.CloseWithError(err) // it never fails; a fetch that still writes ends with it
	fetching.Wait()
	return sum, err
}

// globalRank numbers the workers of all engine cores of an endpoint.
func globalRank(w gate.Worker) int { return w.Core*max(w.WorldSize, 1) + w.Rank }
