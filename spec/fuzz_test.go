package spec

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

// addSeeds gives a fuzz target the job files of testdata.
func addSeeds(f *testing.F, add func(text []byte)) {
	f.Helper()
	example, err := os.ReadFile("testdata/decode.hcl")
	if err != nil {
		f.Fatal(err)
	}
	add(example)
	paths, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name == "job.hcl" {
				add(file.Data)
			}
		}
	}
}

// FuzzLoad looks for job files that are not diagnosed properly: with a panic,
// without a range, without an error where there is no file, or twice the same.
func FuzzLoad(f *testing.F) {
	addSeeds(f, func(text []byte) { f.Add(text, "1") })
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		in := Inputs{
			Vars:     map[string]string{"endpoint": value, "list": value},
			Environ:  []string{"PROFJOB_VAR_token=" + value},
			Version:  "0.1.0",
			Hostname: func() (string, error) { return "", errors.New("none") },
		}
		file, diags := LoadBytes(context.Background(), filepath.Join(t.TempDir(), "job.hcl"), text, testCatalog, in)
		if (file == nil) != diags.HasErrors() {
			t.Fatalf("file: %v, diagnostics: %v", file, diags)
		}
		seen := map[string]bool{}
		for _, d := range diags.All() {
			if d.Subject == nil && d.Summary != "No such variable" && d.Summary != "File too large" {
				t.Errorf("without a range: %v", d)
			}
			if key := placeAndSummary(d) + d.Detail; seen[key] {
				t.Errorf("said twice: %v", d)
			} else {
				seen[key] = true
			}
		}
		var out bytes.Buffer
		if err := diags.WriteText(&out, 80, true); err != nil {
			t.Error(err)
		}
		if err := diags.WriteJSON(&out); err != nil {
			t.Error(err)
		}
		if file != nil {
			checkFile(t, file)
		}
	})
}

// checkFile holds a loaded file against what its types promise.
func checkFile(t *testing.T, file *File) {
	t.Helper()
	for _, j := range file.Jobs {
		if j.Repeat < 1 || j.Window.Attempts < 1 || j.Window.Timeout <= 0 || j.Retry.Attempts < 1 || j.Retry.Initial > j.Retry.Max || len(j.Targets) == 0 {
			t.Errorf("bad job: %+v", j)
		}
		forms := 0
		for _, set := range []bool{j.Window.Steps != nil, j.Window.Tokens != nil, j.Window.Manual != nil} {
			if set {
				forms++
			}
		}
		if forms != 1 {
			t.Errorf("%d forms of window: %+v", forms, j.Window)
		}
		if l := j.Load; l != nil && (l.Concurrency > 0) == (l.Rate > 0) {
			t.Errorf("bad load: %+v", l)
		}
		for _, target := range j.Targets {
			if ref := target.Auth.Bearer.Ref; ref != "" && j.Secrets[ref] == "" {
				t.Errorf("no secret %s", ref)
			}
		}
	}
}

// FuzzFormat looks for text that is not the same when it is formatted again.
func FuzzFormat(f *testing.F) {
	addSeeds(f, func(text []byte) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text []byte) {
		if CheckSyntax("job.hcl", text).HasErrors() {
			return
		}
		once := Format(text)
		if CheckSyntax("job.hcl", once).HasErrors() {
			t.Fatalf("no longer valid:\n%s", once)
		}
		if twice := Format(once); !bytes.Equal(once, twice) {
			t.Errorf("formatted again, it differs:\n%s\n---\n%s", once, twice)
		}
	})
}

// variablesJob declares variables of several types, one of them sensitive.
const variablesJob = `variable "text" {
  type = string
}
variable "number" {
  type    = number
  default = 1
}
variable "list" {
  type    = list(object({ a = string, b = optional(number, 2) }))
  default = []
}
variable "any" {
  default = null
}
variable "token" {
  sensitive = true
  default   = "s3cret-default"
}
`

// FuzzVariables looks for files of variables, and values given in other ways, that
// are not diagnosed properly, or whose secrets are shown.
func FuzzVariables(f *testing.F) {
	f.Add([]byte("text = \"a\"\nnumber = 2\ntoken = \"s3cret\"\n"), "1", "[{a = 1}]")
	f.Add([]byte("text = [for a in [1, 2] : a]\nany = { a = \"${1}x\" }\n"), "null", "[")
	f.Add([]byte("x {\n}\ntxt = 1\ntext = env(\"a\")\n"), "true", "\"")
	f.Add([]byte("\xef\xbb\xbftext = 1e999\ntoken = [\"s3cret\""), "9e99999", "{}")
	path := filepath.Join(f.TempDir(), "vars.hcl")
	f.Fuzz(func(t *testing.T, file []byte, number, list string) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		in := Inputs{
			Vars:     map[string]string{"list": list},
			VarFiles: []string{path},
			Environ:  []string{"PROFJOB_VAR_number=" + number, "PROFJOB_VAR_token=s3cret-of-the-environment", "PROFJOB_VAR_any=" + list},
		}
		got, diags := LoadBytes(t.Context(), "job.hcl", []byte(hostileJob("")+variablesJob), testCatalog, in)
		if (got == nil) != diags.HasErrors() {
			t.Fatalf("file: %v, diagnostics: %v", got, diags)
		}
		var out bytes.Buffer
		if err := errors.Join(diags.WriteText(&out, 80, true), diags.WriteJSON(&out)); err != nil {
			t.Error(err)
		}
		if bytes.Contains(out.Bytes(), []byte("s3cret-")) {
			t.Errorf("a secret is shown:\n%s", out.Bytes())
		}
	})
}

// FuzzSize looks for sizes that are read as less than nothing, or differently once
// they were written.
func FuzzSize(f *testing.F) {
	for _, s := range []string{"10GiB", "1.5 TB", "0B", "9e9B", "99999999999999999999PiB", "1.b", "-1B", "٣kB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		if again, err := parseSize(formatSize(n)); n < 0 || err != nil || again < n-n/10 || again > n+n/10+1 {
			t.Errorf("%q is %d, written %s, which is %d, %v", text, n, formatSize(n), again, err)
		}
	})
}
