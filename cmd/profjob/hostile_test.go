package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
)

// TestNothingForTheTerminal: names, files and servers that carry terminal sequences
// are shown without them, whatever the command.
func TestNothingForTheTerminal(t *testing.T) {
	const red = "\x1b[31m\u009b31m\u202ered"
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PROFJOB_STATE_DIR", dir)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", red)
		switch r.URL.Path {
		case "/version":
			fmt.Fprintf(w, `{"version":"0.11.0\u001b[31mred"}`)
		case "/v1/models":
			fmt.Fprintf(w, `{"data":[{"id":"m\u001b[31mred\u202e","owned_by":"vllm"}]}`)
		default:
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, red)
		}
	}))
	defer s.Close()
	job := func(trouble string) string {
		return `target "vllm" "s" {
  endpoints = ["` + s.URL + `"]
  trace_dir = "/nowhere/` + `\u001b[31mred` + `"
}
job "j" {
  targets = [target.vllm.s]
  window {
    manual { duration = "1s" }
  }
` + trouble + "}\n"
	}
	for name, text := range map[string]string{
		red + ".hcl": job("  " + red + " = 1\n"), "red.hcl": job("  # " + red + "\n  repeat = \"" + red + "\"\n"), "good.hcl": job(""),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"validate", red}, {"validate", red + ".hcl"}, {"validate", "red.hcl"}, {"fmt", "--check", red + ".hcl"}, {"plan", red},
		{"plan", "good.hcl"}, {"probe", s.URL}, {"probe", "good.hcl"}, {"run", "good.hcl"}, {"run", "good.hcl", "--job", red},
		{"show", red}, {"runs", "--archive", red}, {"resume", red}, {"stop", red}, {"stop", "good.hcl"}, {"open", red, "--no-browser"}, {red}, {"run", "--" + red},
	} {
		var out, problems bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &problems, args: args}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		code := a.run(ctx)
		cancel()
		said := out.String() + problems.String()
		if i := strings.IndexFunc(said, func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
		}); i >= 0 {
			t.Errorf("%q: %q", args, said[max(0, i-60):min(len(said), i+30)])
		}
		t.Logf("%q: exit %d, %d bytes", args, code, len(said))
	}
}

// TestPipesInAFilesPlace: no command waits for a pipe that nobody writes to.
func TestPipesInAFilesPlace(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PROFJOB_STATE_DIR", dir)
	fifo := filepath.Join(dir, "pipe")
	run := filepath.Join(dir, "runs", "j", "20261124T031500Z-1f3c9a")
	err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.MkdirAll(run, 0o700), os.MkdirAll(run[:len(run)-1]+"b.partial", 0o700),
		syscall.Mkfifo(filepath.Join(run, "manifest.json"), 0o600), syscall.Mkfifo(filepath.Join(run[:len(run)-1]+"b.partial", "plan.json"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "runs")
	for _, args := range [][]string{
		{"validate", fifo}, {"fmt", fifo}, {"run", fifo}, {"plan", fifo}, {"stop", fifo}, {"open", fifo, "--no-browser", "--port", "0"},
		{"runs", "--archive", archive}, {"show", "--archive", archive}, {"resume", run[:len(run)-1] + "b.partial"},
	} {
		done := make(chan string, 1)
		go func() {
			var out bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out, args: args}
			code := a.run(t.Context())
			done <- fmt.Sprintf("exit %d: %s", code, out.String())
		}()
		select {
		case said := <-done:
			if !strings.Contains(said, "pipe") && !strings.Contains(said, "not a regular file") {
				t.Errorf("%q: %s", args, said)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%q waits", args)
		}
	}
}
