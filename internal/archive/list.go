package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// maxManifest bounds the manifests that are read.
const maxManifest = 256 << 20

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
// not exist has none.
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
		if !job.IsDir() {
			continue
		}
		names, err := os.ReadDir(filepath.Join(root, job.Name()))
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		for _, n := range names {
			if e, ok := entryOf(filepath.Join(root, job.Name()), n); ok {
				entries = append(entries, e)
			}
		}
	}
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].RunID < entries[j].RunID })
	return entries, nil
}

func entryOf(dir string, n fs.DirEntry) (Entry, bool) {
	id, partial := strings.CutSuffix(n.Name(), partialSuffix)
	id, packed := strings.CutSuffix(id, tarSuffix)
	if !runIDPattern.MatchString(id) || packed == n.IsDir() {
		return Entry{}, false
	}
	e := Entry{RunID: id, JobDir: filepath.Base(dir), Path: filepath.Join(dir, n.Name()), Partial: partial}
	if !partial {
		e.Manifest, e.Err = ReadManifest(e.Path)
	}
	return e, true
}

// Find gives the run that a name means: a path of a run, a run id, or a
// beginning of one that only one run has; "latest" is the newest sealed one.
func Find(root, name string) (Entry, error) {
	if e, ok := entryAt(name); ok {
		return e, nil
	}
	all, err := List(root)
	if err != nil {
		return Entry{}, err
	}
	var found []Entry
	for _, e := range all {
		if name == "latest" && !e.Partial {
			found = []Entry{e}
		}
		if name != "latest" && name != "" && strings.HasPrefix(e.RunID, name) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, fmt.Errorf("no run %q in %s", name, root)
	case 1:
		return found[0], nil
	}
	return Entry{}, fmt.Errorf("%d runs in %s begin with %q: give more of the id", len(found), root, name)
}

func entryAt(path string) (Entry, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return Entry{}, false
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Entry{}, false
	}
	return entryOf(filepath.Dir(abs), fs.FileInfoToDirEntry(info))
}

// ReadManifest reads the manifest of a run that is a directory or a tar.zst file.
func ReadManifest(path string) (*Manifest, error) {
	r, err := openManifest(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", path, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", path, err)
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("read manifest of %s: larger than %d bytes", path, maxManifest)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", path, err)
	}
	if m.FormatVersion < 1 || m.FormatVersion > ManifestVersion {
		return nil, fmt.Errorf("read manifest of %s: format_version %d, this profjob reads up to %d", path, m.FormatVersion, ManifestVersion)
	}
	return &m, nil
}

func openManifest(path string) (io.ReadCloser, error) {
	if strings.HasSuffix(path, tarSuffix) {
		return openTarManifest(path)
	}
	return os.Open(filepath.Join(path, manifestName))
}
