package main

import (
	"context"
	"errors"
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

// findTraces finds traces by files, folders and runs. The caller closes what it gets.
func (a *app) findTraces(ctx context.Context, root string, args []string) (*foundTraces, error) {
	found := &foundTraces{}
	var named foundSet
	for _, arg := range args {
		inputs, err := tracesAt(arg)
		if err != nil {
			found.close()
			return nil, err
		}
		if inputs != nil {
			named.inputs = append(named.inputs, inputs...)
			continue
		}
		if err := found.addRun(ctx, root, arg); err != nil {
			found.close()
			return nil, err
		}
	}
	if len(named.inputs) > 0 {
		found.sets = append([]foundSet{named}, found.sets...)
	}
	return found, nil
}

// tracesAt gives the traces at a path that is a file or a folder; nil where it is a run
// or nothing.
func tracesAt(path string) ([]analysis.Input, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "/."):
		if _, runErr := os.Lstat(path); runErr == nil {
			return nil, usage("%s is a link to nothing", path)
		}
		if strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".zst") && !strings.HasSuffix(path, ".tar.zst") {
			return nil, usage("there is no file %s", path)
		}
		return nil, nil
	case err != nil:
		return nil, nil
	case !info.IsDir() && !strings.HasSuffix(path, ".tar.zst"):
		return []analysis.Input{{Path: path}}, nil
	case info.IsDir() && !isRun(path):
		return tracesBelow(path)
	}
	return nil, nil
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

// traceName is what profilers call their traces: of torch, of SGLang, of torch_npu.
var traceName = regexp.MustCompile(`(?i)trace.*\.json(\.gz|\.zst)?$`)

// tracesBelow finds the traces in a folder by their names, and if there are none, all
// JSON.
func tracesBelow(dir string) ([]analysis.Input, error) {
	var traces, all []analysis.Input
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir():
		case traceName.MatchString(name):
			traces = append(traces, analysis.Input{Path: path})
		case strings.HasSuffix(name, ".json.gz"), strings.HasSuffix(name, ".json.zst"), strings.HasSuffix(name, ".json"):
			all = append(all, analysis.Input{Path: path})
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
	return traces, nil
}

// addRun adds the traces of a run, unpacked where it is packed.
func (f *foundTraces) addRun(ctx context.Context, root, name string) error {
	abs, err := filepath.Abs(root)
	if err != nil {
		return failed(steps.ExitFailed, err)
	}
	e, err := archive.Find(abs, name)
	if err != nil {
		return usage("no file, folder or run is called so: %w", err)
	}
	if e.Partial {
		return failed(steps.ExitIncomplete, fmt.Errorf("run %s goes on, or was cut off: profjob resume finishes it; its traces are in %s",
			e.RunID, filepath.Join(display(e.Path), "rounds")))
	}
	if e.Err != nil {
		return failed(steps.ExitIncomplete, e.Err)
	}
	dir := e.Path
	if strings.HasSuffix(dir, ".tar.zst") {
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
	var paths []string
	for _, g := range m.Traces() {
		for _, file := range g.Files {
			paths = append(paths, file.Path)
		}
	}
	return dir, archive.Unpack(ctx, m, paths, dir)
}
