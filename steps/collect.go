package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/dustin/go-humanize"

	"profjob/internal/archive"
	"profjob/internal/engine"
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
	MaxTraceSize int64         `json:"max_trace_size,omitempty"` // bytes a window may write; 0: any amount
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

// How long to wait for files, from the last change that was seen.
const (
	collectPoll     = 100 * time.Millisecond
	collectPollMost = 2 * time.Second
	// graceAnswered is for servers that have answered the stop: vLLM does once its
	// files are written (0.11.0 to 0.32.0).
	graceAnswered = 10 * time.Second
	// graceFailed is for those that have answered it with an error.
	graceFailed = 30 * time.Second
	// graceAgain is for a stop that was sent once more.
	graceAgain = 3 * time.Second
	// settling is how long nothing may change where no answer says that all is
	// there: other ranks' files may come after the first.
	settling = 3 * time.Second
)

// Kind is the row in the table of kinds.
func (c *Collect) Kind() string { return "collect" }

// Keeps tells whether some endpoint of the attempt may have written something.
func (c *Collect) Keeps(run *Run) bool {
	window, _ := InAttempt[WindowResult](run.State, run.Place)
	return slices.ContainsFunc(window.Endpoints, func(e EndpointWindow) bool { return !e.Lost() })
}

// Do copies the files of every target. What could be had is in the result even
// where something is missing.
func (c *Collect) Do(ctx context.Context, run *Run) (any, error) {
	window, ok := InAttempt[WindowResult](run.State, run.Place)
	if !ok {
		return nil, backoff.Permanent(errors.New("collect: no window was recorded in this attempt"))
	}
	waiting, cancel := context.WithTimeoutCause(ctx, time.Duration(c.Timeout), fmt.Errorf("collect.timeout (%s) is over", c.Timeout))
	defer cancel()
	var result CollectResult
	var errs []error
	for _, t := range c.Targets {
		if run.byGate(t) {
			files, err := c.fromGate(waiting, run, t, window)
			if err != nil {
				errs = append(errs, fmt.Errorf("collect %s: %w", t.Name, err))
			}
			result.Files = append(result.Files, files...)
			continue
		}
		g := &gathering{Collect: c, run: run, target: t, before: window.Before[t.Name], have: copies{}, tried: map[string]string{}, broken: breaks{}}
		g.expect(window)
		g.others = slices.Clone(result.Files)
		err := g.gather(waiting)
		if err != nil {
			errs = append(errs, fmt.Errorf("collect %s: %w", t.Name, errors.Join(err, g.keepUnfinished(ctx))))
		}
		result.Files = append(result.Files, g.have.files()...)
	}
	for _, t := range c.Targets {
		if err := c.tooLarge(run, t, result.Files); err != nil {
			return result, backoff.Permanent(err)
		}
	}
	got, want := count(result.Files, archive.KindTrace), c.ExpectRanks-window.unopened()
	if got < want && len(errs) == 0 {
		errs = append(errs, incomplete("collect: %d traces of workers, collect.expect.ranks asks for %d: %s",
			got, c.ExpectRanks, strings.Join(paths(result.Files), ", ")))
	}
	if c.allByGate(run) { // whose files are there whole: what failed was the way
		return result, errors.Join(errs...)
	}
	return result, errorPermanent(errors.Join(errs...))
}

// allByGate tells whether all files come through gates.
func (c *Collect) allByGate(run *Run) bool {
	return !slices.ContainsFunc(c.Targets, func(t Target) bool { return !run.byGate(t) })
}

// gathering is the collecting of one target's files.
type gathering struct {
	*Collect
	run    *Run
	target Target
	before Snapshot
	have   copies
	tried  map[string]string // what a file looked like when a copy of it was not complete
	broken breaks
	others []archive.File // of the targets before this one
	full   bool           // the archive's disk has no room for what is to be copied

	need    int           // traces of workers that the target must give at least
	settle  time.Duration // how long nothing may change before all counts as there
	stopped string        // how the stop was answered
	grace   time.Duration // how long nothing may change before the wait is given up; 0: until collect.timeout
	listing Snapshot      // as it was at the last look
	changed time.Time     // when it last differed from the one before
	again   bool          // the stops were sent once more
	died    error         // why nothing more is waited for
}

// expect works out from what became of the stops what must be there, and how long
// it is waited for. What a server has lost is not.
func (g *gathering) expect(window WindowResult) {
	g.grace, g.stopped = graceAnswered, "the server is lost"
	unanswered := false
	for _, e := range window.Endpoints {
		if e.Target != g.target.Name || e.Lost() || e.StartError != "" || e.ByItself && e.Ended != EndedRecorded {
			continue
		}
		if g.need++; g.need == 1 {
			g.stopped = "the server has answered the stop"
		}
		unanswered = unanswered || !e.Stopped
		if e.ByItself {
			g.settle, g.stopped = settling, "the server records by itself"
		}
		if e.StopError != "" {
			g.grace, g.settle = graceFailed, settling
			g.stopped = fmt.Sprintf("the stop failed (%s)", e.StopError)
		}
	}
	if unanswered {
		g.grace = 0
	}
	if len(g.Targets) == 1 && g.need > 0 {
		g.need = max(g.need, g.ExpectRanks)
	}
}

// gather copies until all is there that must be and all that is there is complete.
func (g *gathering) gather(ctx context.Context) error {
	g.changed = g.run.Clock.Now()
	alive, stop := g.whileAlive(ctx)
	defer stop()
	for first := true; ; first = false {
		g.giveUpTheDead(ctx, alive)
		listed, err := g.look(ctx)
		if err != nil {
			return g.cutShort(ctx, err)
		}
		if first {
			g.recall(listed)
		}
		whole, err := g.copyAll(ctx, listed)
		if err != nil {
			return g.cutShort(ctx, err)
		}
		got, quiet := count(g.have.files(), archive.KindTrace), g.run.Clock.Now().Sub(g.changed)
		if whole && got >= g.need && quiet >= g.settle {
			g.run.armed.wrote(g.target)
			return g.deleteRemote(ctx)
		}
		if g.grace > 0 && quiet >= g.grace {
			if !g.stopAgain(ctx, got) {
				return g.missing(ctx, got, listed)
			}
			continue
		}
		g.run.progress("waiting for traces", int64(got), int64(g.need), "traces")
		// The longer nothing has changed, the less often it is looked at.
		if err := g.run.Clock.Sleep(ctx, max(collectPoll, min(quiet/20, collectPollMost))); err != nil {
			return g.cutShort(ctx, err)
		}
	}
}

// whileAlive gives a context that ends once a server has died whose stop was not
// answered, and which so may have died of it.
func (g *gathering) whileAlive(ctx context.Context) (alive context.Context, stop func()) {
	servers, err := g.run.servers([]Target{g.target})
	if g.grace > 0 || err != nil {
		return ctx, func() {}
	}
	return g.run.whileAlive(ctx, servers, "wrote its trace", patienceOfWriting)
}

// giveUpTheDead waits for nothing more of a server that has died: what is complete by
// now is all there will be.
func (g *gathering) giveUpTheDead(ctx, alive context.Context) {
	if g.died != nil || ctx.Err() != nil || alive.Err() == nil {
		return
	}
	g.died, g.again = context.Cause(alive), true
	g.changed, g.grace = g.run.Clock.Now(), graceAgain
}

// stopAgain sends the stops of a target once more where its traces do not come: an
// answer is no proof that it was carried out, a trace is. It is false where that was
// done already, or there is nothing to stop.
func (g *gathering) stopAgain(ctx context.Context, got int) bool {
	if g.again || got >= g.need || g.run.byItself(g.target) {
		return false
	}
	g.again = true
	servers, err := g.run.servers([]Target{g.target})
	if err != nil || len(servers) == 0 || ctx.Err() != nil {
		return false
	}
	_ = g.run.warn("%s: no trace came %s after its stop was answered: the stop is sent once more", g.target.Name, g.grace)
	for _, s := range servers {
		if err := g.run.stop(ctx, s); err != nil && !engine.StopAnswered(err) {
			_ = g.run.warn("%s: %v", g.target.Name, err)
		}
	}
	g.changed, g.grace = g.run.Clock.Now(), graceAgain
	return true
}

// cutShort says what there was when the wait came to its end before its time; any
// other error stays as it is.
func (g *gathering) cutShort(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return incomplete("%d of %d traces of workers are complete in %s: %w",
		count(g.have.files(), archive.KindTrace), g.need, g.dir(), context.Cause(ctx))
}

func (g *gathering) dir() string { return g.run.traceDir(g.target) }

// missing says what is not there.
func (g *gathering) missing(ctx context.Context, got int, listed []hostfs.File) error {
	var unfinished []string
	for _, f := range listed {
		if _, ok := g.have[f.Path]; !ok {
			unfinished = append(unfinished, f.Path)
		}
	}
	if g.died != nil {
		return fmt.Errorf("%w; %s holds %d of %d complete traces of workers of this window", g.died, g.dir(), got, g.need)
	}
	text := fmt.Sprintf("%s, and %s holds %d of %d complete traces of workers of this window", g.stopped, g.dir(), got, g.need)
	switch _, err := g.run.Files(g.dir()).List(ctx, "."); {
	case len(unfinished) > 0:
		return incomplete("%s: not complete: %s", text, strings.Join(unfinished, ", "))
	case errors.Is(err, fs.ErrNotExist):
		return finalIncomplete("%s: the directory does not exist: is trace_dir the one that the server was launched with?", text)
	}
	return incomplete("%s: is trace_dir the one that the server was launched with, and is every rank's there?", text)
}

// look lists what is new or changed since the window opened, and notes whether
// that has changed since the last look.
func (g *gathering) look(ctx context.Context) ([]hostfs.File, error) {
	listed, err := g.run.Files(g.dir()).List(ctx, ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, incomplete("list trace_dir: %w", err)
	}
	listed = slices.DeleteFunc(listed, func(f hostfs.File) bool {
		return g.before[f.Path] == fingerprint(f) || traceKind(f.Path) == ""
	})
	now := make(Snapshot, len(listed))
	for _, f := range listed {
		now[f.Path] = fingerprint(f)
	}
	if !maps.Equal(now, g.listing) {
		g.listing, g.changed = now, g.run.Clock.Now()
	}
	return listed, nil
}

func (g *gathering) copyAll(ctx context.Context, listed []hostfs.File) (whole bool, err error) {
	if err := g.fits(ctx, listed); err != nil {
		return false, err
	}
	whole = true
	for _, f := range listed {
		complete, err := g.copy(ctx, f)
		if err != nil {
			return false, err
		}
		whole = whole && complete
	}
	return whole, nil
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

// copy copies one file unless that is done; complete is false where the server
// still writes it. A file that was not complete is looked at again once it has changed.
func (g *gathering) copy(ctx context.Context, f hostfs.File) (complete bool, err error) {
	now := fingerprint(f)
	old, again := g.have[f.Path]
	switch {
	case again && old.fingerprint == now:
		return true, nil
	case g.tried[f.Path] == now:
		return false, nil
	}
	rel := old.file.Path
	if again {
		err = archive.Discard(g.run.Dir.Join(filepath.FromSlash(rel)))
		delete(g.have, f.Path)
	} else {
		rel = g.place(f)
	}
	if err != nil {
		return false, incomplete("replace the copy of %s: %w", f.Path, err)
	}
	if g.broken.resting(f.Path, g.run.Clock.Now()) {
		return false, nil
	}
	src := g.source(f)
	src.Check = g.whole(f)
	sum, err := archive.Fetch(ctx, g.run.Dir.Join(filepath.FromSlash(rel)), src)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errReplaced):
		return false, nil // it was renamed or replaced since it was listed
	case errors.Is(err, errNotWhole):
		g.tried[f.Path] = now
		return false, nil
	case ctx.Err() == nil && g.broken.again(f.Path, err, g.run.Clock.Now()):
		g.changed = g.run.Clock.Now() // the wait for traces is not what it lacks
		return false, g.run.warn("%s: %v: the copy is gone on with", g.target.Name, err)
	case err != nil:
		return false, incomplete("%w", err)
	}
	g.have[f.Path] = copied{fingerprint: now, file: g.describe(f, rel, traceKind(f.Path), sum)}
	return true, nil
}

var (
	errNotWhole = errors.New("the server still writes it")
	errReplaced = errors.New("it was replaced meanwhile")
)

// whole checks that a copy is of a file that the server has written to its end. What
// was put together from two goes must be of one file: the one that was listed.
func (g *gathering) whole(f hostfs.File) func(context.Context, string, archive.Copied) error {
	return func(ctx context.Context, path string, c archive.Copied) error {
		if traceKind(f.Path) != archive.KindTable && trace.Complete(ctx, path) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return errNotWhole
		}
		if c.From == 0 {
			return nil
		}
		listed, err := g.run.Files(g.dir()).List(ctx, ".")
		if err != nil {
			return fmt.Errorf("list trace_dir: %w", err)
		}
		if !slices.ContainsFunc(listed, func(now hostfs.File) bool { return now.Path == f.Path && fingerprint(now) == fingerprint(f) }) {
			return errReplaced
		}
		return nil
	}
}

// source is a file of the target as it was listed.
func (g *gathering) source(f hostfs.File) archive.Source {
	return archive.Source{
		ID: fmt.Sprintf("%s %s %s", g.dir(), f.Path, fingerprint(f)),
		Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return g.run.Files(g.dir()).Open(ctx, f.Path, offset)
		},
	}
}

func (g *gathering) describe(f hostfs.File, rel, kind string, sum archive.Copied) archive.File {
	return archive.File{Path: rel, Size: sum.Size, SHA256: sum.SHA256, Kind: kind, Round: g.run.Place.Round,
		Attempt: g.run.Place.Attempt, Target: g.target.Name, Endpoint: g.run.soleEndpoint(g.target), OriginalName: f.Path}
}

// keepUnfinished copies what never became complete as it is: it may be all there
// is, and tell why. It is no trace for the manifest. What was written below the run's
// own scratch folder, which ends with the run, is moved and not copied: that a disk has
// no room for two of it must not lose the only one.
func (g *gathering) keepUnfinished(ctx context.Context) error {
	if ctx.Err() != nil || g.full && !g.inScratch() {
		return nil
	}
	listed, err := g.look(ctx)
	if err != nil {
		return nil // that it cannot be listed has been said
	}
	var errs []error
	for _, f := range listed {
		if _, ok := g.have[f.Path]; ok {
			continue
		}
		rel := g.place(f)
		sum, kind, err := g.keep(ctx, f, rel)
		if err != nil {
			errs = append(errs, incomplete("keep what there is of %s: %w", f.Path, err))
			continue
		}
		g.have[f.Path] = copied{fingerprint: fingerprint(f), file: g.describe(f, rel, kind, sum)}
	}
	return errors.Join(errs...)
}

// place gives the path of a copy within the run: where it was begun before the run
// was cut off, else a new one. Two files of one name, from two folders of a server, are
// told apart by a number.
func (g *gathering) place(f hostfs.File) string {
	slug := "shared" // several endpoints write into one directory, and the files do not tell whose they are
	if e := g.run.soleEndpoint(g.target); e != nil {
		slug = archive.EndpointSlug(*e)
	}
	dir := path.Join(g.run.attemptDir(), "traces", g.target.Name, slug)
	base := fileName(path.Base(f.Path))
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = numbered(base, n)
		}
		rel := path.Join(dir, name)
		dst := g.run.Dir.Join(filepath.FromSlash(rel))
		if _, err := os.Lstat(dst); err != nil {
			return rel
		}
		if _, ours := archive.Fetched(dst, g.source(f)); ours && !g.holds(rel) {
			return rel
		}
	}
}

// holds tells whether a path is that of a file that this gathering has copied.
func (g *gathering) holds(rel string) bool {
	for _, c := range g.have {
		if c.file.Path == rel {
			return true
		}
	}
	return false
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
func (g *gathering) deleteRemote(ctx context.Context) error {
	if !g.DeleteRemote {
		return nil
	}
	if err := g.run.noteCollected(append(slices.Clone(g.others), g.have.files()...)); err != nil {
		return err // what is not known to be ours stays the server's
	}
	var errs []error
	for _, p := range slices.Sorted(maps.Keys(g.have)) {
		if err := g.run.Files(g.dir()).Remove(ctx, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return g.run.warn("%s: collect.delete_remote: %v", g.target.Name, err)
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
