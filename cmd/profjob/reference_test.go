package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"profjob/spec"
)

// TestCommandReference holds docs/commands.md to what the commands say themselves.
func TestCommandReference(t *testing.T) {
	var got bytes.Buffer
	writeCommandReference(&got, (&app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}).rootCommand())
	compareDoc(t, "../../docs/commands.md", func(string) string { return got.String() })
}

// TestLanguageReference holds the reference in docs/language.md to the schemas
// that the decoders use, with the attributes of every engine.
func TestLanguageReference(t *testing.T) {
	const begin, end = "<!-- reference: made by `make docs` -->\n", "<!-- end of reference -->"
	var got bytes.Buffer
	if err := spec.WriteReference(&got, catalog()); err != nil {
		t.Fatal(err)
	}
	compareDoc(t, "../../docs/language.md", func(old string) string {
		before, rest, ok := strings.Cut(old, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("docs/language.md has no place for the reference between %q and %q", begin, end)
		}
		return before + begin + got.String() + end + after
	})
}

// compareDoc compares a page with what it should be, or rewrites it.
func compareDoc(t *testing.T, path string, want func(old string) string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	text := want(string(old))
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(text, string(old)); diff != "" {
		t.Errorf("%s is out of date: run make docs\n%s", path, diff)
	}
}

func writeCommandReference(w *bytes.Buffer, root *cobra.Command) {
	fmt.Fprintf(w, "# Commands\n\nMade from the program's own help by `make docs`.\n\n%s\n", fenced(root.Long))
	fmt.Fprintf(w, "\nEvery command takes:\n\n%s\n", fenced(strings.TrimRight(root.PersistentFlags().FlagUsages(), "\n")))
	for _, c := range root.Commands() {
		writeCommand(w, c, "##")
		for _, sub := range c.Commands() {
			writeCommand(w, sub, "###")
		}
	}
}

func writeCommand(w *bytes.Buffer, c *cobra.Command, heading string) {
	fmt.Fprintf(w, "\n%s %s\n\n%s.\n\n%s\n", heading, c.CommandPath(), c.Short, fenced(c.UseLine()))
	if c.Long != "" {
		fmt.Fprintf(w, "\n%s\n", c.Long)
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\n%s\n", fenced(c.Example))
	}
	if flags := c.LocalFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(w, "\n%s\n", fenced(strings.TrimRight(flags, "\n")))
	}
}

func fenced(text string) string { return "```\n" + text + "\n```" }
