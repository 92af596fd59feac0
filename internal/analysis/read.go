package analysis

import (
	"context"
	"errors"
	"fmt"

	"profjob/internal/ascend"
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
// could be read: then the trace's Problem says what was wrong.
//
// Of a directory that torch_npu wrote the trace in it is read, and the tables beside it.
// With raw data only the error matches [ascend.ErrRaw] and has the command to analyse it.
func Read(ctx context.Context, in Input) (*Reading, error) {
	if ascend.Is(in.Path) {
		return readNPU(ctx, in)
	}
	c, err := trace.ReadColumns(ctx, in.Path)
	var damaged *trace.Error
	if err != nil && (c == nil || !errors.As(err, &damaged)) {
		return nil, fmt.Errorf("analyse %s: %w", in.Path, err)
	}
	r := of(c)
	r.Trace.File = in.Name
	if in.Name == "" {
		r.Trace.File = in.Path
	}
	if damaged != nil {
		r.Trace.Problem = damaged.Error()
	}
	return r, nil
}

// ReadSet analyses traces that belong together, one after the other, and holds their
// ranks against each other.
func ReadSet(ctx context.Context, inputs []Input) (*Set, error) {
	s := &Set{FormatVersion: FormatVersion}
	var readings []Reading
	for _, in := range inputs {
		r, err := Read(ctx, in)
		if err != nil {
			return nil, err
		}
		readings = append(readings, *r)
		s.Traces = append(s.Traces, r.Trace)
	}
	s.Ranks = ranks(readings)
	return s, nil
}
