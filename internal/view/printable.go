package view

import (
	"regexp"
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

// colour is a sequence that changes how the text after it looks, and nothing else.
var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// PrintableInColour is Printable for a text whose colours stay.
func PrintableInColour(text string) string {
	var b strings.Builder
	done := 0
	for _, at := range colour.FindAllStringIndex(text, -1) {
		b.WriteString(Printable(text[done:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		done = at[1]
	}
	b.WriteString(Printable(text[done:]))
	return b.String()
}
