package report

import (
	"crypto/sha256"
	_ "embed" // the style, the script and the layout
	"encoding/base64"
	"html/template"
)

//go:embed page.css
var style string

//go:embed page.js
var script string

//go:embed page.tmpl
var layoutText string

var layout = template.Must(template.New("page").Parse(layoutText))

// assets are the style and the script of every page.
type assets struct {
	Style  template.CSS
	Script template.JS
}

var page = assets{template.CSS(style), template.JS(script)}

// policy lets a page have its own style and script and nothing else: whatever a name
// from a trace might smuggle in is not carried out.
func (a assets) policy() string {
	return "default-src 'none'; style-src " + source(string(a.Style)) + "; script-src " + source(string(a.Script)) + "; base-uri 'none'; form-action 'none'"
}

func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
