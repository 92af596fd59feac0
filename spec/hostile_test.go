package spec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostileJob is a job file with a place for more locals.
func hostileJob(locals string) string {
	return `target "vllm" "s" {
  endpoints = ["http://127.0.0.1:8000"]
  trace_dir = "/x"
}
job "j" {
  targets = [target.vllm.s]
  window {
    steps {
      count = 5
    }
  }
}
locals {
` + locals + "\n}\n"
}

// TestHostileFiles: what stands in a file's place is refused at once, by name.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"pipe without a writer", fifo, "a pipe that nobody writes to"},
		{"directory", dir, "is a directory"},
		{"endless", "/dev/zero", "larger than"},
		{"missing", filepath.Join(dir, "none"), "There is no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, diags := LoadFile(t.Context(), c.path, testCatalog, Inputs{})
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("job file: got %v, want %q", err, c.want)
			}
			job := []byte(hostileJob(`x = file("` + c.path + `")`))
			want := strings.NewReplacer("There is no", "no such file").Replace(c.want)
			_, diags = LoadBytes(t.Context(), "job.hcl", job, testCatalog, Inputs{})
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("file(): got %v, want %q", err, want)
			}
			_, diags = LoadBytes(t.Context(), "job.hcl", []byte(hostileJob("")), testCatalog, Inputs{VarFiles: []string{c.path}})
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("file of variables: got %v, want %q", err, c.want)
			}
		})
	}
}

// TestPipes: what is written to a pipe is a job file, and who does not go on
// writing is waited for until the context ends.
func TestPipes(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	w, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString(hostileJob("")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, diags := LoadFile(ctx, fifo, testCatalog, Inputs{}); !strings.Contains(diags.Error(), "Loading was stopped") {
		t.Errorf("while it is open: %v", diags)
	}
	// More than a pipe holds, so that the writer's end is closed only after the
	// reader's was opened: what is left in a pipe that nobody has open is lost.
	job := hostileJob("") + "\n" + strings.Repeat("# filling\n", 20_000)
	go func() {
		_, _ = w.WriteString(job)
		_ = w.Close()
	}()
	if _, diags := LoadFile(t.Context(), fifo, testCatalog, Inputs{}); diags.HasErrors() {
		t.Errorf("a whole job file: %v", diags)
	}
}

// TestBombs: small files that make much of little end in a message, with little memory.
func TestBombs(t *testing.T) {
	const kilobyte = `k = join("", [for i in range(1000) : "a"])` + "\n"
	for _, c := range []struct{ name, locals, want string }{
		{"nested for", `x = [for a in range(1024) : [for b in range(1024) : [for c in range(1024) : "x"]]]`, "more than 100000 elements"},
		{"nested for, without functions", `x = [for a in [` + strings.Repeat("1,", 1000) + `] : [for b in [` + strings.Repeat("1,", 1000) + `] : 1]]`, "more than 100000 elements"},
		{"for in a template", `x = "%{for a in range(1000)}%{for b in range(1000)}x%{endfor}%{endfor}"`, "more than 100000 elements"},
		{"setproduct", `x = length(setproduct(range(1000), range(1000), range(1000)))`, "setproduct"},
		{"template", kilobyte + "l = \"" + strings.Repeat("${local.k}", 1000) + "\"\nx = length([for i in range(1000) : \"${local.l}a\"])", "more than 64MiB"},
		{"template without for", kilobyte + "l = \"" + strings.Repeat("${local.k}", 1000) + "\"\nx = length(\"" + strings.Repeat("${local.l}", 1000) + "\")", "more than 64MiB"},
		{"format", kilobyte + "l = \"" + strings.Repeat("${local.k}", 1000) + "\"\nx = length(format(\"" + strings.Repeat("%[1]s", 1000) + "\", local.l))", "format"},
		{"formatlist", kilobyte + `x = length(formatlist("` + strings.Repeat("%[1]s", 1000) + `", [for i in range(1000) : local.k]))`, "formatlist"},
		{"join", kilobyte + "l = \"" + strings.Repeat("${local.k}", 1000) + "\"\nx = length(join(local.l, range(1000)))", "join"},
		{"replace", kilobyte + "l = \"" + strings.Repeat("${local.k}", 1000) + "\"\nx = length(replace(local.l, \"a\", local.l))", "replace"},
		{"replace by a pattern", kilobyte + "l = \"" + strings.Repeat("${local.k}", 1000) + "\"\nx = length(regexreplace(local.l, \"a\", local.l))", "regexreplace"},
		{"indent", kilobyte + `x = length(indent(1000000000, "a\nb"))`, "indent"},
		{"doubling", kilobyte + "l0 = local.k\n" + chain(40, "l%[2]d = [local.l%[1]d, local.l%[1]d]"), "larger than 4MiB"},
		{"deep JSON", kilobyte + `x = jsondecode(replace(join("", [for i in range(1000) : local.k]), "a", "["))`, "nested more than 200 levels"},
		{"large number", "a0 = 1e999\n" + chain(22, "a%[2]d = local.a%[1]d * local.a%[1]d") + `x = "${local.a22}"`, "larger than 4MiB"},
		{"swallowed by try", `x = [for a in range(1000) : try([for b in range(1024) : b], 1)]` + "\n" + `y = [for b in range(10) : b]`, "more than 100000 elements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, diags := LoadBytes(t.Context(), "job.hcl", []byte(hostileJob(c.locals)), testCatalog, Inputs{})
			runtime.ReadMemStats(&after)
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.300v, want %q", err, c.want)
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 512<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
			t.Logf("%v, heap +%d MiB", time.Since(began).Round(time.Millisecond), (int64(after.HeapSys)-int64(before.HeapSys))>>20)
		})
	}
}

// chain makes n locals, each of the one before: %[1]d is the number of that one, %[2]d its own.
func chain(n int, line string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, line+"\n", i, i+1)
	}
	return b.String()
}
