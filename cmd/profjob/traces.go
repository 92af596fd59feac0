package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"profjob/internal/analysis"
	"profjob/internal/archive"
	"profjob/internal/ascend"
	"profjob/internal/trace"
	"profjob/steps"
)

// foundTraces are the traces that a command line names.
type foundTraces struct {
	sets []foundSet
	temp []string // directories that packed runs were unpacked into
}

// foundSet is the traces of one target in one round, or the files that were named.
type foundSet struct {
	round    int
	target   string
	inputs   []analysis.Input
	manifest *archive.Manifest // nil outside of a run
}

// read analyses the set's traces. With an error it is of those that could be read.
func (f *foundSet) read(ctx context.Context, o trace.ScanOptions) (*analysis.Set, error) {
	set, err := analysis.ReadSet(ctx, f.inputs, o)
	set.Round, set.Target = f.round, f.target
	return set, err
}

// untilTold gives a context that ends when the user, or whoever ends the session, says so.
func untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

func (f *foundTraces) close() {
	for _, dir := range f.temp {
		_ = os.RemoveAll(dir) // what is left is in the system's folder for that
	}
}

// findTraces finds traces by files, folders and runs. Files that are named one by one
// belong together, and so do those of one folder. The caller closes what it gets.
func (a *app) findTraces(ctx context.Context, root string, args []string) (*foundTraces, error) {
	found := &foundTraces{}
	files := -1 // the set of files
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case err == nil && info.IsDir() && !isRun(arg) && !ascend.Is(arg):
			var below []foundSet
			below, err = tracesBelow(arg)
			found.sets = append(found.sets, below...)
		case err == nil && (ascend.Is(arg) || !info.IsDir() && !strings.HasSuffix(arg, packedRun)):
			if files < 0 {
				files = len(found.sets)
				found.sets = append(found.sets, foundSet{})
			}
			found.sets[files].inputs = append(found.sets[files].inputs, analysis.Input{Path: arg})
			err = nil
		default:
			err = found.addRun(ctx, root, arg)
		}
		if err != nil {
			found.close()
			return nil, err
		}
	}
	return found, nil
}

// isRun tells of a run's directory.
func isRun(path string) bool {
	for _, name := range []string{"manifest.json", "journal.jsonl"} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return true
		}
	}
	return false
}

// packedRun is how the names of packed runs end.
const packedRun = ".tar.zst"

// traceName is what profilers call their traces: of torch, of SGLang, of torch_npu.
var traceName = regexp.MustCompile(`(?i)trace.*\.json(\.gz|\.zst)?$`)

// tracesBelow finds the traces in a folder by their names, and if there are none, all
// JSON, a set for each folder that has some.
func tracesBelow(dir string) ([]foundSet, error) {
	var traces, all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && ascend.Is(path): // one trace, with tables beside it
			traces = append(traces, path)
			return fs.SkipDir
		case d.IsDir():
		case traceName.MatchString(name):
			traces = append(traces, path)
		case strings.HasSuffix(name, ".json.gz"), strings.HasSuffix(name, ".json.zst"), strings.HasSuffix(name, ".json"):
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		return nil, failed(steps.ExitFailed, err)
	}
	if len(traces) == 0 {
		traces = all
	}
	if len(traces) == 0 {
		return nil, usage("there are no traces in %s: no files whose names end in .json, .json.gz or .json.zst", dir)
	}
	var sets []foundSet
	folder := ""
	for _, path := range traces {
		if len(sets) == 0 || filepath.Dir(path) != folder {
			sets, folder = append(sets, foundSet{}), filepath.Dir(path)
		}
		last := &sets[len(sets)-1]
		last.inputs = append(last.inputs, analysis.Input{Path: path})
	}
	return sets, nil
}

// addRun adds the traces of a run, unpacked where it is packed.
func (f *foundTraces) addRun(ctx context.Context, root, name string) error {
	abs, err := filepath.Abs(root)
	if err != nil {
		return failed(steps.ExitFailed, err)
	}
	e, err := archive.Find(abs, name)
	if err != nil {
		return usage("%s is no file and no folder; as a run: %w", name, err)
	}
	if e.Partial {
		return failed(steps.ExitIncomplete, fmt.Errorf("run %s goes on, or was cut off: profjob resume finishes it; its traces are in %s",
			e.RunID, filepath.Join(display(e.Path), "rounds")))
	}
	if e.Err != nil {
		return failed(steps.ExitIncomplete, e.Err)
	}
	dir := e.Path
	if e.IsPacked() {
		if dir, err = f.unpack(ctx, e.Manifest); err != nil {
			return failed(steps.ExitIncomplete, err)
		}
	}
	groups := e.Manifest.Traces()
	if len(groups) == 0 {
		return failed(steps.ExitIncomplete, fmt.Errorf("run %s has no traces: its status is %s", e.RunID, e.Manifest.Status))
	}
	for _, g := range groups {
		set := foundSet{round: g.Round, target: g.Target, manifest: e.Manifest}
		for _, file := range g.Files {
			set.inputs = append(set.inputs, analysis.Input{Path: filepath.Join(dir, filepath.FromSlash(file.Path)), Name: file.Path})
		}
		f.sets = append(f.sets, set)
	}
	return nil
}

// unpack writes a packed run's traces into a folder that close removes.
func (f *foundTraces) unpack(ctx context.Context, m *archive.Manifest) (string, error) {
	dir, err := os.MkdirTemp("", "profjob-")
	if err != nil {
		return "", err
	}
	f.temp = append(f.temp, dir)
	var files []archive.File
	for _, g := range m.Traces() {
		files = append(files, g.Files...)
	}
	return dir, archive.Unpack(ctx, m, dir, files)
}
