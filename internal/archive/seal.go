package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// manifestName is the file in each run that says what the others are.
const manifestName = "manifest.json"

// Seal lists every file of the run in the manifest, hashes those whose hash is
// not known yet, syncs all of it, writes the manifest and gives the directory its
// final name. Files that the manifest names and that are not there are an error.
//
// known describes files by their path; what it does not name gets its kind from
// where it lies. Empty directories and scratch/ are removed first.
func Seal(ctx context.Context, d *Dir, m *Manifest, known []File) error {
	if err := os.RemoveAll(d.Join(ScratchDir)); err != nil {
		return fmt.Errorf("seal run: remove scratch: %w", err)
	}
	files, err := describe(ctx, d, known)
	if err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	m.Files = files
	m.Dir = d.Final()
	data, err := m.Encode()
	if err != nil {
		return fmt.Errorf("seal run: encode manifest: %w", err)
	}
	if err := d.WriteFile(manifestName, data); err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	return d.Rename()
}

// ScratchDir is the folder of a run for what is not kept: it goes when the run is sealed.
const ScratchDir = "scratch"

func describe(ctx context.Context, d *Dir, known []File) ([]File, error) {
	byPath := make(map[string]File, len(known))
	for _, f := range known {
		byPath[f.Path] = f
	}
	var files []File
	err := filepath.WalkDir(d.Path(), func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if entry.IsDir() {
			return syncDir(path)
		}
		rel, err := filepath.Rel(d.Path(), path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel == manifestName || !entry.Type().IsRegular() {
			return nil
		}
		f, ok := byPath[rel]
		delete(byPath, rel)
		if !ok {
			f = File{Path: rel, Kind: kindOf(rel)}
		}
		if err := fill(&f, path); err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for path := range byPath {
		return nil, fmt.Errorf("%s was collected and is not there any more", path)
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, nil
}

// fill hashes a file that has no hash yet and checks the size of one that has.
func fill(f *File, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if f.SHA256 != "" && f.Size == info.Size() {
		return nil
	}
	if f.SHA256 != "" {
		return fmt.Errorf("%s has %d bytes and had %d when it was collected", f.Path, info.Size(), f.Size)
	}
	c, err := HashFile(path)
	if err != nil {
		return err
	}
	f.Size, f.SHA256 = c.Size, c.SHA256
	return nil
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
	case strings.HasPrefix(rel, "logs/"):
		return KindLog
	case strings.HasSuffix(rel, ".prom"):
		return KindMetrics
	case base == "load.jsonl", base == "load.json":
		return KindLoad
	}
	return KindOther
}
