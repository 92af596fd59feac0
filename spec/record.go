package spec

import "slices"

// Record is what the profiler shall record beside the events themselves.
type Record struct {
	Shapes, Memory, Stack, FLOPs bool
	Activities                   []string // of "cpu" and "device"; empty: what the server has
}

var recordSchema = &Block{
	Name: "record",
	Doc:  "What the profiler records beside the events, whatever the engine's own default.",
	Arguments: []Argument{
		{Name: "shapes", Type: TypeBool, Default: "false", Doc: "The shapes of operators' inputs."},
		{Name: "memory", Type: TypeBool, Default: "false", Doc: "Allocations of memory."},
		{Name: "stack", Type: TypeBool, Default: "false", Doc: "The Python stack of each operator. It makes traces large and stopping slow."},
		{Name: "flops", Type: TypeBool, Default: "false", Doc: "Estimates of floating point operations."},
		{Name: "activities", Type: TypeStrings, OneOf: []string{"cpu", "device"}, Doc: "Whose events are recorded. Without it, those of all that the server has."},
	},
}

func decodeRecord(job *body) Record {
	b := job.child("record")
	r := Record{
		Shapes:     b.boolean("shapes"),
		Memory:     b.boolean("memory"),
		Stack:      b.boolean("stack"),
		FLOPs:      b.boolean("flops"),
		Activities: b.strings("activities"),
	}
	for i, activity := range r.Activities {
		if activity != "" && slices.Contains(r.Activities[:i], activity) {
			b.fail(b.given["activities"], "", "Written twice", "activities names %q twice.", activity)
			break
		}
	}
	return r
}
