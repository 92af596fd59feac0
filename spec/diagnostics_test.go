package spec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestDiagnosticsJSON(t *testing.T) {
	text := `variable "t" {
  type      = number
  sensitive = true
  default   = "hunter2" # behind
}
target "embedded" "e" {
  trace_dirr = "/x"
}
job "j" {
  targets = [target.embedded.e]
  repeat  = sensitive("hunter2hunter2hunter2") == "x" ? 1 : 0
  window {
    steps {
      count = [
        1,
      ]
    }
  }
}
`
	_, diags := LoadBytes(context.Background(), "job.hcl", []byte(text), testCatalog, Inputs{Vars: map[string]string{"u": "1"}})
	job := strings.Index(text, "job \"j\"")
	header := &hcl.Range{Filename: "job.hcl", Start: hcl.Pos{Line: 9, Column: 1, Byte: job}, End: hcl.Pos{Line: 9, Column: 8, Byte: job + 7}}
	diags.Append(&hcl.Diagnostic{
		Severity: hcl.DiagWarning,
		Summary:  "Careful",
		Detail:   "Something may be meant otherwise.",
		Subject:  header,
		Context:  header,
	}, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Elsewhere",
		Subject:  &hcl.Range{Filename: "other.hcl", Start: hcl.InitialPos, End: hcl.InitialPos},
		Context:  &hcl.Range{Filename: "third.hcl", Start: hcl.InitialPos, End: hcl.InitialPos},
	})
	var compact, pretty bytes.Buffer
	if err := diags.WriteJSON(&compact); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(compact.String(), "hunter2") {
		t.Errorf("sensitive value shown: %s", &compact)
	}
	if err := json.Indent(&pretty, compact.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/diagnostics.json", pretty.Bytes())

	var coloured bytes.Buffer
	if err := diags.WriteText(&coloured, 40, true); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/diagnostics.txt", coloured.Bytes())
}

// TestErr makes an error of diagnostics only where there is one.
func TestErr(t *testing.T) {
	_, diags := LoadFile(context.Background(), "testdata/decode.hcl", testCatalog, Inputs{Environ: []string{"TOKEN=long-enough"}})
	if err := diags.Err(); err != nil {
		t.Errorf("unexpected: %v", err)
	}
	if diags.Error() != "" {
		t.Errorf("text without diagnostics: %q", diags.Error())
	}
	diags.Append(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "w"})
	if err := diags.Err(); err != nil {
		t.Errorf("a warning is no error: %v", err)
	}
	diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "e", Detail: "d"})
	var as *Diagnostics
	if err := diags.Err(); !errors.As(err, &as) || !strings.Contains(err.Error(), "e; d") {
		t.Errorf("got %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestBrokenWriter(t *testing.T) {
	_, diags := LoadBytes(context.Background(), "job.hcl", []byte("a = 1\n"), testCatalog, Inputs{})
	for name, err := range map[string]error{
		"text":      diags.WriteText(brokenWriter{}, 0, false),
		"json":      diags.WriteJSON(brokenWriter{}),
		"reference": WriteReference(brokenWriter{}, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTooMany bounds what is said of a file in which everything is wrong.
func TestTooMany(t *testing.T) {
	var text strings.Builder
	for i := range 3 * maxDiagnostics {
		fmt.Fprintf(&text, "a%d = 1\n", i)
	}
	_, diags := LoadBytes(context.Background(), "job.hcl", []byte(text.String()), testCatalog, Inputs{})
	if n := len(diags.All()); n != maxDiagnostics+1 {
		t.Errorf("%d diagnostics", n)
	}
	if last := diags.All()[maxDiagnostics]; last.Summary != "Too many mistakes" || !strings.Contains(last.Detail, "401 more") {
		t.Errorf("got %v", last)
	}
}

// TestLongLine leaves out a snippet that nobody could read.
func TestLongLine(t *testing.T) {
	text := "locals { a = " + strings.Repeat(" ", maxSnippet) + "x }\n"
	_, diags := LoadBytes(context.Background(), "job.hcl", []byte(text), testCatalog, Inputs{})
	var out bytes.Buffer
	if err := diags.WriteText(&out, 0, false); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 1000 || !strings.Contains(out.String(), "source code not available") {
		t.Errorf("got %s", &out)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"concurrency", "rate", "api", "seed", "max", "min"}
	for given, want := range map[string]string{
		"concurency":             "concurrency",
		"conc":                   "concurrency",
		"Rate":                   "rate",
		"rte":                    "rate",
		"toes":                   "",
		"mox":                    "max",
		"foo":                    "",
		"xx":                     "",
		"":                       "",
		strings.Repeat("a", 100): "",
	} {
		if got := nearest(given, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", given, got, want)
		}
	}
}
