package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Entry is one run as List finds it.
type Entry struct {
	RunID   string
	JobDir  string // the folder of the job's runs
	Path    string // of the directory or the archive file
	Partial bool   // it was never sealed: it goes on, or was cut off
	// Manifest is nil for a partial run, and where Err says why it could not be read.
	Manifest *Manifest
	Err      error
}

// List finds the runs below an archive's root, oldest first. A root that does
// not exist has none. A run whose manifest cannot be read is listed with its Err.
func List(root string) ([]Entry, error) {
	jobs, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var entries []Entry
	for _, job := range jobs {
		if !job.IsDir() || !jobDirPattern.MatchString(job.Name()) {
			continue // such as lost+found, which nobody else may read
		}
		of, err := listJob(filepath.Join(root, job.Name()))
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		entries = append(entries, of...)
	}
	slices.SortStableFunc(entries, byAge)
	return entries, nil
}

// byAge sorts the oldest first. Of runs of one second, which the ids do not tell
// apart, the manifests do.
func byAge(a, b Entry) int {
	const second = len(runIDTime)
	started := func(e Entry) time.Time {
		if e.Manifest == nil {
			return time.Time{}
		}
		return e.Manifest.StartedAt
	}
	return cmp.Or(strings.Compare(a.RunID[:second], b.RunID[:second]), started(a).Compare(started(b)), strings.Compare(a.RunID, b.RunID))
}

// listJob finds the runs of one job, oldest first; without its folder there are none.
func listJob(dir string) ([]Entry, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, n := range names { // sorted: a directory comes before its archive file
		e, ok := entryOf(filepath.Join(dir, n.Name()), n.IsDir())
		if !ok {
			continue
		}
		last := len(entries) - 1
		if last < 0 || entries[last].RunID != e.RunID {
			entries = append(entries, e)
			continue
		}
		if e.Err == nil { // packed, and cut off before the directory was removed
			entries[last] = e
		}
	}
	slices.SortStableFunc(entries, byAge)
	return entries, nil
}

// entryOf tells from its name whether a path is that of a run, and reads its manifest.
func entryOf(path string, isDir bool) (Entry, bool) {
	id := filepath.Base(path)
	id, partial := strings.CutSuffix(id, partialSuffix)
	id, packed := strings.CutSuffix(id, tarSuffix)
	if !runIDPattern.MatchString(id) || packed == isDir || (packed && partial) {
		return Entry{}, false
	}
	e := Entry{RunID: id, JobDir: filepath.Base(filepath.Dir(path)), Path: path, Partial: partial}
	if partial {
		return e, true
	}
	e.Manifest, e.Err = ReadManifest(path)
	if e.Err == nil && e.Manifest.RunID != id {
		e.Manifest, e.Err = nil, fmt.Errorf("read manifest of %s: it is that of run %s", path, e.Manifest.RunID)
	}
	return e, true
}
