package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"profjob/spec"
	"profjob/steps"
)

// fmtOptions are the flags of `profjob fmt`.
type fmtOptions struct {
	check bool
}

// maxFormat bounds what fmt reads.
const maxFormat = 4 << 20

func (a *app) fmtCommand() *cobra.Command {
	var opts fmtOptions
	c := &cobra.Command{
		Use:   "fmt [FILE…]",
		Short: "Rewrite job files in the usual form",
		Long: `Rewrite job files with the usual indentation and alignment, and print the names of
those that changed. Without a file, or with -, format standard input to standard
output. With --check nothing is written.

Exit codes: 0 done, or nothing to change; 1 with --check, some file would change;
2 a file cannot be read or is no HCL.`,
		RunE: func(_ *cobra.Command, args []string) error { return a.runFmt(opts, args) },
	}
	c.Flags().BoolVar(&opts.check, "check", false, "write nothing; exit 1 if a file would change")
	return c
}

func (a *app) runFmt(opts fmtOptions, paths []string) error {
	if len(paths) == 0 || len(paths) == 1 && paths[0] == "-" {
		return a.formatStdin(opts)
	}
	changed := false
	var errs []error // a broken file does not keep the others from being formatted
	for _, path := range paths {
		did, err := formatFile(path, opts.check)
		if err != nil {
			errs = append(errs, fmt.Errorf("fmt %s: %w", path, err))
		}
		if did {
			a.printf("%s\n", path) //nolint:errcheck // the file is written all the same
		}
		changed = changed || did
	}
	switch {
	case len(errs) > 0:
		return failed(steps.ExitUsage, errors.Join(errs...))
	case changed && opts.check:
		return said(steps.ExitFailed)
	}
	return nil
}

func (a *app) formatStdin(opts fmtOptions) error {
	src, err := io.ReadAll(io.LimitReader(a.stdin, maxFormat+1))
	if err != nil {
		return usage("fmt: %w", err)
	}
	out, err := format("<stdin>", src)
	if err != nil {
		return usage("fmt: %w", err)
	}
	if opts.check {
		if bytes.Equal(src, out) {
			return nil
		}
		return said(steps.ExitFailed)
	}
	if _, err = a.stdout.Write(out); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}

func format(path string, src []byte) ([]byte, error) {
	if len(src) > maxFormat {
		return nil, fmt.Errorf("larger than %d bytes", maxFormat)
	}
	if diags := spec.CheckSyntax(path, src); diags.HasErrors() {
		return nil, diags.Err()
	}
	return spec.Format(src), nil
}

// formatFile rewrites a file in place, whole or not at all, keeping its mode.
func formatFile(path string, check bool) (changed bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, errors.New("it is not a regular file")
	}
	if info.Size() > maxFormat {
		return false, fmt.Errorf("larger than %d bytes", maxFormat)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	out, err := format(path, src)
	if err != nil || bytes.Equal(src, out) || check {
		return err == nil && !bytes.Equal(src, out), err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return false, err
	}
	_, err = tmp.Write(out)
	err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(tmp.Name()))
	}
	return true, nil
}
