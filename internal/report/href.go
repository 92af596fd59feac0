package report

import (
	"net/url"
	"path"
	"strings"
)

// maxHref bounds a link, in bytes.
const maxHref = 2000

// relative makes a link of a path relative to the page; empty for what is none, such as
// an address with a scheme or a path from the root.
func relative(p string) string {
	if p == "" || len(p) > maxHref || path.IsAbs(p) || strings.ContainsAny(p, "\x00\\") {
		return ""
	}
	parts := strings.Split(path.Clean(p), "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "./" + strings.Join(parts, "/") // a colon in the first part makes no scheme
}
