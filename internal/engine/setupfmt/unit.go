package setupfmt

import (
	"fmt"
	"strings"

	"profjob/internal/engine"
)

// systemd is a drop-in for the server's unit. ExecStart= cannot be appended to
// from there, so the arguments are a comment.
func systemd(s engine.Setup) string {
	var b strings.Builder
	comments(&b, s)
	if len(s.Env) > 0 {
		b.WriteString("[Service]\n")
	}
	for _, name := range names(s) {
		fmt.Fprintf(&b, "Environment=%s\n", systemdQuote(name+"="+s.Env[name]))
	}
	if len(s.Args) > 0 {
		words := make([]string, len(s.Args))
		for i, arg := range s.Args {
			words[i] = arg
			if !plainWord.MatchString(arg) || strings.Contains(arg, "%") {
				// Only ExecStart= puts variables in.
				words[i] = strings.ReplaceAll(systemdQuote(arg), "$", "$$")
			}
		}
		fmt.Fprintf(&b, "# append to the command of ExecStart=:\n#   %s\n", strings.Join(words, " "))
	}
	return b.String()
}

// systemdQuote makes one quoted word (systemd.syntax(7)); % starts a specifier (systemd.unit(5)).
func systemdQuote(text string) string {
	r := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`, "\r", `\r`, "\t", `\t`)
	return `"` + r.Replace(text) + `"`
}

// kubernetes is the part of a container's specification that changes.
func kubernetes(s engine.Setup) string {
	var b strings.Builder
	comments(&b, s)
	if len(s.Env) > 0 {
		b.WriteString("env:\n")
	}
	for _, name := range names(s) {
		fmt.Fprintf(&b, "  - name: %s\n    value: %s\n", name, yamlQuote(s.Env[name]))
	}
	if len(s.Args) > 0 {
		b.WriteString("args: # append these\n")
	}
	for _, arg := range s.Args {
		fmt.Fprintf(&b, "  - %s\n", yamlQuote(arg))
	}
	return b.String()
}

// yamlQuote makes a YAML scalar of a text. Kubernetes replaces $(NAME) in it and
// takes $$ for $. Single quotes keep JSON readable; what they cannot hold goes into double ones.
func yamlQuote(text string) string {
	text = strings.ReplaceAll(text, "$", "$$")
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 }) {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
