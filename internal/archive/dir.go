package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// partialSuffix ends the name of a run's directory until it is sealed.
const partialSuffix = ".partial"

// The modes of what a run writes: traces hold prompts' shapes, logs hold more.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// NewRunID names a run by its time (UTC, to the second) and three random bytes.
func NewRunID(now time.Time, random [3]byte) string {
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random[:])
}

var (
	runIDPattern = regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{6}$`)
	plainName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,80}$`)
	unplain      = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
)

// JobDir names the directory of a job's runs: the job's address where that is a
// plain name, otherwise a readable form of it with a hash, so that no two
// addresses share a directory.
func JobDir(address string) string {
	if plainName.MatchString(address) {
		return address
	}
	return Slug(address)
}

// Slug makes a file name of any text: what is readable of it, and a hash of the
// whole so that two texts never share a name.
func Slug(text string) string {
	sum := sha256.Sum256([]byte(text))
	readable := strings.Trim(unplain.ReplaceAllString(text, "-"), "-")
	if len(readable) > 80 {
		readable = readable[:80]
	}
	return readable + "-" + hex.EncodeToString(sum[:3])
}

// EndpointSlug names the directory of an endpoint's files: host and port.
func EndpointSlug(endpoint string) string {
	_, rest, found := strings.Cut(endpoint, "://")
	if !found {
		rest = endpoint
	}
	rest = strings.TrimSuffix(rest, "/")
	slug := unplain.ReplaceAllStringFunc(rest, func(s string) string {
		if strings.Trim(s, ".") == "" {
			return "."
		}
		return "-"
	})
	slug = strings.Trim(slug, ".-")
	if strings.ContainsAny(rest, "/[]") || slug == "" {
		return Slug(rest)
	}
	return slug
}

// Dir is a run's directory while the run goes on: <root>/<job>/<run id>.partial.
type Dir struct {
	Root   string // of the archive, absolute
	Job    string // address
	RunID  string
	sealed bool
}

// Create makes the partial directory of a new run.
func Create(root, job, runID string) (*Dir, error) {
	d := &Dir{Root: root, Job: job, RunID: runID}
	if err := os.MkdirAll(filepath.Dir(d.partial()), dirMode); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	if _, err := os.Lstat(d.Final()); err == nil {
		return nil, fmt.Errorf("create run directory: %s exists already", d.Final())
	}
	if err := os.Mkdir(d.partial(), dirMode); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	return d, nil
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

// Join gives the path of a file of the run now.
func (d *Dir) Join(parts ...string) string {
	return filepath.Join(append([]string{d.Path()}, parts...)...)
}

// MkdirAll makes a directory of the run and gives its path.
func (d *Dir) MkdirAll(parts ...string) (string, error) {
	path := d.Join(parts...)
	if err := os.MkdirAll(path, dirMode); err != nil {
		return "", fmt.Errorf("create directory in the run: %w", err)
	}
	return path, nil
}

// WriteFile writes a small file of the run, whole or not at all, and syncs it.
func (d *Dir) WriteFile(rel string, data []byte) error {
	path := d.Join(rel)
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return fmt.Errorf("write %s: %w", rel, err)
	}
	if err := writeAtomic(path, data); err != nil {
		return fmt.Errorf("write %s: %w", rel, err)
	}
	return nil
}

// Rename gives the directory its final name and syncs the parent: from here on
// the run is sealed.
func (d *Dir) Rename() error {
	if err := os.Rename(d.partial(), d.Final()); err != nil {
		return fmt.Errorf("seal run: %w", err)
	}
	d.sealed = true
	return syncDir(filepath.Dir(d.Final()))
}

func writeAtomic(path string, data []byte) (err error) {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(path+".tmp")))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}
