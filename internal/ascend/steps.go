package ascend

import (
	"context"
	"fmt"
)

// Step is what torch_npu says of one of its own steps, or of the whole recording where
// the program called none. Times are ns.
type Step struct {
	Device        string // Device_id; empty before torch_npu 2.1.0.post8 and with one device
	Step          string // its number, empty where it is the whole recording
	Computing     int64
	Communication int64 // with and without computation beside it
	Exposed       int64 // Communication(Not Overlapped)
	Overlapped    int64
	Free          int64 // neither
	Stage         int64 // the step without Bubble
	Bubble        int64 // waiting to receive, with pipeline parallelism
	Preparing     int64 // from the step's start to the first work; 0 where the version does not tell
}

// maxSteps bounds what is kept of step_trace_time.csv.
const maxSteps = 1 << 16

// readSteps reads step_trace_time.csv, whose header names no units: they are µs (torch_npu,
// _trace_step_time_parser.py):
//
//	Device_id,Step,Computing,Communication(Not Overlapped),Overlapped,Communication,Free,Stage,Bubble,Communication(Not Overlapped and Exclude Receive),Preparing
//
// Some are differences, and may be negative.
func (d *Dir) readSteps(ctx context.Context, path string) error {
	const (
		device = iota
		step
		computing
		exposed
		overlapped
		communication
		free
		stage
		bubble
		preparing
	)
	return readTable(ctx, path, []column{
		device:        {names: []string{"deviceid"}},
		step:          {names: []string{"step"}},
		computing:     {names: []string{"computing"}, required: true, digits: 3},
		exposed:       {names: []string{"communication(notoverlapped)"}, digits: 3},
		overlapped:    {names: []string{"overlapped"}, digits: 3},
		communication: {names: []string{"communication"}, digits: 3},
		free:          {names: []string{"free"}, required: true, digits: 3},
		stage:         {names: []string{"stage"}, digits: 3},
		bubble:        {names: []string{"bubble"}, digits: 3},
		preparing:     {names: []string{"preparing"}, digits: 3},
	}, func(t *table) error {
		if len(d.Steps) == maxSteps {
			return fmt.Errorf("read %s: %w: steps (limit %d)", path, ErrLimit, maxSteps)
		}
		s := Step{Device: t.name(device), Step: t.name(step)}
		if s.Step == "None" {
			s.Step = ""
		}
		for i, to := range []*int64{&s.Computing, &s.Exposed, &s.Overlapped, &s.Communication, &s.Free, &s.Stage, &s.Bubble, &s.Preparing} {
			var err error
			if *to, err = t.time(computing + i); err != nil {
				return err
			}
		}
		d.Steps = append(d.Steps, s)
		return nil
	})
}
