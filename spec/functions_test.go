package spec

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestFunctions evaluates an expression with each kind of function that is ours.
func TestFunctions(t *testing.T) {
	in := Inputs{Environ: []string{"A=1", "A=2", "EMPTY="}, Hostname: func() (string, error) { return "node7", nil }}
	for expr, want := range map[string]string{
		`env("A")`:                          "2",
		`env("A", "x")`:                     "2",
		`env("B", "x")`:                     "x",
		`"${env("EMPTY", "x")}-"`:           "-",
		`hostname()`:                        "node7",
		`duration("90s")`:                   "1m30s",
		`duration("60m")`:                   "1h",
		`length("aä")`:                      "2",
		`length([1, 2])`:                    "2",
		`length({ a = 1 })`:                 "1",
		`try(env("B"), "fallback")`:         "fallback",
		`can(env("B")) ? "yes" : "no"`:      "no",
		`trimspace(file("testdata/a.txt"))`: "content",
		`upper(replace("a-b", "-", "+"))`:   "A+B",
		`jsonencode(local.missing_not)`:     `{"a":1}`,
		`join(",", sort(keys(merge({ b = 1 }, { a = 2 }))))`: "a,b",
		`tostring(parseint("ff", 16))`:                       "255",
		`formatdate("YYYY", "2026-01-02T03:04:05Z")`:         "2026",
		`target.embedded["o"].name`:                          "o",
		`tostring(length(local))`:                            "2",
	} {
		file := load(t, `
locals {
  missing_not = { a = 1 }
  other       = 2
}
target "embedded" "o" {}
target "embedded" "e" {
  version = `+expr+`
}
job "j" {
  targets = [target.embedded.e]
  window {
    tokens {}
  }
}
`, in)
		if got := file.Jobs[0].Targets[0].Version; got != want {
			t.Errorf("%s = %q, want %q", expr, got, want)
		}
	}
}

func TestHostname(t *testing.T) {
	const text = `
target "embedded" "e" {
  version = hostname()
}
job "j" {
  targets = [target.embedded.e]
  window {
    tokens {}
  }
}
`
	want, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	if got := load(t, text, Inputs{}).Jobs[0].Targets[0].Version; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, diags := LoadBytes(context.Background(), "job.hcl", []byte(text), testCatalog, Inputs{Hostname: func() (string, error) { return "", errors.New("no name") }})
	if !strings.Contains(diags.Error(), "no name") {
		t.Error(diags)
	}
}

// TestSensitiveFlow keeps a value apart through everything that can be done to it.
func TestSensitiveFlow(t *testing.T) {
	for _, expr := range []string{
		`var.s`,
		`"x${var.s}"`,
		`upper(var.s)`,
		`var.m["k"]`,
		`var.m.k`,
		`{ a = var.s }.a`,
		`[for k, v in var.m : v][0]`,
		`join(",", values(var.m))`,
		`try(var.nested.a.b, "")`,
		`jsonencode({ a = [var.s] })`,
		`var.s == "x" ? "a" : "b"`,
		`{ for k, v in { a = var.s } : k => v }.a`,
		`[var.s].*[0]`,
		`sensitive(env("A"))`,
		`local.s`,
		`format("%s", var.s)`,
		`element([var.s, "b"], 1)`,
		`lookup({ (var.s) = 1 }, "hunter2", 5)`,
	} {
		text := `
variable "s" {
  sensitive = true
  default   = "hunter2"
}
variable "m" {
  type      = map(string)
  sensitive = true
  default   = { k = "hunter2" }
}
variable "nested" {
  default = { a = { b = sensitive("hunter2") } }
}
locals {
  s = [sensitive("hunter2")][0]
}
target "embedded" "e" {
  %s
}
job "j" {
  targets = [target.embedded.e]
  window {
    tokens {}
  }
}
`
		in := Inputs{Environ: []string{"A=hunter2"}}
		where := "auth {\n    bearer = " + expr + "\n  }"
		file := loadOrNil(strings.Replace(text, "%s", where, 1), in)
		if expr == `jsonencode({ a = [var.s] })` || expr == `element([var.s, "b"], 1)` {
			// The first is no token; the second is what is not sensitive of the list.
		} else if file == nil {
			t.Errorf("%s: not allowed in auth", expr)
		} else if s := file.Jobs[0].Targets[0].Auth.Bearer; s.Ref != "target.embedded.e.auth.bearer" || s.Value != "" || file.Jobs[0].Secrets[s.Ref] == "" {
			t.Errorf("%s: bearer is %+v of %v", expr, s, file.Jobs[0].Secrets)
		}
		file = loadOrNil(strings.Replace(text, "%s", "trace_dir = "+expr, 1), in)
		if file != nil && strings.Contains(file.Jobs[0].Targets[0].TraceDir, "hunter2") {
			t.Errorf("%s: shown in trace_dir", expr)
		}
		if file != nil && !strings.Contains(expr, "element") {
			t.Errorf("%s: allowed in trace_dir", expr)
		}
	}
}

func loadOrNil(text string, in Inputs) *File {
	file, _ := LoadBytes(context.Background(), "job.hcl", []byte(text), testCatalog, in)
	return file
}
