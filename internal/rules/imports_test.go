// Package rules holds the project to its layers: which package may know of which.
package rules

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "profjob"

// rule says what the packages of some folders may not import.
type rule struct {
	of     []string // folders and what is below them, relative to the module
	but    []string // folders that the rule leaves out
	never  []string // folders of the module, and what is below them, that they may not import
	except []string // folders that they may import all the same
	tests  bool     // it holds for tests, too
	why    string
}

// whole stands for the whole module.
const whole = "."

var layers = []rule{
	{of: []string{"spec"}, never: []string{whole}, except: []string{"spec"}, tests: true,
		why: "spec knows the language and nothing of servers or runs: a job file means the same whatever carries it out"},
	{of: []string{"steps"}, never: []string{"runner", "cmd"}, tests: true,
		why: "a plan step decides nothing about retries, attempts or other plan steps"},
	{of: []string{"internal"}, but: []string{"internal/view", "internal/rules"}, never: []string{"spec", "runner", "steps", "cmd"}, tests: true,
		why: "what is in internal is used by plan steps and knows nothing of plans"},
	{of: []string{"internal/view"}, never: []string{"cmd", "spec"}, tests: true,
		why: "a view shows plans, runs and events, whoever asks for it"},
	{of: []string{whole}, but: []string{"cmd", "internal/view"}, never: []string{"internal/view"}, tests: true,
		why: "only a command shows anything: everything else tells events"},
	{of: []string{whole}, but: []string{"cmd"}, never: []string{"cmd"}, tests: true,
		why: "commands hold flags and wiring only"},
	{of: []string{"internal/engine"}, never: []string{"internal/trace", "internal/archive", "internal/analysis", "internal/hostfs", "internal/proc", "internal/event"},
		why: "an engine's client knows HTTP and its server's versions, not plans, runs or traces"},
	{of: []string{"internal/guard", "internal/gate"}, but: []string{"internal/gate/gatetest"}, never: []string{"internal/archive", "internal/hostfs", "internal/event", "internal/analysis"},
		why: "the guard and the gate's client know servers and processes, not runs: they serve whatever begins something"},
	{of: []string{"internal/hostfs"}, never: []string{"internal/trace", "internal/archive", "internal/engine", "internal/event"}, tests: true,
		why: "a host file system knows files, not what is in them"},
	{of: []string{"internal/trace"}, never: []string{"internal/engine", "internal/hostfs", "internal/archive", "internal/event"},
		why: "the trace reader knows what is in a file, not who wrote it or where it came from"},
	{of: []string{"internal/ascend"}, never: []string{whole}, except: []string{"internal/ascend", "internal/regular"}, tests: true,
		why: "it knows the tables of torch_npu, not what is made of them"},
	{of: []string{"internal/archive", "internal/event"}, never: []string{whole}, except: []string{"internal/archive", "internal/event", "internal/wire", "internal/durable", "internal/regular"}, tests: true,
		why: "runs and events are described in words of their own, which outlive how they came about"},
	{of: []string{"internal/wire", "internal/proc", "internal/control", "internal/durable", "internal/regular", "internal/scrub", "internal/access"}, never: []string{whole}, except: []string{"internal/wire", "internal/proc", "internal/control", "internal/regular", "internal/scrub", "internal/access"}, tests: true,
		why: "they are of one idea each, and know nothing of profiling: that of internal/durable, whole files or none, is for whatever keeps files"},
}

// file is a Go file and what it imports of the module, as folders.
type file struct {
	path    string // relative to the module, with slashes
	imports []string
}

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func below(folder, parent string) bool {
	return parent == whole || folder == parent || strings.HasPrefix(folder, parent+"/")
}

func belowAny(folder string, parents []string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return below(folder, p) })
}

// broken gives what a file imports against a rule.
func (r rule) broken(f file) []string {
	folder := path.Dir(f.path)
	if !belowAny(folder, r.of) || belowAny(folder, r.but) || f.isTest() && !r.tests {
		return nil
	}
	var all []string
	for _, i := range f.imports {
		if belowAny(i, r.never) && !belowAny(i, r.except) {
			all = append(all, fmt.Sprintf("%s imports %s: %s", f.path, i, r.why))
		}
	}
	return all
}

// moduleFiles reads the imports of every Go file of the module, whatever its
// build constraints say.
func moduleFiles(t *testing.T) []file {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var all []file
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "vendor") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		imports, err := importsOf(name)
		all = append(all, file{filepath.ToSlash(rel), imports})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func importsOf(name string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if folder, ours := strings.CutPrefix(imported, module+"/"); ours {
			all = append(all, folder)
		}
	}
	return all, nil
}

func TestImports(t *testing.T) {
	files := moduleFiles(t)
	if len(files) < 100 {
		t.Fatalf("only %d files were found", len(files))
	}
	for _, f := range files {
		for _, r := range layers {
			for _, text := range r.broken(f) {
				t.Error(text)
			}
		}
	}
}

// Each folder that a rule names is there: a rule for one that was renamed holds nothing.
func TestRulesNameFolders(t *testing.T) {
	folders := map[string]bool{whole: true}
	for _, f := range moduleFiles(t) {
		for folder := path.Dir(f.path); folder != "."; folder = path.Dir(folder) {
			folders[folder] = true
		}
	}
	planned := map[string]bool{"internal/analysis": true}
	for _, r := range layers {
		if r.why == "" {
			t.Errorf("the rule of %q has no reason", r.of)
		}
		for _, name := range slices.Concat(r.of, r.but, r.never, r.except) {
			if !folders[name] && !planned[name] {
				t.Errorf("there is no folder %s (%s)", name, strings.Join(slices.Sorted(maps.Keys(folders)), " "))
			}
		}
	}
}

// The rules can fail.
func TestRulesCanFail(t *testing.T) {
	for _, c := range []struct {
		path, imported string
		ok             bool
	}{
		{"spec/job.go", "internal/engine/kinds", false},
		{"spec/job_test.go", "internal/wire", false},
		{"spec/job_test.go", "spec", true},
		{"steps/warmup.go", "runner", false},
		{"steps/warmup_test.go", "runner", false},
		{"steps/warmup.go", "internal/load", true},
		{"steps/target.go", "spec", true},
		{"steps/warmup.go", "internal/view", false},
		{"runner/run.go", "steps", true},
		{"runner/run.go", "internal/view", false},
		{"runner/run_test.go", "cmd/profjob", false},
		{"internal/load/run.go", "steps", false},
		{"internal/load/run_test.go", "runner", false},
		{"internal/view/plan.go", "runner", true},
		{"internal/view/plan.go", "spec", false},
		{"cmd/profjob/plan.go", "internal/view", true},
		{"cmd/profjob/plan.go", "spec", true},
		{"e2e/server_test.go", "internal/view", false},
		{"internal/engine/vllm/probe.go", "internal/trace", false},
		{"internal/engine/vllm/probe.go", "internal/engine/exchange", true},
		{"internal/engine/enginetest/profile.go", "internal/load", true},
		{"internal/engine/embedded/suite_test.go", "internal/trace", true},
		{"internal/hostfs/local/list.go", "internal/trace", false},
		{"internal/trace/trim.go", "internal/hostfs/local", false},
		{"internal/trace/trim.go", "internal/engine", false},
		{"internal/archive/seal.go", "internal/wire", true},
		{"internal/archive/seal.go", "internal/trace", false},
		{"internal/archive/hash.go", "internal/durable", true},
		{"internal/trace/trim.go", "internal/durable", true},
		{"internal/durable/durable.go", "internal/archive", false},
		{"internal/event/event.go", "internal/wire", true},
		{"internal/proc/proc.go", "internal/event", false},
		{"main.go", "spec", true},
		{"specification/x.go", "internal/load", true},
	} {
		var broken []string
		for _, r := range layers {
			broken = append(broken, r.broken(file{c.path, []string{c.imported}})...)
		}
		if (len(broken) == 0) != c.ok {
			t.Errorf("%s imports %s: broken rules %q, want none: %t", c.path, c.imported, broken, c.ok)
		}
	}
}
