package gate

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed plugin/profjob_gate.py
var plugin embed.FS

// Version is the version of the embedded plugin, as its /hello tells it.
const Version = "1.0.0"

// Plugin is the name under which vLLM knows the gate, for VLLM_PLUGINS.
const Plugin = "profjob_gate"

// The variables of a server's environment that the gate reads.
const (
	SecretEnv = "PROFJOB_GATE_SECRET" // without it the gate does nothing and has no routes
	RootEnv   = "PROFJOB_GATE_ROOT"   // where its files go; absolute; default /tmp/profjob-gate-UID
)

const metadata = `Metadata-Version: 2.1
Name: profjob-gate
Version: ` + Version + `
Summary: Records exactly the engine steps that profjob asks for.
`

const entryPoints = `[vllm.general_plugins]
` + Plugin + ` = ` + Plugin + `:register
`

// Install writes the plugin into dir, which it makes if need be: the module and
// the metadata by which Python finds its entry point. A folder on PYTHONPATH is
// all that vLLM asks for; nothing is installed. Files of an earlier version are
// replaced one by one, each at once, so that a server that is just starting
// reads no half of one. Whoever can write to dir runs code in the server: it is
// made with mode 0755, its files 0644.
func Install(dir string) error {
	module, err := fs.ReadFile(plugin, "plugin/"+Plugin+".py")
	if err != nil {
		return fmt.Errorf("install the gate: %w", err)
	}
	info := filepath.Join(dir, Plugin+"-"+Version+".dist-info")
	if err := os.MkdirAll(info, 0o755); err != nil {
		return fmt.Errorf("install the gate: %w", err)
	}
	if err := removeOthers(dir, info); err != nil {
		return fmt.Errorf("install the gate: %w", err)
	}
	for path, data := range map[string][]byte{
		filepath.Join(info, "METADATA"):         []byte(metadata),
		filepath.Join(info, "entry_points.txt"): []byte(entryPoints),
		filepath.Join(dir, Plugin+".py"):        module,
	} {
		if err := replace(path, data); err != nil {
			return fmt.Errorf("install the gate: %w", err)
		}
	}
	return nil
}

// removeOthers removes the metadata of other versions: with two, vLLM would
// find the entry point twice.
func removeOthers(dir, keep string) error {
	found, err := filepath.Glob(filepath.Join(globQuoted(dir), Plugin+"-*.dist-info"))
	if err != nil {
		return err
	}
	for _, other := range found {
		if filepath.Clean(other) == filepath.Clean(keep) {
			continue
		}
		if err := os.RemoveAll(other); err != nil {
			return err
		}
	}
	return nil
}

func globQuoted(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func replace(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".gate-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is told
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Env gives the variables to set so that a server loads the gate installed in
// dir, an absolute path. set holds what the server's environment has already:
// an existing PYTHONPATH is kept behind dir, and VLLM_PLUGINS, which names the
// only plugins that vLLM may load, is extended where it is set and otherwise
// left alone, since setting it would take away all others. root may be empty:
// the gate then makes a folder of its own under /tmp.
func Env(dir, secret, root string, set map[string]string) (map[string]string, error) {
	switch {
	case secret == "":
		return nil, errors.New("environment of the gate: no secret, without which the gate does nothing")
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("environment of the gate: the secret holds a character that no HTTP header can carry")
	case !filepath.IsAbs(dir):
		return nil, fmt.Errorf("environment of the gate: the folder %s is not absolute", dir)
	case strings.Contains(dir, ":"):
		return nil, fmt.Errorf("environment of the gate: the folder %s has a colon, which separates entries of PYTHONPATH", dir)
	case root != "" && !filepath.IsAbs(root):
		return nil, fmt.Errorf("environment of the gate: the root %s is not absolute", root)
	}
	env := map[string]string{SecretEnv: secret, "PYTHONPATH": joined(dir, set["PYTHONPATH"], ":")}
	if root != "" {
		env[RootEnv] = root
	}
	if plugins, ok := set["VLLM_PLUGINS"]; ok {
		env["VLLM_PLUGINS"] = joined(Plugin, plugins, ",")
	}
	return env, nil
}

// joined puts first in front of a list, once.
func joined(first, list, separator string) string {
	parts := []string{first}
	for _, part := range strings.Split(list, separator) {
		if part != "" && part != first {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, separator)
}
