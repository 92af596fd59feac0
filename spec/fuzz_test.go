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
