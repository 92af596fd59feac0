package exchange

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"profjob/internal/engine"
)

// maxLine bounds what an error repeats of a server's words, in characters.
const maxLine = 300

// StatusError is the answer as an error that stands for err, which may be nil.
func (a *Answer) StatusError(err error) *engine.StatusError {
	return &engine.StatusError{Op: a.Op, URL: a.URL, Code: a.Status, Body: a.Said(), Err: err}
}

// Said is the beginning of what the server said, one printable line of valid
// UTF-8 of at most 300 characters, without the secrets that it was sent.
func (a *Answer) Said() string {
	said := Line(a.Body, a.secrets...)
	if a.Status < 300 || a.Status >= 400 {
		return said
	}
	return strings.TrimSpace(Line([]byte("redirects to "+a.Header.Get("Location")+" (not followed)"), a.secrets...) + " " + said)
}

// JSON decodes the body of the answer.
func (a *Answer) JSON(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("%s: %s answered %d with what is not the JSON expected (%w): %s", a.Op, a.URL, a.Status, err, a.Said())
	}
	return nil
}

// Server is what the answer's Server header says, for people; "" if it says nothing.
func (a *Answer) Server() string { return Line([]byte(a.Header.Get("Server")), a.secrets...) }

// Line makes one printable line of at most 300 characters of valid UTF-8 of a
// text that comes from outside, with every occurrence of the secrets left out.
func Line(text []byte, secrets ...string) string {
	const window = 4 * maxLine * utf8.UTFMax // enough for a line even if much of it is white space
	longest := 0
	for _, secret := range secrets {
		longest = max(longest, len(secret))
	}
	s := string(text[:min(len(text), window+longest)])
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[…]")
		}
	}
	if len(text) > window+longest { // a part of one may stand where the text was cut
		s = s[:max(0, len(s)-longest)]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if r != utf8.RuneError && !unicode.IsPrint(r) {
			return ' ' // escape sequences for terminals, for one
		}
		return r // Map turns invalid bytes into U+FFFD
	}, s)
	return clip(strings.Join(strings.Fields(s), " "))
}

func clip(s string) string {
	if utf8.RuneCountInString(s) <= maxLine {
		return s
	}
	return string([]rune(s)[:maxLine-1]) + "…"
}
