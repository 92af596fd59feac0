package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Options are the record options that a profiler was started with, as the
// trace's top-level keys tell.
type Options struct {
	Shapes bool `json:"shapes"`
	Memory bool `json:"memory"`
	Stack  bool `json:"stack"`
	FLOPs  bool `json:"flops"`
}

// Activities are the kinds of event that a trace has.
type Activities struct {
	CPU    bool `json:"cpu"`    // operators
	Device bool `json:"device"` // kernels, copies
}

// Summary is what a trace says of itself.
type Summary struct {
	Host        string     `json:"host,omitempty"`         // host_name
	TraceID     string     `json:"trace_id,omitempty"`     // trace_id
	VLLMVersion string     `json:"vllm_version,omitempty"` // vllm_version, from about vLLM 0.26
	Rank        *int       `json:"rank,omitempty"`         // distributedInfo; nil where the trace does not tell
	WorldSize   *int       `json:"world_size,omitempty"`   // distributedInfo; nil where the trace does not tell
	Options     Options    `json:"options"`
	Activities  Activities `json:"activities"`

	Events int   `json:"events"`   // of all kinds
	First  int64 `json:"first_ns"` // earliest start of an event with a time, ns since the Unix epoch; metadata left out
	Last   int64 `json:"last_ns"`  // latest end of one

	// Recorded is for how long the profiler was on by its own account, in ns: the
	// span "PyTorch Profiler (0)" that torch writes; 0 where it does not tell.
	Recorded int64 `json:"recorded_ns,omitempty"`

	Evidence Evidence `json:"evidence"`
	Passes   []Pass   `json:"passes"` // in the order of time, of one thread
	// Lanes are the threads that have passes: 1, but for the files that SGLang
	// merges from several ranks. Passes are those of the thread with most.
	Lanes int `json:"lanes"`
	// Trimmed is what the file was cut to, if Trim made it.
	Trimmed *Trimmed `json:"trimmed,omitempty"`
}

// Steps counts the engine steps, and those of them that are whole.
func (s *Summary) Steps() (all, whole int) {
	steps, whole := stepsOf(s.Passes)
	return len(steps), whole
}

// ScanOptions change what Scan looks for. The zero value is its default.
type ScanOptions struct {
	// Evidence, if set, is the only one used, even where the trace has a
	// better one.
	Evidence Evidence
}

// Scan reads a trace once and says what it holds. The memory it takes grows
// with the operators that are not within another, 24 bytes each.
//
// With an error in the file's content ([*Error]) the summary is of what was
// read before it; with any other error it is nil.
func Scan(ctx context.Context, path string) (*Summary, error) {
	return ScanWith(ctx, path, ScanOptions{})
}

// ScanWith is Scan with options.
func ScanWith(ctx context.Context, path string, o ScanOptions) (*Summary, error) {
	r, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c := newCollector(path)
	for err == nil {
		if c.summary.Events%4096 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("scan trace %s: %w", path, context.Cause(ctx))
		}
		var e *Event
		if e, err = r.Next(); err == nil {
			err = c.collect(e)
		}
	}
	if err == io.EOF {
		err = nil
	} else if _, ok := err.(*Error); !ok {
		return nil, err
	}
	c.summary.readMetadata(r.Metadata())
	c.finish(o, r.Base())
	return &c.summary, err
}

// readMetadata takes over the top-level values. A value of an unexpected type
// counts as absent.
func (s *Summary) readMetadata(members []Member) {
	for _, m := range members {
		switch m.Key {
		case "host_name":
			json.Unmarshal(m.Raw, &s.Host)
		case "trace_id":
			json.Unmarshal(m.Raw, &s.TraceID)
		case "vllm_version":
			json.Unmarshal(m.Raw, &s.VLLMVersion)
		case "record_shapes":
			s.Options.Shapes = isOn(m.Raw)
		case "profile_memory":
			s.Options.Memory = isOn(m.Raw)
		case "with_stack":
			s.Options.Stack = isOn(m.Raw)
		case "with_flops":
			s.Options.FLOPs = isOn(m.Raw)
		case "distributedInfo":
			s.readDistributed(m.Raw)
		case trimKey:
			s.Trimmed = parseTrimmed(m.Raw)
		}
	}
}

// readDistributed reads {"backend": …, "rank": 0, "world_size": 2, …}; files
// without some of these keys exist.
func (s *Summary) readDistributed(raw []byte) {
	var info struct {
		Rank      json.RawMessage `json:"rank"`
		WorldSize json.RawMessage `json:"world_size"`
	}
	if json.Unmarshal(raw, &info) != nil {
		return
	}
	s.Rank, s.WorldSize = smallInt(info.Rank), smallInt(info.WorldSize)
}

func smallInt(raw []byte) *int {
	n, ok := parseInt(raw)
	if !ok || n < 0 || n > 1<<30 {
		return nil
	}
	small := int(n)
	return &small
}

// isOn reads Kineto's 1 (and true, should a version write that).
func isOn(raw []byte) bool {
	s := strings.Trim(string(raw), `"`)
	return s == "1" || strings.EqualFold(s, "true")
}
