package setupfmt

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

const config = `{"profiler":"torch","torch_profiler_dir":"/var/tmp/profiles","ignore_frontend":true}`

// nasty holds what each format has to quote.
const nasty = "it's \"100%\" $HOME $(id) `id` \\n !x é;\tend"

var setups = map[string]engine.Setup{
	"environment": {
		Dialect: "environment",
		Env:     map[string]string{"VLLM_TORCH_PROFILER_DIR": "/var/tmp/my profiles", "VLLM_TORCH_PROFILER_WITH_STACK": "0"},
		Notes:   []string{"left as it is set:\n X=1"},
	},
	"arguments": {Dialect: "config", Args: []string{"--profiler-config", config}},
	"nasty":     {Dialect: "both", Env: map[string]string{"A": nasty, "B": ""}, Args: []string{"--x=" + nasty, ""}},
	"nothing":   {Dialect: "config", Notes: []string{"left as it is set"}},
}

func write(t *testing.T, format Format, s engine.Setup) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, s := range setups {
		for _, format := range Formats() {
			path := filepath.Join("testdata", name+"."+string(format))
			got := write(t, format, s)
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (run with -update to write it anew), got:\n%s", path, got)
			}
		}
	}
}

// words is a script that prints its arguments, each ended by a NUL byte.
const words = `printf '%s\0' "$@"`

// TestShellRuns gives what is written to a real shell.
func TestShellRuns(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	for name, s := range setups {
		script := write(t, Shell, s) + "\nset -- \"${profiler_args[@]}\" \"A=$A\" \"$VLLM_TORCH_PROFILER_DIR\"\n" + words
		out, err := exec.Command(bash, "--norc", "-c", script).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		want := append(slices.Clone(s.Args), "A="+s.Env["A"], s.Env["VLLM_TORCH_PROFILER_DIR"])
		if !slices.Equal(got, want) {
			t.Errorf("%s: a shell makes %q of it, want %q", name, got, want)
		}
	}
}

// TestDockerRuns has a real shell call a function in docker's place.
func TestDockerRuns(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	s := setups["nasty"]
	out, err := exec.Command(bash, "--norc", "-c", "docker() { "+words+"; }\n"+write(t, Docker, s)).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	want := []string{"run", "-e", "A=" + nasty, "-e", "B=", "IMAGE", "--x=" + nasty, ""}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSON(t *testing.T) {
	var got struct {
		Dialect string
		Env     map[string]string
		Args    []string
		Notes   []string
	}
	if err := json.Unmarshal([]byte(write(t, JSON, setups["nasty"])), &got); err != nil {
		t.Fatal(err)
	}
	if got.Env["A"] != nasty || got.Args[0] != "--x="+nasty || got.Notes == nil || got.Dialect != "both" {
		t.Errorf("got %+v", got)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		setup engine.Setup
		err   string
	}{
		{engine.Setup{Env: map[string]string{"A B": "1"}}, "no name of an environment variable"},
		{engine.Setup{Env: map[string]string{"A=1; rm": "1"}}, "no name"},
		{engine.Setup{Env: map[string]string{"A": "x\x00y"}}, "NUL"},
		{engine.Setup{Args: []string{"x\x00y"}}, "NUL"},
		{engine.Setup{Args: []string{"x\xffy"}}, "UTF-8"},
	} {
		for _, format := range Formats() {
			var b bytes.Buffer
			if err := Write(&b, format, c.setup); err == nil || !strings.Contains(err.Error(), c.err) || b.Len() != 0 {
				t.Errorf("%s, %+v: got %v, want an error with %q", format, c.setup, err, c.err)
			}
		}
	}
	if err := Write(&bytes.Buffer{}, "toml", engine.Setup{}); err == nil || !strings.Contains(err.Error(), "shell") {
		t.Errorf("an unknown format: got %v", err)
	}
	if err := Write(full{}, Shell, engine.Setup{}); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: got %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
