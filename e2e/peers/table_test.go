//go:build e2e

package peers

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// row is what one tool says of one file.
type row struct {
	file, tool string
	figures    *figures // nil without device work
	why        []string // the figures are not profjob's
}

// markdown is the table of docs/.
func markdown(rows []row) string {
	var b strings.Builder
	b.WriteString("| trace | tool | events | sum of durations | span | idle | computation | communication | copies | why |\n")
	b.WriteString("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --- |\n")
	file := ""
	for _, r := range rows {
		shown := r.file
		if r.file == file {
			shown = ""
		}
		file = r.file
		fmt.Fprintf(&b, "| %s | %s |", shown, r.tool)
		if r.figures == nil {
			b.WriteString(strings.Repeat(" |", 7))
		} else {
			if r.figures.events < 0 {
				b.WriteString(" |")
			} else {
				fmt.Fprintf(&b, " %d |", r.figures.events)
			}
			for _, f := range r.figures.named() {
				if math.IsNaN(f.us) {
					b.WriteString(" |")
				} else {
					fmt.Fprintf(&b, " %.1f |", f.us)
				}
			}
		}
		fmt.Fprintf(&b, " %s |\n", strings.Join(r.why, "; "))
	}
	return b.String()
}

// section is what a target of make writes into a file of docs/.
type section struct {
	doc, before, text, after string
}

// findSection finds the section of a target, which stands between two comments.
func findSection(t *testing.T, target string) section {
	t.Helper()
	begin, end := "<!-- make "+target+" writes this -->\n", "<!-- end of make "+target+" -->\n"
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := strings.Cut(string(data), begin)
		if !found {
			continue
		}
		text, after, ended := strings.Cut(rest, end)
		if !ended {
			t.Fatalf("%s: no %q after %q", doc, end, begin)
		}
		return section{doc, before + begin, text, end + after}
	}
	t.Fatalf("no file of docs/ has %q", begin)
	return section{}
}

func (s section) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.doc, []byte(s.before+text+s.after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkTable prints the table, and holds that of docs/ against it or rewrites it.
func checkTable(t *testing.T, table string) {
	t.Helper()
	fmt.Println(table)
	s := findSection(t, "check-peers")
	switch {
	case *update:
		s.write(t, table)
	case s.text != table:
		t.Errorf("%s: the table is not what was found; make check-peers PEERSFLAGS=-update rewrites it", s.doc)
	}
}
