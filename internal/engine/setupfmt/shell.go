package setupfmt

import (
	"fmt"
	"regexp"
	"strings"

	"profjob/internal/engine"
)

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// Quote makes one word of a POSIX shell of a text.
func Quote(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// shell can be given to eval: the arguments come as an array.
func shell(s engine.Setup) string {
	var b strings.Builder
	comments(&b, s)
	for _, name := range names(s) {
		fmt.Fprintf(&b, "export %s=%s\n", name, Quote(s.Env[name]))
	}
	if len(s.Args) > 0 {
		fmt.Fprintf(&b, "# append to the server's command, here or as \"${profiler_args[@]}\":\nprofiler_args=(%s)\n", quoteAll(s.Args))
	}
	return b.String()
}

func docker(s engine.Setup) string {
	var b strings.Builder
	comments(&b, s)
	b.WriteString("docker run \\\n")
	for _, name := range names(s) {
		fmt.Fprintf(&b, "  -e %s \\\n", Quote(name+"="+s.Env[name]))
	}
	b.WriteString("  IMAGE")
	if len(s.Args) > 0 {
		fmt.Fprintf(&b, " \\\n  %s", quoteAll(s.Args))
	}
	b.WriteString("\n")
	return b.String()
}
