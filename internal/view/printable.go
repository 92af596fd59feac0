package view

import (
	"regexp"
	"strings"

	"profjob/internal/phrase"
)

// Printable is [phrase.Printable].
func Printable(text string) string { return phrase.Printable(text) }

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
