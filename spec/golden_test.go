package spec

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run the test with -update if this is right:\n%s", path, diff)
	}
}

// TestDiagnostics loads the job.hcl of each archive in testdata/diagnostics and
// compares what is said about it with the archive's file "want". A file
// "inputs" has a line for each input: var NAME=VALUE, env NAME=VALUE, varfile PATH.
func TestDiagnostics(t *testing.T) {
	paths, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			abs, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			archive, err := txtar.ParseFile(abs)
			if err != nil {
				t.Fatal(err)
			}
			got := diagnoseArchive(t, archive)
			if strings.Contains(got, "hunter2") {
				t.Errorf("the diagnostics show a sensitive value:\n%s", got)
			}
			setFile(archive, "want", got)
			compareGolden(t, abs, txtar.Format(archive))
		})
	}
}

// diagnoseArchive writes the archive's files to a directory and loads job.hcl there.
func diagnoseArchive(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	t.Chdir(t.TempDir())
	in := Inputs{Version: "0.1.0", Hostname: func() (string, error) { return "host1", nil }}
	for _, f := range archive.Files {
		switch f.Name {
		case "want":
		case "inputs":
			in = readInputs(t, in, string(f.Data))
		default:
			if err := os.WriteFile(f.Name, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	file, diags := LoadFile(context.Background(), "job.hcl", testCatalog, in)
	if (file == nil) != diags.HasErrors() {
		t.Errorf("file is nil: %v, errors: %v", file == nil, diags.HasErrors())
	}
	for _, d := range diags.All() {
		if d.Subject != nil && d.Subject.Start.Line == 0 {
			t.Errorf("diagnostic without a line: %v", d)
		}
	}
	var out bytes.Buffer
	if err := diags.WriteText(&out, 0, false); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readInputs(t *testing.T, in Inputs, text string) Inputs {
	t.Helper()
	in.Vars = map[string]string{}
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "var":
			name, value, _ := strings.Cut(rest, "=")
			in.Vars[name] = value
		case "env":
			in.Environ = append(in.Environ, rest)
		case "varfile":
			in.VarFiles = append(in.VarFiles, rest)
		case "version":
			in.Version = rest
		default:
			t.Fatalf("unknown input %q", line)
		}
	}
	return in
}

func setFile(archive *txtar.Archive, name, text string) {
	for i := range archive.Files {
		if archive.Files[i].Name == name {
			archive.Files[i].Data = []byte(text)
			return
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
}
