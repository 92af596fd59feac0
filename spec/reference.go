package spec

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty/function"
)

// WriteReference writes the reference of the language in Markdown: every block
// with its attributes, those of the engines in the catalog, and the functions.
// Headings begin at the second level.
func WriteReference(w io.Writer, catalog Catalog) error {
	var out bytes.Buffer
	writeBlocks(&out, fileSchema.Blocks, nil)
	writeEngines(&out, catalog)
	writeFunctions(&out)
	if _, err := w.Write(bytes.TrimRight(out.Bytes(), "\n")); err != nil {
		return fmt.Errorf("write reference: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// writeBlocks writes a section for each block and those inside of it.
func writeBlocks(out *bytes.Buffer, blocks []*Block, path []string) {
	for _, b := range blocks {
		here := append(slices.Clone(path), header(b))
		fmt.Fprintf(out, "%s %s\n\n%s\n\n", strings.Repeat("#", min(2+len(path), 6)), code(strings.Join(here, " → ")), sentence(b.Doc))
		if notes := blockNotes(b, len(path) > 0); notes != "" {
			fmt.Fprintf(out, "%s\n\n", notes)
		}
		writeArguments(out, b.Arguments)
		writeBlocks(out, b.Blocks, append(slices.Clone(path), b.Name))
	}
}

// header is how the block is written.
func header(b *Block) string {
	h := b.Name
	for _, label := range b.Labels {
		h += fmt.Sprintf(" %q", strings.ToUpper(label))
	}
	return h
}

// blockNotes is what the schema says of the block as a whole.
func blockNotes(b *Block, nested bool) string {
	if b.Reserved {
		return "Not supported by this version."
	}
	var notes []string
	switch {
	case b.Required:
		notes = append(notes, "Required.")
	case b.Many:
		notes = append(notes, "Any number of them.")
	case nested || b.Name == "profjob":
		notes = append(notes, "At most one.")
	}
	if len(b.ExactlyOne) > 0 {
		names := make([]string, len(b.ExactlyOne))
		for i, name := range b.ExactlyOne {
			names[i] = code(name)
		}
		notes = append(notes, "Exactly one of "+strings.Join(names, ", ")+" must be written.")
	}
	return strings.Join(notes, " ")
}

func writeArguments(out *bytes.Buffer, arguments []Argument) {
	if len(arguments) == 0 {
		return
	}
	out.WriteString("| attribute | type | default | |\n| --- | --- | --- | --- |\n")
	for _, a := range arguments {
		fmt.Fprintf(out, "| %s | %s | %s | %s |\n", code(a.Name), cell(string(a.Type)), defaultCell(a), cell(argumentNotes(a)))
	}
	out.WriteString("\n")
}

func defaultCell(a Argument) string {
	switch {
	case a.Required:
		return "required"
	case a.Default == "":
		return ""
	case a.Type == TypeString || a.Type == TypePath || a.Type == TypeDuration || a.Type == TypeSize:
		return code(fmt.Sprintf("%q", a.Default))
	}
	return code(a.Default)
}

// argumentNotes is the attribute's doc, and what of its checks can be said.
func argumentNotes(a Argument) string {
	if a.Reserved {
		return "Not supported by this version. " + a.Doc
	}
	notes := []string{sentence(a.Doc)}
	if len(a.OneOf) > 0 {
		notes = append(notes, "One of "+quotedInOrder(a.OneOf)+".")
	}
	if bounds := boundsNote(a); bounds != "" {
		notes = append(notes, bounds)
	}
	if a.Sensitive {
		notes = append(notes, "May be sensitive.")
	}
	return strings.Join(notes, " ")
}

func boundsNote(a Argument) string {
	if a.engine != nil {
		return ""
	}
	format := func(n float64) string { return formatNumber(big.NewFloat(n)) }
	switch a.Type {
	case TypeInteger, TypeNumber, TypeTokens:
		if a.Max == 1<<64-1 {
			return "0 to 2^64-1."
		}
	case TypeDuration:
		format = func(n float64) string { return formatDuration(time.Duration(n)) }
	default:
		return ""
	}
	return format(a.Min) + " to " + format(a.Max) + "."
}

func writeEngines(out *bytes.Buffer, catalog Catalog) {
	for _, name := range slices.Sorted(maps.Keys(catalog)) {
		engine := catalog[name]
		fmt.Fprintf(out, "## %s\n\n%s\n\n", code(fmt.Sprintf("target %q", name)), sentence(engine.Doc))
		var notes []string
		if !engine.NeedsEndpoint {
			notes = append(notes, "`endpoints` may be left out.")
		}
		if !engine.Launchable {
			notes = append(notes, "There is no `launch` block.")
		}
		if !engine.Gate {
			notes = append(notes, "There is no `gate` block.")
		}
		if len(notes) > 0 {
			fmt.Fprintf(out, "%s\n\n", strings.Join(notes, " "))
		}
		var own []Argument
		for _, a := range targetSchema.withEngine(engine).Arguments {
			if a.engine != nil {
				own = append(own, a)
			}
		}
		writeArguments(out, own)
	}
}

func writeFunctions(out *bytes.Buffer) {
	functions := new(loader).makeFunctions()
	out.WriteString("## Functions\n\n| function | |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		f := functions[name]
		fmt.Fprintf(out, "| %s | %s |\n", code(name+"("+parameters(f)+")"), cell(describe(name, f)))
	}
}

func parameters(f function.Function) string {
	var names []string
	for _, p := range f.Params() {
		names = append(names, p.Name)
	}
	if p := f.VarParam(); p != nil {
		names = append(names, p.Name+"…")
	}
	return strings.Join(names, ", ")
}

// describe is what a function does, where the library does not say it.
func describe(name string, f function.Function) string {
	switch name {
	case "try":
		return "Returns the value of the first argument that can be evaluated without an error."
	case "can":
		return "Returns whether its argument can be evaluated without an error."
	case "tolist", "tomap", "toset":
		return "Converts the given value to a " + strings.TrimPrefix(name, "to") + ", or raises an error if that conversion is impossible."
	}
	return strings.ReplaceAll(f.Description(), `\"`, `"`)
}

// sentence begins with a capital letter, unless it begins with code.
func sentence(doc string) string {
	if doc == "" {
		return ""
	}
	return strings.ToUpper(doc[:1]) + doc[1:]
}

func code(s string) string { return "`" + s + "`" }

// cell makes a text fit into a cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", "\\|")
}
