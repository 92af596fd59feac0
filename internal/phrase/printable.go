package phrase

import (
	"strings"
	"unicode"
)

// Printable takes out of a text what would do something to a terminal instead of
// being shown there: errors, versions and names come from servers and files. Lines
// stay lines; a tab becomes a space.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(text, string(unicode.ReplacementChar)), "\r\n", "\n"))
}
