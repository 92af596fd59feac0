package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// structureExceptions are the annotated files in which structure finds other steps
// than the annotations have, how many, and why.
var structureExceptions = map[string]struct {
	passes int
	why    string
}{
	"hta/diff-control.json.gz":     {6, "training: as many, but each begins at the loop's largest pause, 43 to 45 ms of 76 before torch's own step does"},
	"hta/diff-test.json.gz":        {6, "training: as many, but each begins at the loop's largest pause, 38 to 86 ms before torch's own step does"},
	"hta/mi250-train.json.gz":      {0, "two training steps, the second empty; no operator keeps a rhythm over one step"},
	"hta/cpu-only-rank-34.json.gz": {0, "four operators in all"},
}

// TestStructureAgainstAnnotations reads every shared file with its annotations
// ignored and holds the passes found against them: as many, in the same order, with
// the same tokens where the shapes were recorded. What it found is the table in
// docs/structure.md; -update writes it.
func TestStructureAgainstAnnotations(t *testing.T) {
	const doc, begin, end = "../../docs/structure.md", "<!-- begin of the table -->\n", "<!-- end of the table -->"
	rows := "| file | steps by annotation | steps by structure | found by | tokens | |\n| --- | --- | --- | --- | --- | --- |\n"
	for _, file := range sharedFiles(t) {
		t.Run(file, func(t *testing.T) { rows += structureRow(t, file) })
	}
	data, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", doc)
	}
	if *update {
		if err := os.WriteFile(doc, []byte(before+begin+rows+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(rows, table); diff != "" {
		t.Errorf("%s tells something else (go test ./internal/trace -run StructureAgainstAnnotations -update writes it):\n%s", doc, diff)
	}
}

// sharedFiles are all shared traces.
func sharedFiles(t *testing.T) []string {
	t.Helper()
	root := shared(t, ".")
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json.gz") {
			rel, relErr := filepath.Rel(root, path)
			all, err = append(all, filepath.ToSlash(rel)), relErr
		}
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d files: %v", len(all), err)
	}
	return all
}

// structureRow compares the two readings of a file and tells of them.
func structureRow(t *testing.T, file string) string {
	path := shared(t, file)
	annotated, s := scan(t, path, Annotation), scan(t, path, Structure)
	checkPasses(t, s)
	want := slices.DeleteFunc(annotated.Passes, func(p Pass) bool { return !p.IsStep() })
	by, tokens := "–", "not told"
	if len(s.Passes) > 0 {
		if by = "`" + s.Passes[0].Name + "`"; s.Passes[0].Tokens != NotKnown {
			tokens = "known"
		}
	}
	row := func(annotated, verdict string) string {
		return fmt.Sprintf("| %s | %s | %d | %s | %s | %s |\n", file, annotated, len(s.Passes), by, tokens, verdict)
	}
	if annotated.Evidence == NoEvidence {
		return row("none", "nothing to compare with")
	}
	err := sameSteps(want, s.Passes)
	exception, ok := structureExceptions[file]
	switch {
	case ok:
		if err == nil || len(s.Passes) != exception.passes {
			t.Errorf("%d passes, %v; it is known for %d: %s", len(s.Passes), err, exception.passes, exception.why)
		}
		return row(fmt.Sprint(len(want)), exception.why)
	case err != nil:
		t.Error(err)
	}
	if strings.Contains(file, "-cpu/") {
		last := len(want) - 1
		if s.Passes[last].Whole != want[last].Whole {
			t.Errorf("the last pass is whole: %v, the annotations say the reverse", !want[last].Whole)
		}
		if annotated.Options.Shapes && tokens != "known" {
			t.Error("shapes were recorded, but the tokens are not known")
		}
	}
	return row(fmt.Sprint(len(want)), "the same, in the same order")
}

// sameSteps says in what passes found by structure are not the annotated ones.
func sameSteps(annotated, structural []Pass) error {
	if len(annotated) != len(structural) {
		return fmt.Errorf("%d passes, the annotations have %d", len(structural), len(annotated))
	}
	for i, p := range structural {
		a := annotated[i]
		switch {
		case p.Start >= a.SpanEnd || p.End <= a.Start:
			return fmt.Errorf("pass %d from %d to %d is not the one annotated from %d to %d", i, p.Start, p.End, a.Start, a.SpanEnd)
		case i > 0 && p.Start < annotated[i-1].SpanEnd:
			return fmt.Errorf("pass %d begins within the one annotated before it", i)
		case p.Tokens != NotKnown && p.Tokens != a.Tokens:
			return fmt.Errorf("pass %d: %d tokens, the annotation says %d", i, p.Tokens, a.Tokens)
		case p.Class != Unknown:
			return errors.New("structure tells a class")
		}
	}
	return nil
}

// TestSameSteps: the comparison sees what is not the same.
func TestSameSteps(t *testing.T) {
	pass := func(start, spanEnd, end, tokens int64) Pass {
		return Pass{Class: Unknown, Start: start, SpanEnd: spanEnd, End: end, Tokens: tokens}
	}
	annotated := []Pass{pass(10, 15, 20, 3), pass(20, 25, 30, 4)}
	for name, c := range map[string]struct {
		structural []Pass
		want       string
	}{
		"the same":        {[]Pass{pass(8, 19, 19, 3), pass(19, 30, 30, NotKnown)}, ""},
		"one less":        {[]Pass{pass(8, 19, 19, 3)}, "1 passes"},
		"another":         {[]Pass{pass(8, 19, 19, 3), pass(26, 30, 30, 4)}, "is not the one annotated"},
		"begins too soon": {[]Pass{pass(8, 14, 14, 3), pass(14, 30, 30, 4)}, "begins within"},
		"other tokens":    {[]Pass{pass(8, 19, 19, 3), pass(19, 30, 30, 3)}, "3 tokens"},
	} {
		if err := sameSteps(annotated, c.structural); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
