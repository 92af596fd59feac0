package spec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSources checks what is kept of the files that were read: nothing that is
// sensitive.
func TestSources(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(t.TempDir(), "other.hcl")
	files := map[string]string{
		"job.hcl": `
variable "token" {
  sensitive = true
  default   = "hunter2-default"
}
variable "map" {
  sensitive = true
  default   = { a = "hunter2-map", b = <<EOT
hunter2-heredoc
EOT
  }
}
variable "from_file" {
  sensitive = true
  default   = trimspace(file("sub/default.txt"))
}
variable "open" {
  default = "open"
}
variable "given" {
  sensitive = true
}
variable "loose" {
  sensitive = false
  default   = "loose"
}
locals {
  plain   = "not-secret"
  twice   = "hunter2-twice"
  secret  = sensitive("hunter2-literal")
  secret2 = sensitive(local.twice)
  part    = sensitive(jsondecode(file("part.json")).token)
  raw     = file("raw.txt")
  derived = sensitive(upper(local.raw))
  open    = file("open.txt")
  env     = sensitive(env("TOKEN", "hunter2-fallback"))
  same    = file("same.txt")
  again   = file("./open.txt")
}
target "embedded" "e" {
  auth {
    bearer = local.secret
  }
}
job "j" {
  targets = [target.embedded.e]
  window {
    tokens {}
  }
}
`,
		"secrets.hcl":     "given = \"hunter2-only\"\n# comment\ntoken = \"hunter2-file\"\n",
		"mixed.hcl":       "open = \"mixed\"\ntoken = \"hunter2-mixed\"\n",
		"part.json":       `{"token": "hunter2-json"}`,
		"raw.txt":         "hunter2-raw",
		"open.txt":        "open file",
		"same.txt":        "hunter2-only\n",
		"sub/default.txt": "hunter2-sub\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, text)
	}
	write(t, other, "loose = \"other\"\n")
	file, diags := LoadFile(context.Background(), filepath.Join(dir, "job.hcl"), testCatalog, Inputs{
		VarFiles: []string{filepath.Join(dir, "secrets.hcl"), filepath.Join(dir, "mixed.hcl"), other},
		Environ:  []string{"TOKEN=hunter2-env"},
	})
	if len(diags.All()) > 0 {
		t.Fatal(diags)
	}
	kept := map[string]string{} // "-" where only the hash is
	var order []string
	for _, s := range file.Sources {
		order = append(order, s.Path)
		kept[s.Path] = string(s.Redacted)
		if s.Redacted == nil {
			kept[s.Path] = "-"
		}
		if strings.Contains(string(s.Redacted), "hunter2") {
			t.Errorf("%s is kept with a sensitive value:\n%s", s.Path, s.Redacted)
		}
		text := files[s.Path]
		if s.Path == other {
			text = "loose = \"other\"\n"
		}
		sum := sha256.Sum256([]byte(text))
		if s.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: wrong digest %s", s.Path, s.SHA256)
		}
	}
	for name, want := range map[string]string{
		"secrets.hcl":     "-",
		"mixed.hcl":       "open = \"mixed\"\ntoken = \"(sensitive)\"\n",
		"part.json":       "-",
		"raw.txt":         "-",
		"same.txt":        "-",
		"sub/default.txt": "-",
		"open.txt":        "open file",
		other:             "loose = \"other\"\n",
	} {
		if kept[name] != want {
			t.Errorf("%s: kept %q, want %q", name, kept[name], want)
		}
	}
	if want := []string{"job.hcl", "sub/default.txt", "secrets.hcl", "mixed.hcl", other}; !cmp.Equal(order[:len(want)], want) {
		t.Errorf("order of sources: %v", order)
	}
	if len(order) != 9 {
		t.Errorf("%d sources, want 9: %v", len(order), order)
	}
	compareGolden(t, "testdata/redacted.hcl", []byte(kept["job.hcl"]))

	// What is kept of the job file is still a job file.
	if diags := CheckSyntax("job.hcl", []byte(kept["job.hcl"])); diags.HasErrors() {
		t.Error(diags)
	}
}

// TestBadFiles loads things that are no job files. Each brings forth one diagnostic.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	pad := func(n int) string { return strings.Repeat("#", n) }
	for name, tc := range map[string]struct {
		text string // empty: no file
		want string
	}{
		"missing.hcl":   {want: "There is no job file missing.hcl."},
		".":             {want: "The job file . is a directory."},
		"large.hcl":     {pad(maxConfigSize + 1), "The job file large.hcl is larger than 4MiB."},
		"bom.hcl":       {"\xEF\xBB\xBFlocals {}\n", "bom.hcl:1,1-2: Byte order mark; The file begins with a byte order mark"},
		"utf16.hcl":     {"\xFF\xFEl\x00", "utf16.hcl:1,1-2: Not UTF-8; The file is in UTF-16"},
		"latin1.hcl":    {"locals {\n  a = \"\xE4\"\n}\n", "latin1.hcl:2,8-9: Not UTF-8; Line 2 holds a byte that is not UTF-8: 0xe4, byte 17 of the file"},
		"nul.hcl":       {"a = \x00\n", "nul.hcl:1,5-6: Invalid character"},
		"quote.hcl":     {"locals {\n  a = \"b\n}\nlocals {\n  c = 1\n}\n", "quote.hcl:2,9-3,1: Invalid multi-line string"},
		"brace.hcl":     {"locals {\n", "brace.hcl:1,8-9: Unclosed configuration block"},
		"empty.hcl":     {"\n", "empty.hcl:1,1-1: No job"},
		"parens.hcl":    {"locals {\n a = " + strings.Repeat("(", 1<<16), "parens.hcl:2,"},
		"chain.hcl":     {"locals {\n a = 1" + strings.Repeat("+1", 1<<16) + "\n}\n", "chain.hcl:2,"},
		"ternary.hcl":   {"locals {\n a = " + strings.Repeat("true ? 1 : ", 1<<16) + "2\n}\n", "ternary.hcl:2,"},
		"index.hcl":     {"locals {\n a = x" + strings.Repeat("[y]", 1<<16) + "\n}\n", "index.hcl:2,"},
		"templates.hcl": {"locals {\n a = \"" + strings.Repeat("%{ if true }", 1<<16) + "\"\n}\n", "templates.hcl:2,"},
		"blocks.hcl":    {strings.Repeat("a {\n", 1<<14), "blocks.hcl:201,3-4: Expression too complex"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(dir)
			if tc.text != "" {
				write(t, name, tc.text)
			}
			file, diags := LoadFile(context.Background(), name, testCatalog, Inputs{})
			if file != nil || len(diags.All()) != 1 {
				t.Fatalf("want one diagnostic, got %v", diags)
			}
			if !strings.Contains(diags.Error(), tc.want) {
				t.Errorf("got  %v\nwant %v", diags, tc.want)
			}
			var out bytes.Buffer
			if err := diags.WriteText(&out, 80, true); err != nil || out.Len() > 10_000 {
				t.Errorf("written: %d bytes, %v", out.Len(), err)
			}
		})
	}
}

// TestLongChain evaluates more references than a stack of calls would bear.
func TestLongChain(t *testing.T) {
	var text strings.Builder
	text.WriteString("locals {\n  n0 = 1\n")
	const n = 10_000
	for i := 1; i < n; i++ {
		text.WriteString("  n" + itoa(i) + " = local.n" + itoa(i-1) + "\n")
	}
	text.WriteString("}\ntarget \"embedded\" \"e\" {}\njob \"j\" {\n  targets = [target.embedded.e]\n  repeat = local.n" + itoa(n-1) + "\n  window {\n    tokens {}\n  }\n}\n")
	if got := load(t, text.String(), Inputs{}).Jobs[0].Repeat; got != 1 {
		t.Errorf("got %d", got)
	}
}

// TestTooLarge stops locals that double the one before.
func TestTooLarge(t *testing.T) {
	for name, join := range map[string]string{"strings": `"${local.X}${local.X}"`, "tuples": `[local.X, local.X]`} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("locals {\n  n0 = \"xxxxxxxxxxxxxxxx\"\n")
			for i := 1; i < 40; i++ {
				text.WriteString("  n" + itoa(i) + " = " + strings.ReplaceAll(join, "X", "n"+itoa(i-1)) + "\n")
			}
			text.WriteString("}\n")
			_, diags := LoadBytes(context.Background(), "job.hcl", []byte(text.String()), testCatalog, Inputs{})
			if !strings.Contains(diags.Error(), "is larger than 4MiB") {
				t.Error(diags)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range []string{"testdata/decode.hcl", "none.hcl"} {
		file, diags := LoadFile(ctx, name, testCatalog, Inputs{})
		if file != nil || !strings.Contains(diags.Error(), "context canceled") {
			t.Errorf("got %v", diags)
		}
	}
}

func TestFileFunction(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxFileSize+1))
	write(t, filepath.Join(dir, "binary"), "\xFF")
	text := "locals {\n  a = file(\"large\")\n  b = file(\"binary\")\n  c = file(\"" + filepath.ToSlash(filepath.Join(dir, "none")) + "\")\n}\n"
	_, diags := LoadBytes(context.Background(), filepath.Join(dir, "job.hcl"), []byte(text), testCatalog, Inputs{})
	for _, want := range []string{"large is larger than 1MiB", "binary is not UTF-8 text", "none: no such file or directory"} {
		if !strings.Contains(diags.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, diags)
		}
	}
}
