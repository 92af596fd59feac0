package steps

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"profjob/internal/durable"
	"profjob/internal/scrub"
)

// hidden are the values that no log may show.
func (r *Run) hidden() []string { return slices.Sorted(maps.Values(r.sensitive())) }

// cleanLogs cuts the values of the plan's secrets out of the servers' logs, where
// whoever wrote them has left any. It takes no context: an interrupt must not leave
// them behind. A log that cannot be cleaned is removed.
func (r *Run) cleanLogs() error {
	values := scrub.Of(r.hidden())
	entries, err := os.ReadDir(r.Dir.Join("logs"))
	if errors.Is(err, fs.ErrNotExist) || len(values) == 0 {
		return nil
	}
	if err != nil {
		return incomplete("cut sensitive values out of logs: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := r.Dir.Join("logs", e.Name())
		if err := cleanLog(path, values); err != nil {
			errs = append(errs, finalIncomplete("logs/%s is not kept, since sensitive values could not be cut out of it: %w",
				e.Name(), errors.Join(err, os.Remove(path))))
		}
	}
	return errors.Join(errs...)
}

// cleanLog leaves a file as it is that holds none of the values.
func cleanLog(path string, values scrub.Values) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := values.Copy(io.Discard, f)
	if err != nil || found == 0 {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	err = durable.WriteFile(path, func(w io.Writer) error {
		_, err := values.Copy(w, f)
		return err
	})
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", filepath.Base(path), err)
	}
	return nil
}
