// Package access is what a server, or a gateway before it, wants to be shown with
// each request, and how the two know each other: a bearer token, keys in headers,
// and TLS with a CA and a client certificate of one's own.
//
// It holds values that nobody may see: an Access is printed without them. It knows
// no kind of server and sends nothing.
package access

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Access is how one server is spoken to. The zero value is a server that wants
// nothing. Its JSON form holds the secrets: it is for a pipe between two processes,
// and never for a file. It is not changed once it is in use.
type Access struct {
	Bearer string `json:"bearer,omitempty"` // sent as "Authorization: Bearer …"
	Keys   []Key  `json:"keys,omitempty"`
	TLS    TLS    `json:"tls,omitzero"`
}

// Key is a secret in a header of its own.
type Key struct {
	Header string `json:"header"`
	Value  string `json:"value"`
}

// Check tells of what no HTTP header can carry. It does not repeat it.
func (a Access) Check() error {
	unfit := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
	}
	if unfit(a.Bearer) {
		return fmt.Errorf("the bearer token holds a character that no HTTP header can carry")
	}
	for _, k := range a.Keys {
		switch {
		case k.Header == "" || unfit(k.Header) || strings.ContainsAny(k.Header, `"(),/:;<=>?@[\]{}`):
			return fmt.Errorf("%q is no name of an HTTP header", k.Header)
		case unfit(k.Value):
			return fmt.Errorf("the key for the header %s holds a character that no HTTP header can carry", k.Header)
		}
	}
	return nil
}

// Show puts into a request's headers what the server wants to be shown.
func (a Access) Show(h http.Header) {
	if a.Bearer != "" {
		h.Set("Authorization", "Bearer "+a.Bearer)
	}
	for _, k := range a.Keys {
		h.Set(k.Header, k.Value)
	}
}

// With is the same access with one more key; one of the same header is replaced.
func (a Access) With(k Key) Access {
	same := func(other Key) bool {
		return textproto.CanonicalMIMEHeaderKey(other.Header) == textproto.CanonicalMIMEHeaderKey(k.Header)
	}
	a.Keys = append(slices.DeleteFunc(slices.Clone(a.Keys), same), k)
	return a
}

// Same tells whether two servers can be spoken to in the same way.
func (a Access) Same(b Access) bool {
	return a.Bearer == b.Bearer && a.TLS == b.TLS && slices.Equal(a.Keys, b.Keys)
}

// Secrets are the values that must not be seen, the longest first, so that one that
// is part of another leaves nothing of that behind.
func (a Access) Secrets() []string {
	var all []string
	for _, s := range append([]string{a.Bearer}, a.values()...) {
		if s != "" {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(x, y string) int { return len(y) - len(x) })
	return all
}

func (a Access) values() []string {
	var all []string
	for _, k := range a.Keys {
		all = append(all, k.Value)
	}
	return all
}

// Redact takes the secrets out of a text: a server may repeat what it was sent.
func (a Access) Redact(text string) string {
	for _, s := range a.Secrets() {
		text = strings.ReplaceAll(text, s, "[…]")
	}
	return text
}

// String says what there is, and nothing of the secrets.
func (a Access) String() string {
	var parts []string
	if a.Bearer != "" {
		parts = append(parts, "a bearer token")
	}
	for _, k := range a.Keys {
		parts = append(parts, "a key in "+k.Header)
	}
	if a.TLS != (TLS{}) {
		parts = append(parts, "TLS of its own")
	}
	return "access by [" + strings.Join(parts, ", ") + "]"
}

// GoString is String: %#v shows no secret either.
func (a Access) GoString() string { return a.String() }

// String says where the key goes.
func (k Key) String() string { return "a key in " + k.Header }

// GoString is String.
func (k Key) GoString() string { return k.String() }
