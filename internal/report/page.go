// Package report writes what a run or some traces say as one HTML page: self-contained,
// without network, readable on a laptop, in the dark, on paper, and without a mouse.
//
// It knows manifests and analyses, and nothing of how either came to be.
package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"profjob/internal/analysis"
	"profjob/internal/archive"
	"profjob/internal/load"
)

// Page is what a report is made of.
type Page struct {
	Title string
	// Run is the manifest of the run that is reported; nil for traces outside of one.
	// Its files and its end may be missing still.
	Run  *archive.Manifest
	Load []Load
	Sets []analysis.Set
}

// Load is what a round's load met.
type Load struct {
	Round, Attempt int
	Summary        load.Summary
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed style.css
	styleCSS string
	//go:embed script.js
	scriptJS string
)

// source is the hash by which a page's policy allows a text of its own, and no other.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write writes the page. The same page gives the same bytes.
func Write(w io.Writer, p Page) error {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := t.Execute(w, modelOf(p)); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
