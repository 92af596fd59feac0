package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Difference is one way in which a sealed run is not what its manifest says.
type Difference struct {
	Path    string // relative to the run, with slashes; empty: it is about the run as a whole
	Problem string
}

// String tells both in one line.
func (d Difference) String() string {
	if d.Path == "" {
		return d.Problem
	}
	return d.Path + ": " + d.Problem
}

// Verify hashes everything in a sealed run, a directory or a .tar.zst file, and
// gives every difference from its manifest, sorted by path; none means that the
// run is whole. The error is for a run that cannot be compared at all: one
// without a readable manifest, or ctx has ended.
func Verify(ctx context.Context, path string) ([]Difference, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", path, err)
	}
	if strings.HasSuffix(abs, partialSuffix) {
		return nil, fmt.Errorf("verify %s: the run was never sealed", path)
	}
	m, err := ReadManifest(abs)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	c := newComparison(m)
	if id := strings.TrimSuffix(filepath.Base(abs), tarSuffix); id != m.RunID {
		c.differ(manifestName, "it is that of run %s, the run is kept as %s", m.RunID, id)
	}
	compare := c.dir
	if isPacked(abs) {
		compare = c.tar
	}
	if err := compare(ctx, abs); err != nil {
		return nil, fmt.Errorf("verify %s: %w", path, err)
	}
	return c.finish(), nil
}

// comparison sets what is there against a manifest.
type comparison struct {
	manifest *Manifest
	missing  map[string]File // what was not seen yet, by path
	diffs    []Difference
}

func newComparison(m *Manifest) *comparison {
	c := &comparison{manifest: m, missing: make(map[string]File, len(m.Files))}
	for _, f := range m.Files {
		c.missing[f.Path] = f
	}
	return c
}

func (c *comparison) differ(path, format string, args ...any) {
	c.diffs = append(c.diffs, Difference{path, fmt.Sprintf(format, args...)})
}

// finish gives the differences, what was never seen among them.
func (c *comparison) finish() []Difference {
	for path := range c.missing {
		c.differ(path, "missing")
	}
	c.missing = nil
	slices.SortFunc(c.diffs, func(a, b Difference) int { return strings.Compare(a.String(), b.String()) })
	return c.diffs
}

// expected takes the file of a path out of those that are missing.
func (c *comparison) expected(path string) (File, bool) {
	f, ok := c.missing[path]
	delete(c.missing, path)
	return f, ok
}

// content compares one file. What cannot be read is a difference, but for the
// end of ctx.
func (c *comparison) content(ctx context.Context, want File, r io.Reader) error {
	got, err := copyHashing(ctx, io.Discard, io.LimitReader(r, max(want.Size, 0)+1)) // a sparse entry may go on for exabytes
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		c.differ(want.Path, "cannot be read: %v", err)
	case got.Size > want.Size:
		c.differ(want.Path, "it has more bytes than the manifest says, %d", want.Size)
	case got.Size != want.Size:
		c.differ(want.Path, "it has %d bytes, the manifest says %d", got.Size, want.Size)
	case got.SHA256 != want.SHA256:
		c.differ(want.Path, "its content has SHA-256 %s, the manifest says %s", got.SHA256, want.SHA256)
	}
	return nil
}

// dir compares a directory. No link in it is followed out of it.
func (c *comparison) dir(ctx context.Context, path string) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close() // it is only read
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.differ(name, "cannot be read: %v", err)
			return nil
		}
		if entry.IsDir() || name == manifestName {
			return nil
		}
		want, ok := c.expected(name)
		switch {
		case !ok:
			c.differ(name, "the manifest does not have it")
			return nil
		case !entry.Type().IsRegular():
			c.differ(name, "it is no regular file")
			return nil
		}
		f, err := root.Open(name)
		if err != nil {
			c.differ(name, "cannot be read: %v", err)
			return nil
		}
		defer f.Close() // it is only read
		return c.content(ctx, want, f)
	})
}

// tar compares a packed run. Damage that ends the reading is one difference;
// what would have come after it is missing.
func (c *comparison) tar(ctx context.Context, path string) error {
	t, err := openTar(ctx, path)
	if err != nil {
		return err
	}
	defer t.Close() // it is only read
	for first := true; ; first = false {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			err = t.rest()
			h = nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.differ("", "the file cannot be read on: %v", err)
		}
		if err != nil || h == nil {
			return nil
		}
		if err := c.entry(ctx, h, t, first); err != nil {
			return err
		}
	}
}

// entry compares one entry of a packed run. The first is the manifest itself.
func (c *comparison) entry(ctx context.Context, h *tar.Header, r io.Reader, first bool) error {
	name, ok := strings.CutPrefix(h.Name, c.manifest.RunID+"/")
	if first && ok && name == manifestName {
		return nil
	}
	if !ok || !fs.ValidPath(name) {
		c.differ("", "the entry %q is not of this run", h.Name)
		return nil
	}
	want, ok := c.expected(name)
	switch {
	case !ok:
		c.differ(name, "the manifest does not have it, or it is there twice")
		return nil
	case h.Typeflag != tar.TypeReg:
		c.differ(name, "it is no regular file")
		return nil
	}
	return c.content(ctx, want, r)
}
