// Package ascend reads what torch_npu's profiler leaves: one directory *_ascend_pt for
// each worker process. Beside the trace, trace_view.json, which [profjob/internal/trace]
// reads, its analysis wrote tables into ASCEND_PROFILER_OUTPUT: of kernels, of operators,
// of steps, of collectives.
//
// The forms are those of torch_npu 2.1 to 2.10 (github.com/Ascend/pytorch,
// torch_npu/profiler/analysis/prof_view) and of the guide to its profiler
// (docs/en/ascend_pytorch_profiler). Columns are found by their names, for versions
// differ in which there are and in their order. Times are integer nanoseconds.
package ascend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"profjob/internal/regular"
)

// Suffix ends the name of each of torch_npu's directories.
const Suffix = "_ascend_pt"

// output is the directory of what torch_npu's analysis wrote.
const output = "ASCEND_PROFILER_OUTPUT"

// TraceName is the name of the trace in it.
const TraceName = "trace_view.json"

// What [Read] fails with; test with errors.Is.
var (
	// ErrRaw says that a directory has what was recorded, and no analysis of it. So
	// torch_npu leaves it where its process may have no children: the workers of a
	// server with more than one rank.
	ErrRaw = errors.New("only raw data is there")
	// ErrNoTrace says that there is an analysis without a trace.
	ErrNoTrace = errors.New("the analysis has no " + TraceName)
)

// Dir is what torch_npu says of one process.
type Dir struct {
	Path  string // as given
	Trace string // path of its trace_view.json
	Info  Info

	Kernels     []Kernel     // by type and core, the longest first
	Operators   []Operator   // of torch, by the device's own time
	Types       []Type       // of op_statistic.csv, the longest first
	Steps       []Step       // in the order of the file
	Collectives []Collective // by operation and group, the longest first

	// Missing are the files that are not there: which there are depends on the version and
	// on the level that was recorded.
	Missing []string
	// Problems say what of the files could not be read.
	Problems []string
}

// Info is what profiler_info.json tells.
type Info struct {
	Rank     *int   // rank_id; nil where it does not tell
	TorchNPU string // torch_npu_version
	CANN     string // cann_version
	Level    string // of what was recorded: Level0, Level1, …
	Shapes   bool   // record_shapes
	Memory   bool   // profile_memory
	Stack    bool   // with_stack or with_modules
	FLOPs    bool   // with_flops
}

// Is says whether a path is a directory of torch_npu: by its name, or by what is in it.
func Is(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	if strings.HasSuffix(filepath.Base(filepath.Clean(path)), Suffix) {
		return true
	}
	has := look(path)
	return has.output || has.raw != ""
}

// contents are what is in a directory.
type contents struct {
	output bool
	info   string // the name of profiler_info*.json
	raw    string // the directories of what was recorded, for messages
}

// maxEntries is how many entries of a directory are looked at; torch_npu makes ten.
const maxEntries = 4096

var (
	recordedDir = regexp.MustCompile(`^PROF_\d+_\d+_[0-9A-Za-z]+$`)
	infoFile    = regexp.MustCompile(`^profiler_info(_\d+)?\.json$`)
)

func look(path string) contents {
	var c contents
	d, err := os.Open(path)
	if err != nil {
		return c
	}
	defer d.Close()
	entries, _ := d.ReadDir(maxEntries)
	var raw []string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == output && e.IsDir():
			c.output = true
		case infoFile.MatchString(name):
			c.info = max(c.info, name)
		case e.IsDir() && (name == "FRAMEWORK" || recordedDir.MatchString(name)):
			raw = append(raw, name)
		}
	}
	c.raw = strings.Join(raw[:min(len(raw), 4)], ", ")
	return c
}

// Read reads a directory of torch_npu, but for the trace itself. The error says that it
// is none, or that there is no trace to be read; what else is missing or damaged is in
// the result.
func Read(ctx context.Context, path string) (*Dir, error) {
	d := &Dir{Path: path, Trace: filepath.Join(path, output, TraceName)}
	has := look(path)
	if err := d.find(has); err != nil {
		return nil, err
	}
	d.readInfo(has.info)
	for _, file := range []struct {
		name string
		read func(context.Context, string) error
	}{
		{"kernel_details.csv", d.readKernels},
		{"op_statistic.csv", d.readTypes},
		{"operator_details.csv", d.readOperators},
		{"step_trace_time.csv", d.readSteps},
		{"communication.json", d.readCollectives},
	} {
		err := file.read(ctx, filepath.Join(path, output, file.name))
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("read %s: %w", path, context.Cause(ctx))
		case errors.Is(err, fs.ErrNotExist):
			d.Missing = append(d.Missing, file.name)
		case err != nil:
			d.Problems = append(d.Problems, err.Error())
		}
	}
	return d, nil
}

// find says where there is no trace why that is, and what to do.
func (d *Dir) find(has contents) error {
	if _, err := os.Stat(d.Trace); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", d.Path, err)
	}
	switch {
	case has.output:
		return fmt.Errorf("read %s: %w: %s; analyse it as text, on a machine with torch_npu and CANN: %s",
			d.Path, ErrNoTrace, filepath.Join(d.Path, output), Command(d.Path, "text"))
	case has.raw != "":
		return fmt.Errorf("read %s: %w (%s): torch_npu did not analyse it; do that on a machine with torch_npu and CANN, then try again: %s",
			d.Path, ErrRaw, has.raw, Command(d.Path, ""))
	}
	return fmt.Errorf("read %s: %w: neither %s nor PROF_* nor FRAMEWORK is in it", d.Path, ErrNoTrace, output)
}

// Command is the shell command that analyses a directory, or all below it, offline:
// torch_npu.profiler.profiler.analyse(profiler_path, max_process_number, export_type), as
// the documentation of torch_npu has it. It needs room, says its guide: twenty times what
// was recorded. An empty export is what profiler_info.json says.
func Command(dir, export string) string {
	call := "analyse(profiler_path=" + strconv.QuoteToASCII(dir)
	if export != "" {
		call += ", export_type=" + strconv.Quote(export)
	}
	code := "from torch_npu.profiler.profiler import analyse; " + call + ")"
	return "python3 -c '" + strings.ReplaceAll(code, "'", `'\''`) + "'"
}

// maxInfo bounds profiler_info.json, which has some kB.
const maxInfo = 4 << 20

func (d *Dir) readInfo(name string) {
	if name == "" {
		d.Missing = append(d.Missing, "profiler_info.json")
		return
	}
	text, err := regular.Read(filepath.Join(d.Path, name), maxInfo)
	if err != nil {
		d.Problems = append(d.Problems, err.Error())
		return
	}
	info, err := parseInfo(text)
	if err != nil {
		d.Problems = append(d.Problems, fmt.Sprintf("read %s: %v", filepath.Join(d.Path, name), err))
	}
	if info.Rank == nil {
		number := strings.TrimSuffix(strings.TrimPrefix(name, "profiler_info_"), ".json")
		if n, err := strconv.Atoi(number); err == nil && n <= maxRank {
			info.Rank = &n
		}
	}
	d.Info = info
}

const maxRank = 1 << 24

// parseInfo reads profiler_info.json. What is of another type than expected counts as
// not there.
func parseInfo(text []byte) (Info, error) {
	var top struct {
		Config struct {
			Common       map[string]json.RawMessage `json:"common_config"`
			Experimental map[string]json.RawMessage `json:"experimental_config"`
		} `json:"config"`
		TorchNPU json.RawMessage `json:"torch_npu_version"`
		CANN     json.RawMessage `json:"cann_version"`
		Rank     json.RawMessage `json:"rank_id"`
	}
	err := json.Unmarshal(text, &top)
	common := func(key string) bool { return string(top.Config.Common[key]) == "true" }
	info := Info{
		TorchNPU: textOf(top.TorchNPU), CANN: textOf(top.CANN),
		Level:  strings.TrimPrefix(textOf(top.Config.Experimental["_profiler_level"]), "ProfilerLevel."),
		Shapes: common("record_shapes"), Memory: common("profile_memory"),
		Stack: common("with_stack") || common("with_modules"), FLOPs: common("with_flops"),
	}
	var rank int
	if json.Unmarshal(top.Rank, &rank) == nil && string(top.Rank) != "null" && rank >= 0 && rank <= maxRank {
		info.Rank = &rank
	}
	return info, err
}

func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || len(s) > 256 {
		return ""
	}
	return s
}
