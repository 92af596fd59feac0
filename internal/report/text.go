package report

import (
	"strings"

	"profjob/internal/phrase"
)

// How many characters of a name, its title and a message are shown.
const (
	nameChars    = 90
	titleChars   = 300
	messageChars = 600
)

// clip takes the middle out of what is far too long, before anything looks at its
// characters: names come from files and may have any length.
func clip(text string) string {
	const head, tail = 4096, 1024
	if len(text) <= head+tail {
		return text
	}
	return text[:head] + "…" + text[len(text)-tail:]
}

// name is a name as a cell shows it, and as its title does where that is more.
func name(text string) (shown, title string) {
	text = strings.ReplaceAll(phrase.Printable(clip(text)), "\n", " ")
	shown = phrase.Short(text, nameChars)
	if shown != text {
		title = phrase.Short(text, titleChars)
	}
	return shown, title
}

// message is an error or a warning: its lines stay lines.
func message(text string) string {
	return phrase.Short(strings.TrimSpace(phrase.Printable(clip(text))), messageChars)
}

func messages(texts []string, most int) (shown []string, leftOut int) {
	texts, leftOut = first(texts, most)
	for _, t := range texts {
		shown = append(shown, message(t))
	}
	return shown, leftOut
}

// word is a short text: a version, a status, a host.
func word(text string) string {
	shown, _ := name(text)
	if shown == "" {
		return phrase.Unknown
	}
	return shown
}
