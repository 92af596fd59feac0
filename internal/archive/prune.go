package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"profjob/internal/durable"
)

// Keep says how many sealed runs of a job stay. A run that either rule wants
// stays; with both zero all do.
type Keep struct {
	Last  int `json:"last,omitempty"`  // the newest runs
	Daily int `json:"daily,omitempty"` // the newest run of each of the newest so many days (UTC) that have any
}

// Prune removes the sealed runs of one job that keep does not want, packed or
// not, and gives their ids, oldest first; also after an error, those that are
// gone. Runs that ended well are counted apart from the others, so that nights of
// failures push out no good run. Days without a run do not count, so that a job which rests loses
// nothing. It never removes a run that was not sealed, one whose manifest cannot
// be read, or one of another job.
func Prune(ctx context.Context, root, jobDir string, keep Keep) (removed []string, err error) {
	if !jobDirPattern.MatchString(jobDir) {
		return nil, fmt.Errorf("prune runs: %q is no folder of a job", jobDir)
	}
	dir := filepath.Join(root, jobDir)
	if err := sweep(dir); err != nil {
		return nil, fmt.Errorf("prune runs: %w", err)
	}
	if keep == (Keep{}) {
		return nil, nil
	}
	entries, err := listJob(dir)
	if err != nil {
		return nil, fmt.Errorf("prune runs: %w", err)
	}
	well, otherwise := sealedOf(jobDir, entries)
	gone := append(unwanted(well, keep), unwanted(otherwise, keep)...)
	for _, e := range entries { // oldest first
		id := e.RunID
		if !slices.Contains(gone, id) || slices.Contains(removed, id) {
			continue
		}
		if ctx.Err() != nil {
			return removed, fmt.Errorf("prune runs: %w", context.Cause(ctx))
		}
		if err := removeBoth(filepath.Join(dir, id)); err != nil {
			return removed, fmt.Errorf("prune runs: %w", err)
		}
		removed = append(removed, id)
	}
	return removed, nil
}

// sealedOf gives the ids of the runs that are known to be sealed ones of a job,
// oldest first: those that ended well, and the others.
func sealedOf(jobDir string, entries []Entry) (well, otherwise []string) {
	for _, e := range entries {
		switch {
		case e.Manifest == nil || JobDir(e.Manifest.Job) != jobDir:
		case e.Manifest.Status == StatusOK:
			well = append(well, e.RunID)
		default:
			otherwise = append(otherwise, e.RunID)
		}
	}
	return well, otherwise
}

// unwanted gives those of the ids, oldest first, that no rule keeps. A run id
// begins with its day.
func unwanted(ids []string, keep Keep) []string {
	var gone []string
	day, days := "", 0
	for i, id := range slices.Backward(ids) {
		newestOfDay := id[:len("20060102")] != day
		if newestOfDay {
			day = id[:len("20060102")]
			days++
		}
		if len(ids)-i > keep.Last && (!newestOfDay || days > keep.Daily) {
			gone = append(gone, id)
		}
	}
	slices.Reverse(gone)
	return gone
}

// removeBoth removes a run's directory and its archive file, whichever is there.
func removeBoth(path string) error {
	for _, p := range []string{path, path + tarSuffix} {
		if err := removeRun(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sweep finishes what was being removed when a crash came between, and takes away
// what a pack that was cut off has left.
func sweep(dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.SweepTmp(dir)
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		name, removing := strings.CutSuffix(n.Name(), removingSuffix)
		if !removing || !runIDPattern.MatchString(strings.TrimSuffix(name, tarSuffix)) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, n.Name())); err != nil {
			return err
		}
	}
	return nil
}
