// Package setupfmt writes what a server's launch needs in the form of the thing
// that launches it. It knows quoting, and nothing of servers.
package setupfmt

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"profjob/internal/engine"
)

// Format is the form of a launch.
type Format string

// The formats.
const (
	Shell      Format = "shell"      // exports and an array, for bash and zsh
	Docker     Format = "docker"     // the words of a docker run
	Kubernetes Format = "kubernetes" // env and args of a container, in YAML
	Systemd    Format = "systemd"    // a drop-in with Environment= lines
	JSON       Format = "json"
)

// Formats lists the formats, the default first.
func Formats() []Format { return []Format{Shell, Docker, Kubernetes, Systemd, JSON} }

// Write writes a setup to w. Lines that are for people are comments in the
// format's own syntax; JSON has them as "notes". Names of variables are refused
// that a shell would not take, and so are values that not every format can carry:
// those with a NUL byte, and those that are no UTF-8.
func Write(w io.Writer, format Format, s engine.Setup) error {
	if err := check(s); err != nil {
		return fmt.Errorf("write the setup as %s: %w", format, err)
	}
	var text string
	switch format {
	case Shell:
		text = shell(s)
	case Docker:
		text = docker(s)
	case Kubernetes:
		text = kubernetes(s)
	case Systemd:
		text = systemd(s)
	case JSON:
		text = asJSON(s)
	default:
		return fmt.Errorf("write the setup: no format %q: there are %v", format, Formats())
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write the setup as %s: %w", format, err)
	}
	return nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func check(s engine.Setup) error {
	for _, name := range names(s) {
		if !variableName.MatchString(name) {
			return fmt.Errorf("%q is no name of an environment variable", name)
		}
		if !writable(s.Env[name]) {
			return fmt.Errorf("the value %q of %s is no UTF-8 text or has a NUL byte", s.Env[name], name)
		}
	}
	for _, arg := range s.Args {
		if !writable(arg) {
			return fmt.Errorf("the argument %q is no UTF-8 text or has a NUL byte", arg)
		}
	}
	return nil
}

func writable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

func names(s engine.Setup) []string { return slices.Sorted(maps.Keys(s.Env)) }

// comments writes the notes, one a line.
func comments(b *strings.Builder, s engine.Setup) {
	for _, note := range s.Notes {
		fmt.Fprintf(b, "# %s\n", strings.Join(strings.Fields(note), " "))
	}
	if len(s.Env) == 0 && len(s.Args) == 0 {
		b.WriteString("# nothing has to be set\n")
	}
}

// asJSON is an object with all keys, whatever is empty.
func asJSON(s engine.Setup) string {
	out := struct {
		Dialect string            `json:"dialect"`
		Env     map[string]string `json:"env"`
		Args    []string          `json:"args"`
		Notes   []string          `json:"notes"`
	}{s.Dialect, s.Env, s.Args, s.Notes}
	if out.Env == nil {
		out.Env = map[string]string{}
	}
	if out.Args == nil {
		out.Args = []string{}
	}
	if out.Notes == nil {
		out.Notes = []string{}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(out) // strings only: nothing that JSON cannot hold
	return b.String()
}
