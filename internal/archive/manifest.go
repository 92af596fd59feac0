// Package archive keeps runs: their directory while they go on, the manifest
// that says what is in it, the sealing, and the places where sealed runs are
// stored and found again. It knows files and hashes; it knows no servers.
package archive

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"profjob/internal/wire"
)

// ManifestVersion is the format_version that this build writes.
const ManifestVersion = 1

// Status says how a run ended.
type Status string

// The statuses of a run.
const (
	StatusOK           Status = "ok"
	StatusFailed       Status = "failed"
	StatusInterrupted  Status = "interrupted"
	StatusWindowNotMet Status = "window_not_met"
	StatusIncomplete   Status = "incomplete"
)

// Manifest is manifest.json: what a run asked for, what it got, and every file of
// it. The names of its fields are a contract with whoever reads it. In JSON no
// array is ever null.
type Manifest struct {
	FormatVersion int    `json:"format_version"`
	RunID         string `json:"run_id"`
	// Dir is the absolute path of the sealed run, a directory or a .tar.zst file:
	// where it was sealed, and after ReadManifest where it was read.
	Dir        string             `json:"dir"`
	Job        string             `json:"job"`
	Status     Status             `json:"status"`
	StartedAt  time.Time          `json:"started_at"`
	FinishedAt time.Time          `json:"finished_at"`
	PlanDigest string             `json:"plan_digest"`
	Profjob    Tool               `json:"profjob"`
	Host       string             `json:"host"` // where profjob ran
	Targets    wire.Array[Target] `json:"targets"`
	Rounds     wire.Array[Round]  `json:"rounds"`
	Record     Record             `json:"record"`
	Files      wire.Array[File]   `json:"files"`
	// Fingerprint has, by target, whatever the server told of its own configuration.
	Fingerprint wire.Object[map[string]string] `json:"fingerprint"`
	Warnings    wire.Array[string]             `json:"warnings"`
	Errors      wire.Array[string]             `json:"errors"`
}

// Tool is the program that made the run.
type Tool struct {
	Version string `json:"version"`
}

// Target is a server that was profiled.
type Target struct {
	Name      string             `json:"name"`
	Engine    string             `json:"engine"`
	Version   string             `json:"version"`
	Endpoints wire.Array[string] `json:"endpoints"`
}

// Round is one pass through warmup, window, collect and verify, with the attempts it took.
type Round struct {
	Number   int                 `json:"number"`
	Attempts wire.Array[Attempt] `json:"attempts"`
	// Windows are those of the last attempt that recorded any.
	Windows wire.Array[Window] `json:"windows"`
	// SkewNS is the time between the first and the last start of the windows of
	// this round by the traces' clocks; null with fewer than two.
	SkewNS *int64 `json:"skew_ns"`
}

// Attempt is one try of a round.
type Attempt struct {
	Number int    `json:"number"`
	Error  string `json:"error,omitempty"` // empty: it got what was asked
}

// Window is what one rank of an engine core recorded.
type Window struct {
	Target   string  `json:"target"`
	Endpoint *string `json:"endpoint"`       // null where the server's files do not tell whose they are
	Rank     *int    `json:"rank"`           // null where it can't be known
	Core     *int    `json:"core,omitempty"` // the engine core (data parallel rank), where it is known
	Attempt  int     `json:"attempt"`
	Strategy string  `json:"strategy"`
	Evidence string  `json:"evidence"` // annotation, scope, structure, or none
	Asked    Asked   `json:"asked"`
	Got      Got     `json:"got"`
	Exact    bool    `json:"exact"`
	Reason   string  `json:"reason,omitempty"` // why it is not exact
	File     string  `json:"file"`             // path of the trace that holds the window
}

// Asked is the window of the job file.
type Asked struct {
	Kind       string `json:"kind"` // steps, tokens, manual
	Steps      int    `json:"steps,omitempty"`
	Delay      int    `json:"delay,omitempty"`
	DurationNS int64  `json:"duration_ns,omitempty"`
	Until      string `json:"until,omitempty"`
	Threshold  int    `json:"threshold,omitempty"` // of a window by tokens, as AtMost, Phase and All
	AtMost     int    `json:"at_most,omitempty"`
	Phase      string `json:"phase,omitempty"`
	All        bool   `json:"all,omitempty"`
}

// Got is what the trace shows.
type Got struct {
	Steps         int                `json:"steps"`          // whole engine steps in the window
	RecordedSteps int                `json:"recorded_steps"` // whole engine steps in the file as the server wrote it
	IdlePasses    int                `json:"idle_passes"`    // passes without tokens in the file as the server wrote it
	Trimmed       bool               `json:"trimmed"`
	Annotations   wire.Array[string] `json:"annotations"` // the server's own name of each engine step of the window, in order
	// DurationNS is the time from the first start's answer to the stop's request for a
	// manual window, else from the begin of the first to the end of the last engine step.
	DurationNS  int64            `json:"duration_ns"`
	EngineSteps wire.Array[Step] `json:"engine_steps"`
}

// Step is one engine step of a window.
type Step struct {
	Name       string `json:"name"`
	Class      string `json:"class"`    // prefill, decode, mixed, unknown
	Requests   *int   `json:"requests"` // null where the evidence does not tell
	Tokens     *int   `json:"tokens"`
	StartNS    int64  `json:"start_ns"` // Unix time by the server's clock
	DurationNS int64  `json:"duration_ns"`
}

// Options are the record options.
type Options struct {
	Shapes bool `json:"shapes"`
	Memory bool `json:"memory"`
	Stack  bool `json:"stack"`
	FLOPs  bool `json:"flops"`
}

// Record sets the options asked against those that the traces show.
type Record struct {
	Asked Options            `json:"asked"`
	Seen  *Options           `json:"seen"`  // null where no trace was read
	Extra wire.Array[string] `json:"extra"` // what the server gave unasked
}

// The kinds of File.
const (
	KindTrace    = "trace"    // of a worker
	KindFrontend = "frontend" // of the API server's own process
	KindTable    = "table"    // text that the profiler wrote beside the trace
	KindMetrics  = "metrics"
	KindLoad     = "load"
	KindLog      = "log" // of a launched server
	KindPlan     = "plan"
	KindJournal  = "journal"
	KindInput    = "input"
	KindAnalysis = "analysis" // what the traces of a round and a target say
	KindReport   = "report"   // the page that shows it
	KindOther    = "other"
)

// File is one file of the run directory. In JSON what is not known, or does not
// apply, is null: Round and Attempt 0, empty texts, nil.
type File struct {
	Path         string  `json:"path"` // relative to the run directory, with slashes
	Size         int64   `json:"size"` // bytes
	SHA256       string  `json:"sha256"`
	Kind         string  `json:"kind"`
	Round        int     `json:"round"`
	Attempt      int     `json:"attempt"`
	Target       string  `json:"target"`
	Endpoint     *string `json:"endpoint"`
	Rank         *int    `json:"rank"`
	OriginalName string  `json:"original_name"`
	TrimmedFrom  string  `json:"trimmed_from"` // path of the uncut file; it is there only with keep_original
}

// MarshalJSON implements json.Marshaler.
func (f File) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct { // as File, field by field
		Path         string  `json:"path"`
		Size         int64   `json:"size"`
		SHA256       string  `json:"sha256"`
		Kind         string  `json:"kind"`
		Round        *int    `json:"round"`
		Attempt      *int    `json:"attempt"`
		Target       *string `json:"target"`
		Endpoint     *string `json:"endpoint"`
		Rank         *int    `json:"rank"`
		OriginalName *string `json:"original_name"`
		TrimmedFrom  *string `json:"trimmed_from"`
	}{f.Path, f.Size, f.SHA256, f.Kind, known(f.Round), known(f.Attempt), known(f.Target),
		f.Endpoint, f.Rank, known(f.OriginalName), known(f.TrimmedFrom)})
}

// known is nil for the zero value, which stands for what is not known.
func known[T comparable](v T) *T {
	var unknown T
	if v == unknown {
		return nil
	}
	return &v
}

// Encode writes the manifest as it stands in manifest.json.
func (m *Manifest) Encode() ([]byte, error) {
	out, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

// check refuses a manifest that no profjob wrote: its paths are opened by
// whoever reads it, and must not lead out of the run.
func (m *Manifest) check() error {
	if m.FormatVersion < 1 || m.FormatVersion > ManifestVersion {
		return fmt.Errorf("format_version %d, this profjob reads 1 to %d", m.FormatVersion, ManifestVersion)
	}
	if !runIDPattern.MatchString(m.RunID) {
		return fmt.Errorf("run_id %q is no run id", m.RunID)
	}
	seen := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		switch {
		case !fs.ValidPath(f.Path) || f.Path == "." || f.Path == manifestName:
			return fmt.Errorf("%q is no path of a file of the run", f.Path)
		case seen[f.Path]:
			return fmt.Errorf("%s is there twice", f.Path)
		}
		seen[f.Path] = true
	}
	return nil
}
