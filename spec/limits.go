package spec

// Limits ends a run before it does harm.
type Limits struct {
	MinFreeDisk  int64 // bytes that must stay free where traces are written and kept; default 1 GiB
	MaxTraceSize int64 // bytes a window may write, 0: no limit
}

var limitsSchema = &Block{
	Name: "limits",
	Doc:  "What ends a window before it does harm.",
	Arguments: []Argument{
		{Name: "min_free_disk", Type: TypeSize, Default: "1GiB", Doc: "What must stay free where traces are written and where they are kept, before a window and while it is open: it is ended where less is left, and the run is incomplete. `\"0B\"`: nothing."},
		{Name: "max_trace_size", Type: TypeSize, Default: "0B", Doc: "What a window may write in each target's `trace_dir`: it is ended where files grow past that. What is only written when the profiler is stopped is kept, with a warning. `\"0B\"`: any amount."},
	},
}

func decodeLimits(job *body) Limits {
	b := job.child("limits")
	return Limits{MinFreeDisk: b.size("min_free_disk"), MaxTraceSize: b.size("max_trace_size")}
}
