package proc

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// lookUp finds the program of a command as a shell with that environment and
// directory would: exec.LookPath asks the PATH of this process instead, and a job
// file that sets PATH to a virtual environment means the program in there.
func lookUp(name string, env []string, dir string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return name, nil // exec takes a relative one from cmd.Dir
	}
	path := ""
	for _, assignment := range env {
		if value, ok := strings.CutPrefix(assignment, "PATH="); ok {
			path = value
		}
	}
	for _, folder := range filepath.SplitList(path) {
		if folder == "" {
			folder = "."
		}
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		candidate, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			return "", err
		}
		if found, err := exec.LookPath(candidate); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("there is no program %q in PATH (%s)", name, path)
}
