package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"profjob/internal/archive"
	"profjob/internal/hostfs"
	"profjob/internal/trace"
	"profjob/internal/wire"
)

// Collect copies what the window wrote, and only that, into the run: files that
// were not there before it opened or that have changed since. It waits until
// each is complete.
type Collect struct {
	Header
	noUndo
	Targets      []Target      `json:"targets"`
	ExpectRanks  int           `json:"expect_ranks,omitempty"`
	DeleteRemote bool          `json:"delete_remote"`
	Timeout      wire.Duration `json:"timeout"`
}

// CollectResult lists the copies.
type CollectResult struct {
	Files []archive.File `json:"files"`
}

// Summary tells how many files of which size there are.
func (r CollectResult) Summary() string {
	var size int64
	traces := 0
	for _, f := range r.Files {
		size += f.Size
		if f.Kind == archive.KindTrace {
			traces++
		}
	}
	return fmt.Sprintf("%d files, %d of them traces of workers, %s", len(r.Files), traces, humanize.IBytes(uint64(size)))
}

const (
	collectPoll = 100 * time.Millisecond
	// collectGrace is how long files may be late after the stop was answered: vLLM
	// answers once they are written (0.11.0 to 0.32.0).
	collectGrace = 10 * time.Second
)

// Kind is the row in the table of kinds.
func (c *Collect) Kind() string { return "collect" }

// Do copies the files of every target. What could be had is in the result even
// where something is missing.
func (c *Collect) Do(ctx context.Context, run *Run) (any, error) {
	window, ok := InAttempt[WindowResult](run.State, run.Place)
	if !ok {
		return nil, errors.New("collect: no window was recorded in this attempt")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(c.Timeout), fmt.Errorf("collect.timeout (%s) is over", c.Timeout))
	defer cancel()
	var result CollectResult
	var errs []error
	for _, t := range c.Targets {
		files, err := c.target(ctx, run, t, window)
		result.Files = append(result.Files, files...)
		if err != nil {
			errs = append(errs, fmt.Errorf("collect %s: %w", t.Name, err))
		}
	}
	if got := count(result.Files, archive.KindTrace); got < c.ExpectRanks && len(errs) == 0 {
		errs = append(errs, incomplete("collect: %d traces of workers, collect.expect.ranks asks for %d: %s",
			got, c.ExpectRanks, strings.Join(paths(result.Files), ", ")))
	}
	return result, errorPermanent(errors.Join(errs...))
}

func (c *Collect) target(ctx context.Context, run *Run, t Target, window WindowResult) ([]archive.File, error) {
	need, proven := c.needed(t, window)
	deadline := run.Clock.Now().Add(collectGrace)
	have := copies{}
	for {
		listed, err := c.written(ctx, run, t, window)
		if err != nil {
			return have.files(), err
		}
		whole := true
		for _, f := range listed {
			complete, err := c.copy(ctx, run, t, f, have)
			if err != nil {
				return have.files(), err
			}
			whole = whole && complete
		}
		files := have.files()
		if whole && count(files, archive.KindTrace) >= need {
			run.armed.wrote(t)
			return files, c.deleteRemote(ctx, run, t, have)
		}
		if proven && run.Clock.Now().After(deadline) {
			return files, incomplete("the server has answered the stop, and %s holds %d of %d complete traces of workers of this window: %s",
				run.traceDir(t), count(files, archive.KindTrace), need, c.hint(run, t))
		}
		run.progress("waiting for traces", int64(count(files, archive.KindTrace)), int64(need), "traces")
		if err := run.Clock.Sleep(ctx, collectPoll); err != nil {
			return files, incomplete("%d of %d traces of workers are complete in %s: %w", count(files, archive.KindTrace), need, run.traceDir(t), err)
		}
	}
}

// needed is how many traces of workers the target must give at least, and
// whether its stops were answered, so that they must be there by now.
func (c *Collect) needed(t Target, window WindowResult) (need int, proven bool) {
	proven = true
	for _, e := range window.Endpoints {
		if e.Target == t.Name {
			need++
			proven = proven && e.StopError == ""
		}
	}
	if len(c.Targets) == 1 {
		need = max(need, c.ExpectRanks)
	}
	return need, proven
}

func (c *Collect) hint(run *Run, t Target) string {
	dir := run.traceDir(t)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "the directory does not exist: is trace_dir the one that the server was launched with?"
	}
	return "is trace_dir the one that the server was launched with, and is every rank's there?"
}

// written lists what is new or changed since the window opened.
func (c *Collect) written(ctx context.Context, run *Run, t Target, window WindowResult) ([]hostfs.File, error) {
	listed, err := run.Files(run.traceDir(t)).List(ctx, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, incomplete("list trace_dir: %w", err)
	}
	before := window.Before[t.Name]
	return slices.DeleteFunc(listed, func(f hostfs.File) bool {
		return before[f.Path] == fingerprint(f) || traceKind(f.Path) == ""
	}), nil
}

// copied is a file of ours and what the server's looked like when it was copied.
type copied struct {
	file        archive.File
	fingerprint string
}

// copies are the files copied so far, by their path at the target.
type copies map[string]copied

func (c copies) files() []archive.File {
	var all []archive.File
	for _, p := range slices.Sorted(maps.Keys(c)) {
		all = append(all, c[p].file)
	}
	return all
}

// copy copies one file unless that is done; complete is false where the server still writes it.
func (c *Collect) copy(ctx context.Context, run *Run, t Target, f hostfs.File, have copies) (complete bool, err error) {
	old, again := have[f.Path]
	if again && old.fingerprint == fingerprint(f) {
		return true, nil
	}
	rel := old.file.Path
	if again {
		err = os.Remove(run.Dir.Join(filepath.FromSlash(rel)))
		delete(have, f.Path)
	} else {
		rel = c.place(run, t, f)
	}
	if err != nil {
		return false, incomplete("replace the copy of %s: %w", f.Path, err)
	}
	src, err := run.Files(run.traceDir(t)).Open(ctx, f.Path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it was renamed or replaced since it was listed
	}
	if err != nil {
		return false, incomplete("open %s: %w", f.Path, err)
	}
	dst := run.Dir.Join(filepath.FromSlash(rel))
	sum, err := archive.Copy(ctx, dst, src)
	if err = errors.Join(err, src.Close()); err != nil {
		return false, incomplete("%w", err)
	}
	if traceKind(f.Path) != archive.KindTable && trace.Complete(ctx, dst) != nil {
		if err := os.Remove(dst); err != nil {
			return false, incomplete("remove a half copy: %w", err)
		}
		return false, nil
	}
	have[f.Path] = copied{fingerprint: fingerprint(f), file: archive.File{Path: rel, Size: sum.Size, SHA256: sum.SHA256,
		Kind: traceKind(f.Path), Round: run.Place.Round, Attempt: run.Place.Attempt, Target: t.Name,
		Endpoint: run.soleEndpoint(t), OriginalName: f.Path}}
	return true, nil
}

// place gives the path of a copy within the run. Two files of one name, from two
// folders of a server, are told apart by a number.
func (c *Collect) place(run *Run, t Target, f hostfs.File) string {
	slug := "shared" // several endpoints write into one directory, and the files do not tell whose they are
	if e := run.soleEndpoint(t); e != nil {
		slug = archive.EndpointSlug(*e)
	}
	dir := path.Join(run.attemptDir(), "traces", t.Name, slug)
	base := path.Base(f.Path)
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = numbered(base, n)
		}
		rel := path.Join(dir, name)
		_, err := os.Lstat(run.Dir.Join(filepath.FromSlash(rel)))
		if err != nil {
			return rel
		}
	}
}

// numbered puts a number before a file name's endings: rank0.1.pt.trace-2.json.gz
// would hide what it is, so it goes before the first dot: rank0-2.1.pt.trace.json.gz.
func numbered(name string, n int) string {
	stem, rest, found := strings.Cut(name, ".")
	if !found {
		return fmt.Sprintf("%s-%d", name, n)
	}
	return fmt.Sprintf("%s-%d.%s", stem, n, rest)
}

// deleteRemote removes the server's own files once each is ours.
func (c *Collect) deleteRemote(ctx context.Context, run *Run, t Target, have copies) error {
	if !c.DeleteRemote {
		return nil
	}
	var errs []error
	for p := range have {
		if err := run.Files(run.traceDir(t)).Remove(ctx, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return run.warn("%s: collect.delete_remote: %v", t.Name, err)
	}
	return nil
}

// soleEndpoint gives the target's endpoint where it has only one.
func (r *Run) soleEndpoint(t Target) *string {
	if e := r.endpoints(t); len(e) == 1 {
		return &e[0]
	}
	return nil
}

// traceKind tells from its name what a profiler's file is; empty: not one of a profiler's.
// vLLM 0.11.0 to 0.32.0 and SGLang 0.4.6 to 0.5.23 name them so.
func traceKind(name string) string {
	base := path.Base(name)
	switch {
	case strings.Contains(base, "profiler_out") && strings.HasSuffix(base, ".txt"):
		return archive.KindTable
	case !strings.HasSuffix(base, ".trace.json") && !strings.HasSuffix(base, ".trace.json.gz"):
		return ""
	case strings.Contains(base, ".async_llm."):
		return archive.KindFrontend
	}
	return archive.KindTrace
}

func fingerprint(f hostfs.File) string {
	return fmt.Sprintf("%d/%d/%s", f.Size, f.ModTime.UnixNano(), f.ID)
}

func count(files []archive.File, kind string) int {
	n := 0
	for _, f := range files {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

func paths(files []archive.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Path)
	}
	sort.Strings(all)
	return all
}
