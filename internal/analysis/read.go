package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"profjob/internal/trace"
)

// Input is a trace that is to be analysed.
type Input struct {
	Path string // of a trace file, or of a directory that torch_npu wrote
	Name string // what it is called in the result; Path where empty
}

// Reading is an analysed trace with what its comparison with others needs.
type Reading struct {
	Trace       Trace
	Collectives []Collective
}

// Collective is one collective operation of a rank. Times are ns since the Unix epoch.
type Collective struct {
	Name       string
	Step       int // index of the step that launched it, -1 for none
	Start, End int64
}

// Read analyses one trace. The error is nil where the file is damaged but something
// could be read, at least one event: then the trace's Problem says what was wrong.
func Read(ctx context.Context, in Input, o trace.ScanOptions) (*Reading, error) {
	c, err := trace.ReadColumnsWith(ctx, in.Path, o)
	var damaged *trace.Error
	if err != nil && (c == nil || c.Summary.Events == 0 || !errors.As(err, &damaged)) {
		return nil, fmt.Errorf("analyse %s: %w", in.Path, err)
	}
	r := of(c)
	r.Trace.File = cmp.Or(in.Name, in.Path)
	if info, err := os.Stat(in.Path); err == nil {
		r.Trace.FileBytes = info.Size()
	}
	if damaged != nil {
		r.Trace.Problem = damaged.Error()
	}
	return r, nil
}

// ReadSet analyses traces that belong together, one after the other, and holds their
// ranks against each other. With an error the set is of the traces that could be read.
func ReadSet(ctx context.Context, inputs []Input, o trace.ScanOptions) (*Set, error) {
	s := &Set{FormatVersion: FormatVersion, Traces: []Trace{}}
	var readings []Reading
	var errs []error
	for _, in := range inputs {
		r, err := Read(ctx, in, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		readings = append(readings, *r)
		s.Traces = append(s.Traces, r.Trace)
	}
	s.Ranks = ranks(readings)
	return s, errors.Join(errs...)
}
