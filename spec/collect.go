package spec

import "time"

// Collect is how trace files are fetched.
type Collect struct {
	ExpectRanks  int           // trace files a window must give, over all targets' ranks; 0: not asked
	DeleteRemote bool          // delete the server's own copy once ours is verified
	KeepOriginal bool          // keep the uncut file beside the cut one; default true
	Timeout      time.Duration // default 30m
}

var collectSchema = &Block{
	Name: "collect",
	Doc:  "How the trace files are fetched.",
	Arguments: []Argument{
		{Name: "delete_remote", Type: TypeBool, Default: "false", Doc: "Whether the server's copy is deleted once ours is verified."},
		{Name: "keep_original", Type: TypeBool, Default: "true", Doc: "Whether a trace that was cut is kept as it was, too."},
		{Name: "timeout", Type: TypeDuration, Default: "30m", Min: oneMillisecond, Max: oneDay, Doc: "How long it may take. A server with stacks can write for many minutes."},
	},
	Blocks: []*Block{{
		Name: "expect",
		Doc:  "What must be there for the run to be complete.",
		Arguments: []Argument{
			{Name: "ranks", Type: TypeInteger, Required: true, Min: 1, Max: 1e6, Doc: "Trace files that a window must give, over all targets' ranks."},
		},
	}},
}

func decodeCollect(job *body) Collect {
	b := job.child("collect")
	return Collect{
		ExpectRanks:  b.child("expect").integer("ranks"),
		DeleteRemote: b.boolean("delete_remote"),
		KeepOriginal: b.boolean("keep_original"),
		Timeout:      b.duration("timeout"),
	}
}
