package steps

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFileName bounds the name of a copy, in bytes: file systems take 255, and
// what is made of it gets longer endings.
const maxFileName = 200

// fileName is the name of the copy of a file that a server has named: the same,
// unless a file system, a manifest or a terminal could not take it. Of a long name
// the end stays, which says what the file is.
func fileName(base string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(base, "_"))
	for len(name) > maxFileName {
		_, first := utf8.DecodeRuneInString(name)
		name = name[max(first, len(name)-maxFileName-utf8.UTFMax):]
	}
	if strings.Trim(name, ".") == "" {
		return "_" + name
	}
	return name
}
