package steps

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"profjob/internal/archive"
)

// A plan and a journal are read back from a run's directory, which others may have
// written to: what becomes a path must not lead out of it.

// UnmarshalJSON reads a target as a plan has it.
func (t *Target) UnmarshalJSON(data []byte) error {
	type bare Target
	if err := Strict(data, (*bare)(t)); err != nil {
		return err
	}
	if t.Name != "" && (!filepath.IsLocal(t.Name) || filepath.Base(t.Name) != t.Name) {
		return fmt.Errorf("target %q: its name leads out of the run", t.Name)
	}
	return nil
}

func (r CollectResult) check() error { return checkFiles(r.Files) }

func (r VerifyResult) check() error {
	for _, p := range r.Removed {
		if err := checkPath(p); err != nil {
			return err
		}
	}
	return checkFiles(r.Files)
}

func (r LaunchResult) check() error {
	for _, s := range r.Servers {
		if err := checkPath(s.Log); s.Log != "" && err != nil {
			return err
		}
	}
	return nil
}

func checkFiles(files []archive.File) error {
	for _, f := range files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
		if f.TrimmedFrom == "" {
			continue
		}
		if err := checkPath(f.TrimmedFrom); err != nil {
			return err
		}
	}
	return nil
}

// checkPath refuses a path that leads out of the run.
func checkPath(p string) error {
	if !fs.ValidPath(p) || p == "." {
		return fmt.Errorf("%q is no path of a file of the run", p)
	}
	return nil
}
