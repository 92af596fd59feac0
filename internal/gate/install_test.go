package gate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]", "gate")
	old := filepath.Join(dir, "profjob_gate-0.9.0.dist-info")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Install(dir); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			rel, _ := filepath.Rel(dir, path) // it is below dir
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"profjob_gate-1.0.0.dist-info/METADATA", "profjob_gate-1.0.0.dist-info/entry_points.txt", "profjob_gate.py"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	t.Run("Python finds it", func(t *testing.T) { found(t, dir) })
}

// found checks what vLLM does: one entry point of the group, which loads.
func found(t *testing.T, dir string) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	const script = `
from importlib.metadata import entry_points
group = "vllm.general_plugins"
points = entry_points()
found = points.select(group=group) if hasattr(points, "select") else points[group]
point, = found
module = __import__(point.value.split(":")[0])
point.load()()
print(point.name, module.VERSION, module.PROTOCOL, module.loaded)`
	cmd := exec.CommandContext(t.Context(), python, "-B", "-c", script)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+dir, SecretEnv+"=s")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := Plugin + " " + Version + " 1 True\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestInstallFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Install(file); err == nil || !strings.Contains(err.Error(), "install the gate") {
		t.Errorf("got %v", err)
	}
}

func TestEnv(t *testing.T) {
	for _, c := range []struct {
		name, dir, secret, root string
		set, want               map[string]string
		err                     string
	}{
		{"plain", "/g", "s", "", nil, map[string]string{"PYTHONPATH": "/g", SecretEnv: "s"}, ""},
		{"root", "/g", "s", "/r", nil, map[string]string{"PYTHONPATH": "/g", SecretEnv: "s", RootEnv: "/r"}, ""},
		{"kept", "/g", "s", "", map[string]string{"PYTHONPATH": "/a:/g:/b", "VLLM_PLUGINS": "x,profjob_gate,y"},
			map[string]string{"PYTHONPATH": "/g:/a:/b", SecretEnv: "s", "VLLM_PLUGINS": "profjob_gate,x,y"}, ""},
		{"no plugin was allowed", "/g", "s", "", map[string]string{"VLLM_PLUGINS": ""},
			map[string]string{"PYTHONPATH": "/g", SecretEnv: "s", "VLLM_PLUGINS": "profjob_gate"}, ""},
		{"no secret", "/g", "", "", nil, nil, "no secret"},
		{"secret", "/g", "a b", "", nil, nil, "no HTTP header"},
		{"folder", "g", "s", "", nil, nil, "not absolute"},
		{"colon", "/g:h", "s", "", nil, nil, "colon"},
		{"relative root", "/g", "s", "r", nil, nil, "not absolute"},
	} {
		got, err := Env(c.dir, c.secret, c.root, c.set)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want an error with %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
