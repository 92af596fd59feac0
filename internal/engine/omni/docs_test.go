package omni

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/engine"
)

const page = "../../../docs/omni.md"

// forms are the windows by tokens of which docs/omni.md says what each generation
// makes of them, in the words of a job file.
var forms = []struct {
	text   string
	window engine.TokenWindow
	want   [5]Grade // g1 to g5
}{
	{"`threshold = T`", engine.TokenWindow{Threshold: 64, Phase: phaseAny}, [5]Grade{Exact, Cannot, Exact, Exact, Proved}},
	{"`threshold = T`, `at_most = T`", engine.TokenWindow{Threshold: 64, AtMost: 64, Phase: phaseAny}, [5]Grade{Cannot, Proved, Exact, Exact, Proved}},
	{"`threshold = T`, `at_most` above T", engine.TokenWindow{Threshold: 64, AtMost: 80, Phase: phaseAny}, [5]Grade{Cannot, Cannot, Cannot, Cannot, Cannot}},
	{"`phase = \"decode\"`, `threshold = T`", engine.TokenWindow{Threshold: 64, Phase: phaseDecode}, [5]Grade{Cannot, Proved, Proved, Proved, Proved}},
	{"`phase = \"decode\"`, `threshold = T`, `at_most = T`", engine.TokenWindow{Threshold: 64, AtMost: 64, Phase: phaseDecode}, [5]Grade{Cannot, Proved, Proved, Proved, Proved}},
	{"`phase = \"decode\"`, `threshold = T`, `at_most` above T", engine.TokenWindow{Threshold: 64, AtMost: 80, Phase: phaseDecode}, [5]Grade{Cannot, Proved, Proved, Proved, Proved}},
	{"`phase = \"prefill\"`, `threshold = T`", engine.TokenWindow{Threshold: 64, Phase: phasePrefill}, [5]Grade{Proved, Cannot, Proved, Proved, Proved}},
	{"`phase = \"prefill\"`, `threshold = T`, `at_most = T`", engine.TokenWindow{Threshold: 64, AtMost: 64, Phase: phasePrefill}, [5]Grade{Cannot, Cannot, Proved, Proved, Cannot}},
	{"`phase = \"prefill\"`, `threshold = T`, `at_most` above T", engine.TokenWindow{Threshold: 64, AtMost: 80, Phase: phasePrefill}, [5]Grade{Cannot, Cannot, Cannot, Cannot, Cannot}},
	{"`phase = \"mixed\"`", engine.TokenWindow{Threshold: 64, Phase: phaseMixed}, [5]Grade{Cannot, Cannot, Cannot, Cannot, Cannot}},
	{"`threshold = T`, `skip_requests`", engine.TokenWindow{Threshold: 64, Phase: phaseAny, SkipRequests: 10}, [5]Grade{Cannot, Cannot, Exact, Exact, Proved}},
	{"`threshold = T`, `all = true`", engine.TokenWindow{Threshold: 64, Phase: phaseAny, All: true}, [5]Grade{Proved, Cannot, Proved, Proved, Proved}},
}

// TestForms holds each generation to what the page says of it.
func TestForms(t *testing.T) {
	for _, f := range forms {
		f.window.Steps = 5
		for i, g := range Generations() {
			if _, grade, _, err := Fit(g, f.window, Limits{}); grade != f.want[i] {
				t.Errorf("%s, %s: %s, %v; want %s", f.text, g, grade, err, f.want[i])
			}
		}
	}
}

// TestPage holds the tables of docs/omni.md to the code.
func TestPage(t *testing.T) {
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for name, table := range map[string]string{"variables": variablesTable(), "windows": windowsTable(), "reasons": reasonsList()} {
		begin, end := "<!-- "+name+": made from the code, rewritten by `go test ./internal/engine/omni -update` -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for %s", page, name)
		}
		text = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(text, string(old)); diff != "" {
		t.Errorf("%s is out of date: run go test ./internal/engine/omni -update\n%s", page, diff)
	}
}

func variablesTable() string {
	var b strings.Builder
	b.WriteString("| | vLLM | the profiler by | threshold | stop | prefill switch | skipped requests | N steps need a stop of |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i, t := range traits {
		v := t.variables
		configured := "`" + envDir + "`"
		switch {
		case t.config:
			configured = "`--profiler-config`"
		case t.options:
			configured += " and `…_RECORD_SHAPES`, `…_WITH_PROFILE_MEMORY`, `…_WITH_STACK`, `…_WITH_FLOPS`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", t.generation, between(i), configured,
			code(v.threshold), code(v.stop), code(v.prefill), code(v.skip),
			map[bool]string{false: "N − 1", true: "N"}[stopStep(t.generation, 1, 0) == 1])
	}
	return b.String()
}

// between names the versions of vLLM that are taken for the i-th generation.
func between(i int) string {
	from := fmt.Sprintf("%d.%d", traits[i].since[0], traits[i].since[1])
	switch {
	case i+1 == len(traits):
		return from + " on"
	case i == 0:
		return fmt.Sprintf("before %d.%d", traits[1].since[0], traits[1].since[1])
	}
	return fmt.Sprintf("%s–%d.%d", from, traits[i+1].since[0], traits[i+1].since[1]-1)
}

func code(name string) string {
	if name == "" {
		return "none"
	}
	return "`" + name + "`"
}

// notesOf are what the page says under its tables: notes of windows that are proved
// and refusals, each once, with a number.
type notesOf struct{ texts []string }

func (n *notesOf) number(text string) int {
	if i := slices.Index(n.texts, text); i >= 0 {
		return i + 1
	}
	n.texts = append(n.texts, text)
	return len(n.texts)
}

// cells are the cells of the windows' table; the notes that they point to are
// collected on the way.
func cells(notes *notesOf) [][]string {
	var rows [][]string
	for _, f := range forms {
		f.window.Steps = 5
		row := []string{f.text}
		for _, g := range Generations() {
			_, grade, said, err := Fit(g, f.window, Limits{})
			var numbers []string
			for _, text := range said {
				numbers = append(numbers, fmt.Sprint(notes.number(text)))
			}
			for _, r := range refusals(err) {
				numbers = append(numbers, fmt.Sprint(notes.number(r.What+": "+r.Why)))
			}
			cell := map[Grade]string{Exact: "**exact**", Proved: "proved", Cannot: "no"}[grade]
			if len(numbers) > 0 {
				cell += " [" + strings.Join(numbers, ", ") + "]"
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// refusals are all that an error of Fit joins.
func refusals(err error) []*Refusal {
	var all []*Refusal
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var r *Refusal
			if errors.As(e, &r) {
				all = append(all, r)
			}
		}
	}
	return all
}

func windowsTable() string {
	var b strings.Builder
	b.WriteString("| `tokens { … }` | g1 | g2 | g3 | g4 | g5 |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, row := range cells(&notesOf{}) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

func reasonsList() string {
	var notes notesOf
	cells(&notes)
	var b strings.Builder
	for i, text := range notes.texts {
		fmt.Fprintf(&b, "%d. %s\n", i+1, text)
	}
	return b.String()
}
