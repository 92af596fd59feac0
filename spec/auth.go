package spec

import (
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Auth is the block of that name in a target: what its server, or a gateway before
// it, wants to be shown.
type Auth struct {
	Bearer Secret // sent as "Authorization: Bearer …" when not empty
	APIKey Secret // sent in Header when not empty
	Header string // the header of APIKey, default X-API-Key; empty without one
}

// TLS is the block of that name in a target. Paths are absolute or relative to
// Job.Dir, empty where nothing is written. The files are read by whoever speaks to
// the server: a job file means the same whether they are there or not.
type TLS struct {
	CA         string
	Cert, Key  string // both or none
	ServerName string
}

var authSchema = &Block{
	Name: "auth",
	Doc:  "What the server, or a gateway before it, wants to be shown with each request.",
	Arguments: []Argument{
		{Name: "bearer", Type: TypeString, Sensitive: true, Doc: "A token, sent as `Authorization: Bearer …`: what vLLM and SGLang want that were started with `--api-key`."},
		{Name: "api_key", Type: TypeString, Sensitive: true, Doc: "A key in a header of its own, as gateways before servers want it."},
		{Name: "header", Type: TypeString, Default: "X-API-Key", Doc: "The header that carries `api_key`."},
	},
}

var tlsSchema = &Block{
	Name: "tls",
	Doc: "How an `https` server and profjob know each other, where the system's own CAs do not do. The files are read when the server is spoken to, " +
		"so that renewed ones count; the plan has their paths.",
	Arguments: []Argument{
		{Name: "ca", Type: TypePath, Doc: "A PEM file of the CAs to trust, instead of the system's."},
		{Name: "cert", Type: TypePath, Doc: "A PEM file with the client's certificate, and those between it and the server's CA. Together with `key`."},
		{Name: "key", Type: TypePath, Doc: "A PEM file with the certificate's private key, not encrypted. It is read, and never sent, kept or copied."},
		{Name: "server_name", Type: TypeString, Doc: "The name that the server's certificate is for, where it is not the endpoint's host."},
	},
}

// takenHeaders are those that say something else already.
var takenHeaders = []string{"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Expect", "Host",
	"Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "X-Profjob-Gate"}

func decodeAuth(target *body, t *Target) Auth {
	b := target.child("auth")
	a := Auth{Bearer: b.token("auth", "bearer", t), APIKey: b.token("auth", "api_key", t)}
	header := b.str("header")
	switch {
	case b.has("header") && !b.has("api_key"):
		b.fail(b.given["header"], "", "Nothing to send", "header names where api_key is sent, and there is no api_key.")
	case !b.has("api_key"):
	default:
		a.Header = b.headerName(header)
	}
	return a
}

// headerName checks the name of a header that carries a key.
func (b *body) headerName(name string) string {
	if name == "" {
		return "" // it has been reported
	}
	refuse := func(format string, args ...any) string {
		b.fail(b.given["header"], "", "Invalid header", format, args...)
		return ""
	}
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }):
		return refuse("header must be the name of an HTTP header, such as \"X-API-Key\", not %q.", name)
	case canonical == "Authorization" || canonical == "Proxy-Authorization":
		return refuse("%s is for a token: write it as bearer.", canonical)
	case slices.Contains(takenHeaders, canonical):
		return refuse("%s has a meaning of its own and cannot carry a key.", canonical)
	}
	return name
}

func decodeTLS(target *body, t *Target) *TLS {
	block := target.block("tls")
	if block == nil {
		return nil
	}
	b := target.child("tls")
	out := &TLS{CA: b.str("ca"), Cert: b.str("cert"), Key: b.str("key"), ServerName: b.str("server_name")}
	written := slices.ContainsFunc(tlsSchema.argumentNames(), b.has)
	switch {
	case !written && len(block.Body.Attributes) == 0:
		b.report.errorAt(block.DefRange(), "Nothing chosen", "A tls block needs at least one of ca, cert and key, server_name.")
	case b.has("cert") && !b.has("key") && !b.meant["key"]:
		b.fail(b.given["cert"], "", "Missing attribute", "cert goes together with key, the file of its private key.")
	case b.has("key") && !b.has("cert") && !b.meant["cert"]:
		b.fail(b.given["key"], "", "Missing attribute", "key goes together with cert, the file of its certificate.")
	}
	target.needHTTPS(t, block.DefRange())
	return out
}

// needHTTPS refuses endpoints that a tls block says nothing about, and to which all
// would be sent in the open.
func (b *body) needHTTPS(t *Target, at hcl.Range) {
	for _, e := range t.Endpoints {
		if strings.HasPrefix(e, "http://") {
			b.report.errorAt(at, "No TLS", "The endpoint %s is spoken to without TLS: write https:// where it has TLS, and leave this block out where it has none.", e)
			return
		}
	}
	if len(t.Endpoints) == 0 && !b.meant["endpoints"] && !b.has("endpoints") {
		b.report.errorAt(at, "No TLS", "A server that profjob starts by itself is spoken to without TLS: leave this block out.")
	}
}
