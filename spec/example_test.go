package spec

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// load loads a text that has nothing wrong with it.
func load(t *testing.T, text string, in Inputs) *File {
	t.Helper()
	file, diags := LoadBytes(context.Background(), "job.hcl", []byte(text), testCatalog, in)
	if len(diags.All()) > 0 {
		t.Fatalf("unexpected diagnostics:\n%v", diags)
	}
	return file
}

var ignoreRanges = []cmp.Option{cmpopts.IgnoreTypes(hcl.Range{}), cmp.Comparer(cty.Value.RawEquals)}

// TestExample loads a file in which every block is written.
func TestExample(t *testing.T) {
	path := filepath.Join("testdata", "decode.hcl")
	file, diags := LoadFile(context.Background(), path, testCatalog, Inputs{
		Version:  "0.1.0-dev",
		Environ:  []string{"TOKEN=hunter2"},
		Hostname: func() (string, error) { return "node7", nil },
	})
	if len(diags.All()) > 0 {
		t.Fatalf("unexpected diagnostics:\n%v", diags)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	target := &Target{
		Engine:    "vllm",
		Name:      "server",
		Endpoints: []string{"http://127.0.0.1:8000", "http://127.0.0.1:8001/prefix"},
		TraceDir:  "/var/tmp/profiles",
		Version:   "0.32.0",
		Files:     Files{From: "local"},
		Auth:      Auth{Bearer: Secret{Ref: "target.vllm.server.auth.bearer"}},
		Launch: &Launch{
			Command: []string{"vllm", "serve", ""},
			Env: map[string]Secret{
				"PLAIN":  {Value: "1"},
				"SECRET": {Ref: "target.vllm.server.launch.env.SECRET"},
			},
			ReadyTimeout: 5 * time.Minute,
		},
		Options: map[string]cty.Value{
			"dialect": cty.StringVal("flags"),
			"ranks":   cty.NumberIntVal(8),
			"labels":  cty.MapVal(map[string]cty.Value{"host": cty.StringVal("node7")}),
		},
	}
	want := &File{
		Path:            path,
		Dir:             dir,
		RequiredVersion: ">= 0.1.0",
		Jobs: []*Job{{
			Name:    "decode-64",
			Address: "decode-64",
			Dir:     dir,
			Targets: []*Target{target},
			Load: &Load{
				Name:         "steady",
				Concurrency:  64,
				Burstiness:   1,
				InputTokens:  TokenRange{256, 256},
				OutputTokens: TokenRange{128, 512},
				Endpoint:     "http://proxy:8080",
				Model:        "m",
				API:          "chat",
				Seed:         18446744073709551615,
			},
			Warmup: &Warmup{Running: 64, Stable: 3 * time.Second, Requests: 200, Duration: 30 * time.Second, Timeout: 2 * time.Minute},
			Window: Window{
				Kind:     WindowTokens,
				Tokens:   &TokensWindow{Threshold: 64, Steps: 6, Phase: "decode", AtMost: 128, SkipRequests: 2, All: true},
				Timeout:  6 * time.Minute,
				Attempts: 4,
				Evidence: "annotation",
			},
			Record:  Record{Shapes: true, Memory: true, Stack: true, FLOPs: true, Activities: []string{"cpu", "device"}},
			Retry:   Retry{Attempts: 5, Initial: time.Second, Max: time.Minute, Multiplier: 1.5},
			Limits:  Limits{MinFreeDisk: 10 << 30, MaxTraceSize: 20e9},
			Repeat:  3,
			Collect: Collect{ExpectRanks: 8, DeleteRemote: true, KeepOriginal: false, Timeout: 20 * time.Minute},
			Archive: Archive{Path: "./runs", Format: "tar.zst", Keep: Keep{Last: 30, Daily: 14}, Mode: 0o600},
			Secrets: map[string]string{
				"target.vllm.server.auth.bearer":       "hunter2",
				"target.vllm.server.launch.env.SECRET": "x-hunter2",
			},
		}},
	}
	if diff := cmp.Diff(want, file, append(ignoreRanges, cmpopts.IgnoreFields(File{}, "Sources"))...); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := file.Jobs[0].DeclRange.Start.Line; got == 0 {
		t.Error("the job has no range")
	}
	if got := file.Jobs[0].Load.Address(); got != "load.steady" {
		t.Errorf("address of the load: %s", got)
	}
}

// TestDefaults loads a file in which as little as can be is written.
func TestDefaults(t *testing.T) {
	file := load(t, `
target "embedded" "e" {}
load "l" {
  rate    = 0.5
  dataset = "prompts.jsonl"
}
job "j" {
  targets = [target.embedded.e]
  load    = load.l
  window {
    tokens {}
  }
}
job "k" {
  targets = [target.embedded.e]
  warmup {
    duration = "1s"
  }
  window {
    manual {
      until = "stopped"
    }
  }
}
job "l" {
  targets = [target.embedded.e]
  window {
    steps {
      count = 5
    }
  }
}
`, Inputs{})
	base := Job{
		Dir:     file.Dir,
		Targets: []*Target{{Engine: "embedded", Name: "e", Files: Files{From: "local"}, Options: map[string]cty.Value{}}},
		Window:  Window{Timeout: 5 * time.Minute, Attempts: 3},
		Retry:   Retry{Attempts: 4, Initial: 500 * time.Millisecond, Max: 30 * time.Second, Multiplier: 2},
		Limits:  Limits{MinFreeDisk: 1 << 30},
		Repeat:  1,
		Collect: Collect{KeepOriginal: true, Timeout: 30 * time.Minute},
		Archive: Archive{Format: "dir", Mode: 0o600},
		Secrets: map[string]string{},
	}
	j, k, l := base, base, base
	j.Name, j.Address = "j", "j"
	j.Load = &Load{Name: "l", Rate: 0.5, Burstiness: 1, OutputTokens: TokenRange{128, 128}, Dataset: "prompts.jsonl", API: "completions"}
	j.Window.Kind, j.Window.Tokens = WindowTokens, &TokensWindow{Threshold: 1, Steps: 5, Phase: "any"}
	k.Name, k.Address = "k", "k"
	k.Warmup = &Warmup{Duration: time.Second, Timeout: 5 * time.Minute}
	k.Window.Kind, k.Window.Manual = WindowManual, &ManualWindow{Until: "stopped"}
	l.Name, l.Address = "l", "l"
	l.Window.Kind, l.Window.Steps = WindowSteps, &StepsWindow{Count: 5}
	if diff := cmp.Diff([]*Job{&j, &k, &l}, file.Jobs, ignoreRanges...); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestForEach makes jobs of maps and sets, which know their key and value.
func TestForEach(t *testing.T) {
	file := load(t, `
target "vllm" "a" { endpoints = ["http://a"] }
target "vllm" "b" { endpoints = ["http://b"] }
load "l" { concurrency = 3 }
job "map" {
  for_each = { z = { on = target.vllm.a, n = 2 }, b64 = { on = target.vllm["b"], n = 1 } }
  targets  = [each.value.on]
  load     = each.key == "z" ? load.l : null
  repeat   = each.value["n"]
  window {
    steps {
      count = length(each.key)
    }
  }
}
job "set" {
  for_each = toset(["y", "x"])
  targets  = [for name, t in target.vllm : t if name == "a" || each.value == "y"]
  window {
    steps {
      count = load.l.concurrency
    }
  }
}
job "empty" {
  for_each = toset([])
  targets  = [target.vllm.a]
  window {
    tokens {}
  }
}
job "none" {
  for_each = {}
  targets  = [target.vllm.a]
  window {
    tokens {}
  }
}
`, Inputs{})
	type row struct {
		Address, Key string
		Targets      int
		Load         bool
		Repeat       int
		Count        int
	}
	var got []row
	for _, j := range file.Jobs {
		got = append(got, row{j.Address, j.Key, len(j.Targets), j.Load != nil, j.Repeat, j.Window.Steps.Count})
	}
	want := []row{
		{`map["b64"]`, "b64", 1, false, 1, 3},
		{`map["z"]`, "z", 1, true, 2, 1},
		{`set["x"]`, "x", 1, false, 1, 3},
		{`set["y"]`, "y", 2, false, 1, 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestPrecedence sets variables in all the ways that there are.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.hcl"), filepath.Join(dir, "two.hcl")
	write(t, one, "file = 2\nfile2 = 2\nflag = 2\nobject = { a = 5 }\n")
	write(t, two, "file2 = 3\nflag = 3\n")
	file := load(t, precedenceFile, Inputs{
		Vars:     map[string]string{"flag": "4", "literal": "[1]", "list": "[1, 2]", "any": "{ x = 9 }"},
		VarFiles: []string{one, two},
		Environ:  []string{"PROFJOB_VAR_env=env", "PROFJOB_VAR_file=env", "PROFJOB_VAR_other=x", "junk"},
	})
	if got, want := file.Jobs[0].Targets[0].TraceDir, "1,env,2,3,4,[1],2,9,5,6"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

const precedenceFile = `
variable "default" {
  default = "1"
}
variable "env" {
  default = "1"
}
variable "file" {
  default = "1"
}
variable "file2" {
  default = "1"
}
variable "flag" {
  default = "1"
}
variable "literal" {
  type = string
}
variable "list" {
  type = list(number)
}
variable "any" {
  type = any
}
variable "object" {
  type = object({ a = number, b = optional(number, 6) })
  validation {
    condition     = var.object.b == 6 && var.env == "env"
    error_message = "no"
  }
}
variable "null" {
  type    = number
  default = null
}
target "embedded" "e" {
  trace_dir = join(",", [var.default, var.env, var.file, var.file2, var.flag, var.literal, length(var.list), var.any.x, var.object.a, var.object.b])
}
job "j" {
  targets = [target.embedded.e]
  repeat  = var.null
  window {
    tokens {}
  }
}
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestParallel loads files side by side, for the race detector.
func TestParallel(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			_, diags := LoadFile(context.Background(), "testdata/decode.hcl", testCatalog, Inputs{Environ: []string{"TOKEN=hunter2"}})
			if diags.HasErrors() {
				t.Error(diags)
			}
		})
	}
	group.Wait()
}
