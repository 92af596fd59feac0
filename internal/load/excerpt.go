package load

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMessage is the most bytes of a server's text that an error repeats.
const maxMessage = 400

// clip shortens a text to what an error may repeat, on one line.
func clip(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " ")
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// excerpt quotes the beginning of what is no message.
func excerpt(data []byte) string {
	if len(data) > 4*maxMessage {
		data = data[:4*maxMessage]
	}
	return strconv.Quote(clip(string(data)))
}
