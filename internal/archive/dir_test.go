package archive

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCreate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "there", "yet")
	d, err := Create(root, `decode["b64"]`, runA)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(root, JobDir(`decode["b64"]`), runA)
	if d.Path() != want+".partial" || d.Final() != want {
		t.Errorf("path %s, final %s, want %s[.partial]", d.Path(), d.Final(), want)
	}
	for _, dir := range []string{root, filepath.Dir(want), d.Path()} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, want a directory with 0700", dir, info.Mode())
		}
	}
	if got, want := d.Join("a", "b"), filepath.Join(want+".partial", "a", "b"); got != want {
		t.Errorf("Join gives %s, want %s", got, want)
	}
}

func TestCreateFails(t *testing.T) {
	root := t.TempDir()
	sealedRun(t, root, "sealed", runA)
	packedRun(t, root, "packed", runA)
	newRun(t, root, "partial", runA)
	file := filepath.Join(root, "file")
	mustDo(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct{ name, root, job, runID, want string }{
		{"relative root", "runs", "job", runA, `"runs" is not absolute`},
		{"no run id", root, "job", "../" + runA, `"../` + runA + `" is no run id`},
		{"sealed already", root, "sealed", runA, "exists already"},
		{"packed already", root, "packed", runA, ".tar.zst exists already"},
		{"going on", root, "partial", runA, "file exists"},
		{"root is a file", file, "job", runA, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Create(c.root, c.job, c.runID)
			wantError(t, err, "create run directory: ", c.want)
		})
	}
}

func TestWriteFile(t *testing.T) {
	d := newRun(t, t.TempDir(), "job", runA)
	for range 2 { // an older one is replaced
		if err := d.WriteFile("a/b/c.txt", []byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(d.Join("a", "b", "c.txt"))
	if err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(d.Join("a", "b", "c.txt")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if got := tree(t, d.Join("a")); !slices.Equal(got, []string{"b/c.txt"}) {
		t.Errorf("there are %q", got)
	}
	for _, rel := range []string{"../x", "/x", "a/../../x", ""} {
		wantError(t, d.WriteFile(rel, nil), "leaves the run")
	}
	if _, err := d.MkdirAll("..", "x"); err == nil {
		t.Error("a directory outside the run was made")
	}
	wantError(t, d.WriteFile("plan.json/x", nil), "write plan.json/x: ", "not a directory")
}
