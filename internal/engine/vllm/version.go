package vllm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// versionTimeout bounds `vllm --version`, which imports torch: 10 to 40 s on a cold disk.
	versionTimeout = 60 * time.Second
	// maxVersionOutput bounds what is read of its output, in bytes.
	maxVersionOutput = 256 << 10
)

// FindVersion finds the version of the vLLM that a command would launch in the
// folder dir. It looks for the installed package beside the program and runs
// nothing, unless there is none: then it asks the program itself. env is the
// whole environment that the server will have: the program gets no other.
func FindVersion(ctx context.Context, command []string, env map[string]string, dir string) (string, error) {
	program, isPython := launcher(command)
	if program == "" {
		return "", unknownVersion(command, errors.New("its words name no vllm and no Python that can be looked at"))
	}
	path, err := lookUp(program, env, dir)
	if err != nil {
		return "", unknownVersion(command, err)
	}
	version, err := installedVersion(path, isPython, env, dir)
	if err != nil {
		return "", unknownVersion(command, err)
	}
	if version != "" {
		return version, nil
	}
	version, err = reportedVersion(ctx, path, isPython, env, dir)
	if err != nil {
		return "", unknownVersion(command, err)
	}
	return version, nil
}

func unknownVersion(command []string, err error) error {
	return fmt.Errorf("find the version of vLLM of %q: %w: set version = \"…\" in the target", strings.Join(command, " "), err)
}

var pythonName = regexp.MustCompile(`^python[0-9.]*$`)

// elsewhere are the programs whose arguments name programs of another file
// system or of an environment that they choose themselves.
var elsewhere = []string{"docker", "podman", "nerdctl", "kubectl", "ssh", "singularity", "apptainer",
	"uv", "uvx", "pipx", "poetry", "conda", "mamba", "micromamba", "pixi"}

// launcher is the word of a command that is the vllm program or a Python that
// runs a module, whatever stands before it (env, numactl, nohup).
func launcher(command []string) (program string, isPython bool) {
	for i, word := range command {
		base := filepath.Base(word)
		if base == "vllm" {
			return word, false
		}
		if pythonName.MatchString(base) && slices.ContainsFunc(command[i+1:], func(w string) bool { return strings.HasPrefix(w, "vllm.") || filepath.Base(w) == "vllm" }) {
			return word, true
		}
		if slices.Contains(elsewhere, base) {
			return "", false
		}
	}
	return "", false
}

// lookUp finds a program as a shell in that folder, with that environment, would.
func lookUp(program string, env map[string]string, dir string) (string, error) {
	if strings.ContainsRune(program, filepath.Separator) {
		path := within(dir, program)
		if !executable(path) {
			return "", fmt.Errorf("%s is no program", path)
		}
		return path, nil
	}
	for _, folder := range filepath.SplitList(env["PATH"]) {
		if path := filepath.Join(within(dir, folder), program); executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s in PATH", program)
}

// within is a path as a process in the folder dir takes it; an empty one is the folder.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// installedVersion reads the version of the package that lies beside a program,
// "" if there is none to be seen.
func installedVersion(path string, isPython bool, env map[string]string, dir string) (string, error) {
	for _, folder := range filepath.SplitList(env["PYTHONPATH"]) {
		if version, err := packageIn(within(dir, folder)); version != "" || err != nil {
			return version, err
		}
	}
	programs := []string{path}
	if !isPython {
		if interpreter := shebang(path); interpreter != "" {
			programs = []string{within(dir, interpreter), path} // pipx and the like link to the program from elsewhere
		}
	}
	for _, program := range programs {
		prefix := filepath.Dir(filepath.Dir(program)) // not resolved: in a venv, python is a link out of it
		for _, pattern := range []string{"lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3*/dist-packages", "local/lib/python3*/dist-packages"} {
			dirs, _ := filepath.Glob(filepath.Join(escapeGlob(prefix), pattern)) // the pattern is well formed
			for _, dir := range dirs {
				if version, err := packageIn(dir); version != "" || err != nil {
					return version, err
				}
			}
		}
	}
	return "", nil
}

var globMeta = regexp.MustCompile(`[\\*?\[]`)

func escapeGlob(path string) string { return globMeta.ReplaceAllString(path, `\$0`) }

// packageIn reads the version out of the name of vllm-*.dist-info in a directory.
func packageIn(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil // not a directory of packages
	}
	var versions []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), "vllm-")
		version, info := strings.CutSuffix(rest, ".dist-info")
		if !ok || !info {
			continue
		}
		if _, _, err := parseVersion(version); err == nil {
			versions = append(versions, version)
		}
	}
	if len(versions) > 1 {
		return "", fmt.Errorf("%s holds the metadata of several versions: %s", dir, strings.Join(versions, ", "))
	}
	return strings.Join(versions, ""), nil
}

// shebang is the interpreter of a script, "" if there is none or it is env.
func shebang(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 512))
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	interpreter, ok := strings.CutPrefix(string(line), "#!")
	if !ok {
		return ""
	}
	interpreter, _, _ = strings.Cut(strings.TrimSpace(interpreter), " ")
	if !pythonName.MatchString(filepath.Base(interpreter)) {
		return ""
	}
	return interpreter
}

// metadataScript asks Python for the package's version without importing it.
const metadataScript = `import importlib.metadata; print(importlib.metadata.version("vllm"))`

// reportedVersion runs the program and asks it.
func reportedVersion(ctx context.Context, path string, isPython bool, env map[string]string, dir string) (string, error) {
	args := []string{"--version"}
	if isPython {
		args = []string{"-c", metadataScript}
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = []string{} // nil would be this process's own
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	out := &tail{limit: maxVersionOutput}
	cmd.Stdout = out
	cmd.WaitDelay = 2 * time.Second // a child of it may hold the pipe open
	err := cmd.Run()
	if version := lastVersion(out.bytes()); version != "" && (err == nil || errors.Is(err, exec.ErrWaitDelay)) {
		return version, nil
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("%s %s: no answer within %s", path, args[0], versionTimeout)
	case err != nil:
		return "", fmt.Errorf("%s %s: %w", path, args[0], err)
	}
	return "", fmt.Errorf("%s %s printed no version", path, args[0])
}

// lastVersion is the last line that is a version: log lines may come before it.
func lastVersion(output []byte) string {
	lines := strings.Split(string(output), "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		if _, _, err := parseVersion(line); err == nil && strings.Contains(line, ".") {
			return strings.TrimPrefix(line, "v")
		}
	}
	return ""
}

// tail keeps the last of what is written to it: limit bytes at least, twice as many at most.
type tail struct {
	limit int
	buf   []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte { return t.buf }
