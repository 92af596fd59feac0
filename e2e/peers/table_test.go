//go:build e2e

package peers

import (
	"bytes"
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

const begin, end = "<!-- make check-peers writes this table -->\n", "<!-- end of the table -->\n"

// checkTable prints the table, and holds that of docs/ against it or rewrites it.
func checkTable(t *testing.T, table string) {
	t.Helper()
	fmt.Println(table)
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := bytes.Cut(data, []byte(begin))
		old, after, ended := bytes.Cut(rest, []byte(end))
		switch {
		case !found:
			continue
		case !ended:
			t.Fatalf("%s: no %q after %q", doc, end, begin)
		case string(old) == table:
		case !*update:
			t.Errorf("%s: the table is not what was measured; -update rewrites it", doc)
		default:
			whole := string(before) + begin + table + end + string(after)
			if err := os.WriteFile(doc, []byte(whole), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	t.Errorf("no file of docs/ has %q", begin)
}
