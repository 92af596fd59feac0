package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"profjob/internal/durable"
)

// manifestName is the file in each run that says what the others are.
const manifestName = "manifest.json"

// ScratchDir is the folder of a run for what is not kept: it goes when the run is sealed.
const ScratchDir = "scratch"

// Seal lists every file of the run in the manifest, hashes those whose hash is
// not known yet, syncs all of it, writes the manifest and gives the directory its
// final name. It fills m.Files and m.Dir.
//
// known describes files by their path; what it does not name gets its kind from
// where it lies. One that it names and that is not there any more, or has another
// size, is an error: the partial directory then stays as it is, and Seal may be
// called again. Empty directories, scratch/, what is no regular file and what a
// broken write left are removed: none of it can be kept.
func Seal(ctx context.Context, d *Dir, m *Manifest, known []File) error {
	if d.sealed {
		return fmt.Errorf("seal run: %s is sealed already", d.Final())
	}
	if err := os.RemoveAll(d.Join(ScratchDir)); err != nil {
		return fmt.Errorf("seal run: remove scratch: %w", err)
	}
	files, err := describe(ctx, d, known, m.Targets)
	if err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	m.Files = files
	m.Dir = d.Final()
	if err := writeManifest(d, m); err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	if err := d.settleModes(); err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	if err := d.rename(); err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	return nil
}

// describe gives all files of a run, sorted by path.
func describe(ctx context.Context, d *Dir, known []File, targets []Target) ([]File, error) {
	paths, err := tidy(ctx, d.Path())
	if err != nil {
		return nil, err
	}
	byPath := make(map[string]File, len(known))
	for _, f := range known {
		byPath[f.Path] = f
	}
	files := []File{}
	for _, rel := range paths {
		f, ok := byPath[rel]
		delete(byPath, rel)
		if !ok {
			f = placed(rel, targets)
		}
		if err := fill(ctx, &f, d.Join(filepath.FromSlash(rel))); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if len(byPath) > 0 {
		missing := slices.Sorted(maps.Keys(byPath))
		return nil, fmt.Errorf("collected and not there any more: %s", strings.Join(missing, ", "))
	}
	return files, nil
}

// tidy removes from a run's directory what can't be kept, syncs its directories
// and gives the paths of its files but the manifest, relative, with slashes, sorted.
func tidy(ctx context.Context, root string) ([]string, error) {
	var files, dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			dirs = append(dirs, path)
			return nil
		case !entry.Type().IsRegular(), durable.IsTmp(entry.Name()):
			return os.Remove(path)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !utf8.ValidString(rel) {
			return fmt.Errorf("the name of %q is not UTF-8: a manifest cannot hold it", rel)
		}
		if rel != manifestName {
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	slices.Reverse(dirs) // what is within before what holds it
	for _, dir := range dirs {
		if dir != root && os.Remove(dir) == nil {
			continue // it was empty
		}
		if err := durable.SyncDir(dir); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// fill hashes a file that has no hash yet, checks the size of one that has, and syncs it.
func fill(ctx context.Context, f *File, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if f.SHA256 == "" {
		c, err := copyHashing(ctx, io.Discard, file)
		if err != nil {
			return fmt.Errorf("hash %s: %w", f.Path, err)
		}
		f.Size, f.SHA256 = c.Size, c.SHA256
	}
	if f.Size != info.Size() {
		return fmt.Errorf("%s has %d bytes and had %d when it was hashed", f.Path, info.Size(), f.Size)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.Path, err)
	}
	return nil
}

var (
	attemptPath  = regexp.MustCompile(`^rounds/(\d{1,9})/attempt-(\d{1,9})/`)
	logPath      = regexp.MustCompile(`^logs/([^/]+)\.log$`)
	tracePlace   = regexp.MustCompile(`^rounds/\d+/attempt-\d+/traces/([^/]+)/([^/]+)/`)
	analysisPath = regexp.MustCompile(`^analysis/round-(\d{1,9})-([^/]+)\.json$`)
	metricsPath  = regexp.MustCompile(`^rounds/\d+/attempt-\d+/metrics/([^/]+)/([^/]+)-[a-z]+\.prom$`) // slug and moment
)

// placed describes a file by where it lies: round, attempt and target, and the
// endpoint where the path has the slug of exactly one of the target's.
func placed(rel string, targets []Target) File {
	f := File{Path: rel, Kind: kindOf(rel)}
	if m := attemptPath.FindStringSubmatch(rel); m != nil {
		f.Round, _ = strconv.Atoi(m[1]) // the pattern lets nothing else through
		f.Attempt, _ = strconv.Atoi(m[2])
	}
	if m := logPath.FindStringSubmatch(rel); m != nil {
		f.Target = m[1]
	}
	if m := analysisPath.FindStringSubmatch(rel); m != nil {
		f.Round, _ = strconv.Atoi(m[1])
		f.Target = m[2]
	}
	for _, pattern := range []*regexp.Regexp{tracePlace, metricsPath} {
		if m := pattern.FindStringSubmatch(rel); m != nil {
			f.Target, f.Endpoint = m[1], endpointOf(targets, m[1], m[2])
		}
	}
	return f
}

// endpointOf gives a target's endpoint of that slug, nil unless there is exactly one.
func endpointOf(targets []Target, name, slug string) *string {
	var found []string
	for _, t := range targets {
		for _, e := range t.Endpoints {
			if t.Name == name && EndpointSlug(e) == slug {
				found = append(found, e)
			}
		}
	}
	if len(found) != 1 {
		return nil
	}
	return &found[0]
}

// kindOf tells from where it lies what a file is.
func kindOf(rel string) string {
	base := rel[strings.LastIndexByte(rel, '/')+1:]
	switch {
	case rel == "plan.json":
		return KindPlan
	case rel == "journal.jsonl":
		return KindJournal
	case strings.HasPrefix(rel, "input/"):
		return KindInput
	case strings.HasPrefix(rel, "logs/"), rel == "guard.log":
		return KindLog
	case analysisPath.MatchString(rel):
		return KindAnalysis
	case rel == "report.html":
		return KindReport
	case strings.HasSuffix(rel, ".prom"):
		return KindMetrics
	case base == "load.jsonl", base == "load.json":
		return KindLoad
	}
	return KindOther
}
