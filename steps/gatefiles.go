package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"

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
		if err := f.fits(ctx); err != nil {
			errs = append(errs, err)
			if !t.Launched() {
				continue
			}
			f.own = run.Dir.Join(archive.ScratchDir, t.Name, gateFiles)
		}
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
	// own is the folder of the run's own where the files lie, where there is no room for
	// another copy of them: they are moved, since it ends with the run.
	own string
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
	kind := traceKind(file.Name)
	if kind != archive.KindTrace {
		kind = archive.KindOther
	}
	sum, err := f.get(ctx, file, kind)
	if err != nil {
		return archive.File{}, err
	}
	if f.DeleteRemote && f.own == "" {
		if err := f.client.Delete(ctx, f.endpoint.Gate.Session, file.Name); err != nil {
			if err := f.run.warn("%s: collect.delete_remote: %v", f.endpoint.Target, err); err != nil {
				return archive.File{}, err
			}
		}
	}
	endpoint, rank := f.endpoint.Endpoint, globalRank(w)
	return archive.File{Path: f.place(file), Size: sum.Size, SHA256: sum.SHA256, Kind: kind, Round: f.run.Place.Round,
		Attempt: f.run.Place.Attempt, Target: f.endpoint.Target, Endpoint: &endpoint, Rank: &rank, OriginalName: file.Name}, nil
}

// get copies a file into the run, or moves it.
func (f *gateFetch) get(ctx context.Context, file gate.File, kind string) (archive.Copied, error) {
	if f.own == "" {
		return archive.Fetch(ctx, f.dst(file), f.source(file, kind))
	}
	name := filepath.FromSlash(file.Name)
	if !filepath.IsLocal(name) {
		return archive.Copied{}, fmt.Errorf("the gate lists %q, which is no file of its folder", file.Name)
	}
	return archive.Move(ctx, f.dst(file), filepath.Join(f.own, name))
}

// fits refuses to begin where the archive's disk has no room for the files.
func (f *gateFetch) fits(ctx context.Context) error {
	var need int64
	for _, w := range f.endpoint.Gate.Workers {
		for _, file := range w.Files {
			begun, _ := archive.Fetched(f.dst(file), f.source(file, traceKind(file.Name)))
			need += max(file.Size-begun, 0)
		}
	}
	return f.run.hasRoom(ctx, need, "the traces of the gate at "+f.endpoint.Endpoint)
}

// place gives the path of a copy within the run.
func (f *gateFetch) place(file gate.File) string {
	return path.Join(f.run.attemptDir(), "traces", f.endpoint.Target, archive.EndpointSlug(f.endpoint.Endpoint), fileName(path.Base(file.Name)))
}

func (f *gateFetch) dst(file gate.File) string {
	return f.run.Dir.Join(filepath.FromSlash(f.place(file)))
}

// source is a file of the gate. One that an earlier try of the plan step, or of the
// run, has fetched whole is not fetched again, and one that was begun is gone on with.
func (f *gateFetch) source(file gate.File, kind string) archive.Source {
	session := f.endpoint.Gate.Session
	return archive.Source{
		ID: fmt.Sprintf("gate %s %s %d %s", session, file.Name, file.Size, file.SHA256),
		Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return f.client.Open(ctx, session, file, offset)
		},
		Check: func(ctx context.Context, path string, c archive.Copied) error {
			if c.SHA256 != file.SHA256 {
				return fmt.Errorf("fetch %s from the gate: its SHA-256 is %s, the worker that wrote it says %q", file.Name, c.SHA256, file.SHA256)
			}
			if kind != archive.KindTrace {
				return nil
			}
			if err := trace.Complete(ctx, path); err != nil {
				return fmt.Errorf("%s: %w", file.Name, err)
			}
			return nil
		},
	}
}

// globalRank numbers the workers of all engine cores of an endpoint.
func globalRank(w gate.Worker) int { return w.Core*max(w.WorldSize, 1) + w.Rank }
