package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"profjob/internal/archive"
	"profjob/internal/phrase"
	"profjob/internal/trace"
	"profjob/steps"
)

// trimOptions are the flags of `profjob trim`.
type trimOptions struct {
	output   string
	force    bool
	evidence string
	steps    string
	class    string
	count    int
	from, to string
}

func (a *app) trimCommand() *cobra.Command {
	var opts trimOptions
	c := &cobra.Command{
		Use:   "trim FILE (--steps A..B | --class C [--count N] | --from T --to T)",
		Short: "Cut a trace to some of its engine steps",
		Long: `Cut a trace to some of its engine steps, by the rules that the windows of a run are cut
by: what a step launched belongs to it, whenever the device ran it. Steps are numbered
from 0, as analyze numbers them, idle passes among them. --class takes the first
N steps in a row that are of that class. A time is one after the begin of the trace
(1.5s, 250ms), one of the clock (2026-11-24T03:15:00.25Z), or nanoseconds since 1970.

Exit codes: 0 cut; 2 no such file, or no such window was named; 5 the trace does not
have the steps; 6 the trace is damaged, or the new file could not be kept.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runTrim(cmd.Context(), opts, args[0]) },
	}
	f := c.Flags()
	f.StringVarP(&opts.output, "output", "o", "", "`file` to write, .json, .json.gz or .json.zst; default: FILE with .window before its ending")
	f.BoolVar(&opts.force, "force", false, "replace the file that is there")
	f.StringVar(&opts.evidence, "evidence", "", "find the engine steps by this only: annotation, scope or structure")
	f.StringVar(&opts.steps, "steps", "", "numbers of the first and the last `step`: 3..7, or one")
	f.StringVar(&opts.class, "class", "", "prefill, decode, mixed or unknown")
	f.IntVar(&opts.count, "count", 1, "`number` of steps in a row of that class")
	f.StringVar(&opts.from, "from", "", "`time` of the begin; default: that of the trace")
	f.StringVar(&opts.to, "to", "", "`time` of the end; default: that of the trace")
	c.MarkFlagsMutuallyExclusive("steps", "class", "from")
	c.MarkFlagsMutuallyExclusive("steps", "class", "to")
	c.MarkFlagsOneRequired("steps", "class", "from", "to")
	return c
}

func (a *app) runTrim(ctx context.Context, opts trimOptions, src string) error {
	ctx, stop := untilTold(ctx) // no half a file is left however it ends
	defer stop()
	scan, err := scanOptions(opts.evidence)
	if err != nil {
		return err
	}
	choose, err := opts.chooser()
	if err != nil {
		return err
	}
	dst, err := opts.destination(src)
	if err != nil {
		return err
	}
	s, err := trace.ScanWith(ctx, src, scan)
	if errors.Is(err, fs.ErrNotExist) {
		return usage("there is no file %s", src)
	}
	if err != nil {
		return traceError(ctx, err)
	}
	cut, err := choose(s)
	if err != nil {
		return err
	}
	result, err := trace.Trim(ctx, src, dst, cut)
	if err != nil {
		return traceError(ctx, err)
	}
	whole := ""
	if !cut.Whole {
		whole = "\nthe last of them was recorded without its end"
	}
	return a.printf("%s in %s: %s of %s events kept, %s of them clipped%s\n%s\n", phrase.Of(int64(result.Steps), "engine step"),
		phrase.Nanos(cut.End-cut.Start), phrase.Count(int64(result.Kept)), phrase.Count(int64(result.Events)), phrase.Count(int64(result.Clipped)), whole, dst)
}

// chooser reads what is to be kept; what it gives chooses in a trace.
func (o *trimOptions) chooser() (func(*trace.Summary) (trace.Cut, error), error) {
	switch {
	case o.steps != "":
		first, last, err := stepRange(o.steps)
		if err != nil {
			return nil, err
		}
		return func(s *trace.Summary) (trace.Cut, error) {
			cut, err := trace.Between(s.Passes, first, last)
			return cut, notThere(err)
		}, nil
	case o.class != "":
		return o.byClass()
	}
	for _, text := range []string{o.from, o.to} {
		if _, err := moment(text, 0, 0); err != nil {
			return nil, err
		}
	}
	return o.byTime, nil
}

func (o *trimOptions) byClass() (func(*trace.Summary) (trace.Cut, error), error) {
	class := trace.Class(o.class)
	switch class {
	case trace.Prefill, trace.Decode, trace.Mixed, trace.Unknown:
	default:
		return nil, usage("--class %q: one of prefill, decode, mixed, unknown", o.class)
	}
	if o.count < 1 {
		return nil, usage("--count %d: at least 1", o.count)
	}
	is := func(p *trace.Pass) bool { return p.Class == class }
	return func(s *trace.Summary) (trace.Cut, error) {
		cut, err := trace.Select(s.Passes, trace.Window{Count: o.count, First: is, Every: is})
		if err != nil {
			err = fmt.Errorf("%w; of class: %s", err, classes(s.Passes))
		}
		return cut, notThere(err)
	}, nil
}

func (o *trimOptions) byTime(s *trace.Summary) (trace.Cut, error) {
	start, err := moment(o.from, s.First, s.First)
	if err != nil {
		return trace.Cut{}, err
	}
	end, err := moment(o.to, s.First, s.Last+1)
	if err != nil {
		return trace.Cut{}, err
	}
	if end <= s.First || start > s.Last {
		return trace.Cut{}, notThere(fmt.Errorf("the trace lasts %s, from %s on", phrase.Nanos(s.Last-s.First), time.Unix(0, s.First).UTC().Format(time.RFC3339Nano)))
	}
	cut, err := trace.During(s.Passes, start, end)
	if err != nil {
		return cut, usage("%w", err)
	}
	return cut, nil
}

func notThere(err error) error {
	if err == nil {
		return nil
	}
	return failed(steps.ExitWindow, err)
}

// stepRange reads 3..7, or 3.
func stepRange(text string) (first, last int, err error) {
	from, to, ranged := strings.Cut(text, "..")
	if !ranged {
		to = from
	}
	first, err = strconv.Atoi(from)
	if err == nil {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 0 || last < first {
		return 0, 0, usage("--steps %q: the numbers of the first and the last step, as in 3..7", text)
	}
	return first, last, nil
}

// moment reads a time as ns since the Unix epoch.
func moment(text string, begin, absent int64) (int64, error) {
	if text == "" {
		return absent, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return begin + d.Nanoseconds(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UnixNano(), nil
	}
	if ns, err := strconv.ParseInt(text, 10, 64); err == nil {
		return ns, nil
	}
	return 0, usage("%q is no time: give one after the trace's begin (1.5s), one of the clock (2026-11-24T03:15:00.25Z), or nanoseconds since 1970", text)
}

// classes counts the steps of each class.
func classes(passes []trace.Pass) string {
	var parts []string
	for _, c := range []trace.Class{trace.Prefill, trace.Decode, trace.Mixed, trace.Unknown} {
		n := 0
		for i := range passes {
			if passes[i].Class == c {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// destination is the file to write. What a run has sealed stays as it is.
func (o *trimOptions) destination(src string) (string, error) {
	dst := o.output
	if dst == "" {
		dst = trace.CutName(src)
	}
	if !strings.HasSuffix(dst, ".json") && !strings.HasSuffix(dst, ".gz") && !strings.HasSuffix(dst, ".zst") {
		return "", usage("-o %s: a name that ends in .json, .json.gz or .json.zst", dst)
	}
	abs, err := filepath.Abs(dst)
	if err != nil {
		return "", failed(steps.ExitFailed, err)
	}
	around, err := archive.SealedAround(abs)
	if err != nil {
		return "", usage("%s cannot be written: %w", dst, err)
	}
	if around != "" {
		return "", usage("%s lies in the run %s, which is sealed as it is: name another place with -o", dst, display(around))
	}
	if _, err := os.Lstat(abs); err == nil && !o.force {
		return "", usage("%s is there already: --force replaces it, -o names another", dst)
	}
	return dst, nil
}
