package analysis

import (
	"context"
	"strings"

	"profjob/internal/ascend"
	"profjob/internal/trace"
)

// NPU is what torch_npu's own analysis says of a process, from the tables beside its
// trace. It is not made of the trace's events, and can differ from what they say: its
// operators are those of the device, and it counts what the trace was not recorded with.
type NPU struct {
	TorchNPU string `json:"torch_npu_version,omitempty"`
	CANN     string `json:"cann_version,omitempty"`
	Level    string `json:"level,omitempty"` // of what was recorded: Level0, Level1, …

	Kernels     []NPUKernel     `json:"kernels,omitempty"`     // kernel_details.csv, by type and core, by time
	Types       []NPUType       `json:"types,omitempty"`       // op_statistic.csv, by time
	Operators   []NPUOperator   `json:"operators,omitempty"`   // operator_details.csv, by the device's own time
	Steps       []NPUStep       `json:"steps,omitempty"`       // step_trace_time.csv
	Collectives []NPUCollective `json:"collectives,omitempty"` // communication.json, by time

	// LeftOut counts the rows beyond the limit on each of the lists.
	LeftOut int `json:"left_out,omitempty"`
	// Missing are the tables that are not there: which there are depends on the version
	// and on the level.
	Missing []string `json:"missing,omitempty"`
	// Problems say what of the tables could not be read.
	Problems []string `json:"problems,omitempty"`
}

// NPUKernel is all runs of the kernels of a type.
type NPUKernel struct {
	Type     string `json:"type"`
	Core     string `json:"core,omitempty"` // AI_CORE, AI_VECTOR_CORE, MIX_AIC, AI_CPU, HCCL, …
	Category string `json:"category"`
	Count    int    `json:"count"`
	Time     int64  `json:"time_ns"`
	Wait     int64  `json:"wait_ns"` // between the end of the task before and the start
	Max      int64  `json:"max_ns"`
}

// NPUType is a type of kernels as CANN counted it.
type NPUType struct {
	Type  string `json:"type"`
	Core  string `json:"core,omitempty"`
	Count int    `json:"count"`
	Time  int64  `json:"time_ns"`
	Min   int64  `json:"min_ns"`
	Avg   int64  `json:"avg_ns"`
	Max   int64  `json:"max_ns"`
}

// NPUOperator is all calls of an operator of torch.
type NPUOperator struct {
	Name         string `json:"name"`
	Count        int    `json:"count"`
	HostSelf     int64  `json:"host_self_ns"`
	HostTotal    int64  `json:"host_total_ns"`
	DeviceSelf   int64  `json:"device_self_ns"`
	DeviceTotal  int64  `json:"device_total_ns"`
	DeviceSelfAI int64  `json:"device_self_ai_core_ns"`
}

// NPUStep is a step of torch's profiler, or the whole recording where the program called
// none. They are not the engine steps of [Trace.Steps].
type NPUStep struct {
	Device        string `json:"device,omitempty"`
	Step          string `json:"step,omitempty"` // empty of the whole recording
	Computing     int64  `json:"computing_ns"`
	Communication int64  `json:"communication_ns"`
	Exposed       int64  `json:"exposed_communication_ns"`
	Overlapped    int64  `json:"overlapped_ns"`
	Free          int64  `json:"free_ns"`
	Stage         int64  `json:"stage_ns"`
	Bubble        int64  `json:"bubble_ns"`
	Preparing     int64  `json:"preparing_ns"`
}

// NPUCollective is all runs of a collective, or of a send or receive, in a group of ranks.
type NPUCollective struct {
	Name         string `json:"name"`
	Group        string `json:"group,omitempty"`
	PointToPoint bool   `json:"point_to_point,omitempty"`
	Count        int    `json:"count"`
	Elapsed      int64  `json:"elapsed_ns"`
	Transit      int64  `json:"transit_ns"`
	Wait         int64  `json:"wait_ns"`        // for the others
	Synchronize  int64  `json:"synchronize_ns"` // of that, before the first data
	Idle         int64  `json:"idle_ns"`
}

// maxNPURows bounds each of the lists.
const maxNPURows = 200

// readNPU reads a directory of torch_npu, and what is in the place of its trace.
func readNPU(ctx context.Context, in Input, o trace.ScanOptions) (*Reading, error) {
	d, err := ascend.Read(ctx, in.Path)
	if err != nil {
		return nil, err
	}
	r, err := Read(ctx, Input{Path: d.Trace, Name: in.Name}, o)
	if err != nil {
		return nil, err
	}
	t := &r.Trace
	if in.Name == "" {
		t.File = in.Path
	}
	t.Rank = d.Info.Rank
	t.Options.Shapes, t.Options.Memory = d.Info.Shapes, d.Info.Memory
	t.Options.Stack, t.Options.FLOPs = d.Info.Stack, d.Info.FLOPs
	t.NPU = npuOf(d)
	return r, nil
}

func npuOf(d *ascend.Dir) *NPU {
	n := &NPU{TorchNPU: d.Info.TorchNPU, CANN: d.Info.CANN, Level: d.Info.Level, Missing: d.Missing}
	for _, p := range d.Problems {
		n.Problems = append(n.Problems, strings.ToValidUTF8(p, "\ufffd"))
	}
	n.Kernels = convert(n, d.Kernels, func(k ascend.Kernel) NPUKernel {
		category := KernelCategory(k.Type, trace.Kernel)
		if k.Core == "HCCL" || k.Core == "COMMUNICATION" {
			category = catCommunication
		}
		return NPUKernel{k.Type, k.Core, category, k.Count, k.Time, k.Wait, k.Max}
	})
	n.Types = convert(n, d.Types, func(t ascend.Type) NPUType { return NPUType(t) })
	n.Operators = convert(n, d.Operators, func(o ascend.Operator) NPUOperator { return NPUOperator(o) })
	n.Steps = convert(n, d.Steps, func(s ascend.Step) NPUStep { return NPUStep(s) })
	n.Collectives = convert(n, d.Collectives, func(c ascend.Collective) NPUCollective { return NPUCollective(c) })
	return n
}

// convert takes over the first rows of a list.
func convert[From, To any](n *NPU, rows []From, one func(From) To) []To {
	var all []To
	for _, r := range rows[:min(len(rows), maxNPURows)] {
		all = append(all, one(r))
	}
	n.LeftOut += len(rows) - len(all)
	return all
}
