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
		{Name: "min_free_disk", Type: TypeSize, Default: "1GiB", Doc: "What must stay free where traces are written and kept; `\"0B\"`: nothing."},
		{Name: "max_trace_size", Type: TypeSize, Default: "0B", Doc: "What a window may write; `\"0B\"`: any amount."},
	},
}

func decodeLimits(job *body) Limits {
	b := job.child("limits")
	return Limits{MinFreeDisk: b.size("min_free_disk"), MaxTraceSize: b.size("max_trace_size")}
}
