package archive

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"profjob/internal/durable"
)

// partialSuffix ends the name of a run's directory until it is sealed.
const partialSuffix = ".partial"

// Dir is a run's directory while the run goes on: <root>/<job>/<run id>.partial.
type Dir struct {
	Root   string // of the archive, absolute
	Job    string // address
	RunID  string
	sealed bool
	mode   fs.FileMode // of its files once it is sealed; 0: fileMode
	made   []string    // directories above the run that it was the first in
}

// Create makes the partial directory of a new run. root is absolute; it is made
// if it is not there.
func Create(root, job, runID string) (*Dir, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("create run directory: the archive's root %q is not absolute", root)
	}
	if !runIDPattern.MatchString(runID) {
		return nil, fmt.Errorf("create run directory: %q is no run id", runID)
	}
	d := &Dir{Root: root, Job: job, RunID: runID}
	if err := d.free(); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	parent := filepath.Dir(d.partial())
	made, err := mkdirMissing(parent)
	if err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	d.made = made
	if err := os.Mkdir(d.partial(), dirMode); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	if err := durable.SyncDir(parent); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	return d, nil
}

// Reopen gives the partial directory of a run that was cut off. path is absolute.
func Reopen(path, job string) (*Dir, error) {
	e, ok := entryAt(path)
	if !ok || !e.Partial {
		return nil, fmt.Errorf("reopen run: %s is no run that was cut off", path)
	}
	d := &Dir{Root: filepath.Dir(filepath.Dir(e.Path)), Job: job, RunID: e.RunID}
	if d.Path() != e.Path {
		return nil, fmt.Errorf("reopen run: %s is not where a run of the job %s would be, %s", e.Path, job, d.Path())
	}
	return d, d.free()
}

// free fails where a sealed run of this id is there already, packed or not.
func (d *Dir) free() error {
	for _, path := range []string{d.Final(), d.Final() + tarSuffix} {
		taken, err := exists(path)
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("%s exists already", path)
		}
	}
	return nil
}

// Path is where the run's files are now.
func (d *Dir) Path() string {
	if d.sealed {
		return d.Final()
	}
	return d.partial()
}

// Final is where they are once the run is sealed.
func (d *Dir) Final() string { return filepath.Join(d.Root, JobDir(d.Job), d.RunID) }

func (d *Dir) partial() string { return d.Final() + partialSuffix }

// Join gives the path of a file of the run now. The parts are profjob's own: use
// WriteFile for a name that comes from elsewhere.
func (d *Dir) Join(parts ...string) string {
	return filepath.Join(append([]string{d.Path()}, parts...)...)
}

// MkdirAll makes a directory of the run and gives its path.
func (d *Dir) MkdirAll(parts ...string) (string, error) {
	rel := filepath.Join(parts...)
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("create directory in the run: %q leaves the run", rel)
	}
	if err := mkdirAll(d.Join(rel)); err != nil {
		return "", fmt.Errorf("create directory in the run: %w", err)
	}
	return d.Join(rel), nil
}

// WriteFile writes a small file of the run, whole or not at all, and syncs it. An
// older file of the name is replaced. rel has slashes and stays within the run.
func (d *Dir) WriteFile(rel string, data []byte) error {
	if !filepath.IsLocal(filepath.FromSlash(rel)) {
		return fmt.Errorf("write %q: it leaves the run", rel)
	}
	path := d.Join(filepath.FromSlash(rel))
	if err := mkdirAll(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", rel, err)
	}
	err := durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", rel, err)
	}
	return nil
}

// rename gives the directory its final name and syncs the parent: from here on
// the run is sealed.
func (d *Dir) rename() error {
	if err := d.free(); err != nil { // a rename would replace an empty directory without a word
		return err
	}
	if err := os.Rename(d.partial(), d.Final()); err != nil {
		return err
	}
	d.sealed = true
	return durable.SyncDir(filepath.Dir(d.Final()))
}
