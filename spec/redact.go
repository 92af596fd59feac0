package spec

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// minSearchedSecret is the length from which a secret is looked for in text,
// beside the places where the language says that it is one. Shorter ones would
// be found everywhere.
const minSearchedSecret = 6

// redaction is a place of a sensitive value in a source: bytes from start, up to
// but not including end.
type redaction struct {
	start, end int
	// quoted is true where the place is a whole expression, for which a string
	// is put, so that the file stays one that can be parsed.
	quoted bool
}

func redactionOf(r hcl.Range) redaction {
	return redaction{start: r.Start.Byte, end: r.End.Byte, quoted: true}
}

// redactAll gives of each HCL source the text that may be shown.
func (s *sources) redactAll() map[string]*redactedFile {
	out := map[string]*redactedFile{}
	for _, src := range s.list {
		if !src.config || out[src.name] != nil {
			continue
		}
		if src.notText {
			out[src.name] = &redactedFile{}
			continue
		}
		all := slices.Clone(src.redactions)
		for secret := range s.secrets {
			if len(secret) >= minSearchedSecret {
				all = append(all, occurrences(src.text, secret)...)
			}
		}
		out[src.name] = redact(src.text, all, src.body)
	}
	return out
}

func occurrences(text []byte, secret string) []redaction {
	var found []redaction
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(secret))
		if i < 0 {
			return found
		}
		found = append(found, redaction{start: from + i, end: from + i + len(secret)})
		from += i + len(secret)
	}
}

// addSecret remembers every string in a sensitive value, and that the files
// that the value was read from are secret as a whole.
func (s *sources) addSecret(v cty.Value) {
	unmarked, marks := v.UnmarkDeep()
	for mark := range marks {
		if file, ok := mark.(fileMark); ok {
			file.source.hashOnly = true
		}
	}
	for _, part := range cty.DeepValues(unmarked) {
		if part.Type() == cty.String && part.IsKnown() && !part.IsNull() && part.AsString() != "" {
			s.secrets[part.AsString()] = true
		}
	}
}

// redactCalls marks what is written out in the arguments of sensitive(),
// wherever the file calls it.
func (s *sources) redactCalls(body *hclsyntax.Body) {
	_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && call.Name == "sensitive" {
			for _, arg := range call.Args {
				s.redactLiterals(arg)
			}
		}
		return nil
	})
}

// redactLiterals marks what is written out in an expression whose value is
// sensitive. References and names of files and environment variables may stay:
// they say where a secret is, not what it is.
func (s *sources) redactLiterals(expr hclsyntax.Expression) {
	src := s.byName(expr.Range().Filename)
	if src == nil {
		return
	}
	w := &literalWalker{}
	_ = hclsyntax.Walk(expr, w)
	src.redactions = append(src.redactions, w.found...)
}

// literalWalker collects the literal values of an expression.
type literalWalker struct {
	found []redaction
	// inside counts the nodes around the current one that were collected whole.
	inside int
	// spared are arguments that name the place of a value.
	spared []hclsyntax.Node
}

func (w *literalWalker) Enter(node hclsyntax.Node) hcl.Diagnostics {
	if call, ok := node.(*hclsyntax.FunctionCallExpr); ok && len(call.Args) > 0 && (call.Name == "env" || call.Name == "file") {
		w.spared = append(w.spared, call.Args[0])
	}
	if w.inside > 0 || w.isLiteral(node) {
		if w.inside == 0 {
			w.found = append(w.found, redactionOf(node.Range()))
		}
		w.inside++
	} else if slices.Contains(w.spared, node) {
		w.inside++
	}
	return nil
}

func (w *literalWalker) Exit(hclsyntax.Node) hcl.Diagnostics {
	if w.inside > 0 {
		w.inside--
	}
	return nil
}

func (w *literalWalker) isLiteral(node hclsyntax.Node) bool {
	if slices.Contains(w.spared, node) {
		return false
	}
	switch node.(type) {
	case *hclsyntax.LiteralValueExpr, *hclsyntax.TemplateExpr:
		return true
	}
	return false
}

// Lines of a job file that cannot be parsed: where a value begins that may be
// sensitive, and where the next block begins.
var (
	secretStart = regexp.MustCompile(`\bdefault\s*=|\bsensitive\s*\(`)
	blockStart  = regexp.MustCompile(`(?m)^(profjob|variable|locals|target|load|job)\b[^=\n]*(\{|$)`)
)

// brokenRedactions finds what may be sensitive in a job file that cannot be
// parsed, to keep it out of the snippets. It rather takes too much: in a file
// that has anything sensitive, each default and call of sensitive, up to the
// block after it.
func brokenRedactions(text []byte) []redaction {
	if !bytes.Contains(text, []byte("sensitive")) {
		return nil
	}
	return between(text, secretStart, blockStart)
}

// brokenVarRedactions does the same for a file of variables: what is between a
// sensitive variable and the next variable of whatever kind.
func brokenVarRedactions(text []byte, names []string, sensitive map[string]bool) []redaction {
	var secret, all []string
	for _, name := range names {
		all = append(all, regexp.QuoteMeta(name))
		if sensitive[name] {
			secret = append(secret, regexp.QuoteMeta(name))
		}
	}
	if len(secret) == 0 {
		return nil
	}
	start := regexp.MustCompile(`(?m)^\s*(` + strings.Join(secret, "|") + `)\s*=`)
	end := regexp.MustCompile(`(?m)^\s*(` + strings.Join(all, "|") + `)\s*=`)
	return between(text, start, end)
}

// between are the places from behind each match of start to the next of end.
func between(text []byte, start, end *regexp.Regexp) []redaction {
	var found []redaction
	for from := 0; ; {
		match := start.FindIndex(text[from:])
		if match == nil {
			return found
		}
		from += match[1]
		to := len(text)
		if next := end.FindIndex(text[from:]); next != nil {
			to = from + next[0]
		}
		found = append(found, redaction{start: from, end: to})
		from = to
	}
}

// redactedFile is a source with its sensitive values replaced. Lines keep their
// numbers; what stands behind a replaced value moves.
type redactedFile struct {
	text []byte
	body *hclsyntax.Body // for the context of a snippet; nil: none
	// moves says how far text behind a replaced value has moved, in order.
	moves []move
}

type move struct {
	from, to       int // in the original
	newFrom, newTo int // in the redacted text
}

// redact replaces the given places, which may overlap.
func redact(text []byte, places []redaction, body *hclsyntax.Body) *redactedFile {
	f := &redactedFile{text: text, body: body}
	if len(places) == 0 {
		return f
	}
	slices.SortFunc(places, func(a, b redaction) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	var out bytes.Buffer
	done := 0
	for i := 0; i < len(places); {
		p := places[i]
		for i++; i < len(places) && places[i].start < p.end; i++ {
			p.end = max(p.end, places[i].end)
		}
		out.Write(text[done:p.start])
		m := move{from: p.start, to: p.end, newFrom: out.Len()}
		if p.quoted {
			out.WriteString(`"(sensitive)"`)
		} else {
			out.WriteString("(sensitive)")
		}
		out.WriteString(strings.Repeat("\n", bytes.Count(text[p.start:p.end], []byte{'\n'})))
		m.newTo = out.Len()
		f.moves = append(f.moves, m)
		done = p.end
	}
	out.Write(text[done:])
	f.text = out.Bytes()
	return f
}

// moved is where a byte of the original is now: a place inside of a replaced
// value is its start or, for an end of a range, its end.
func (f *redactedFile) moved(offset int, isEnd bool) int {
	i := sort.Search(len(f.moves), func(i int) bool { return f.moves[i].from > offset }) - 1
	if i < 0 {
		return offset
	}
	m := f.moves[i]
	switch {
	case offset >= m.to:
		return m.newTo + offset - m.to
	case isEnd && offset > m.from:
		return m.newTo
	default:
		return m.newFrom
	}
}

func (f *redactedFile) moveRange(r *hcl.Range) *hcl.Range {
	out := *r
	out.Start.Byte = f.moved(r.Start.Byte, false)
	out.End.Byte = max(f.moved(r.End.Byte, true), out.Start.Byte)
	return &out
}

// ContextString is the header of the top-level block around an offset of the
// redacted text, as the HCL library's writer of diagnostics asks for it.
func (f *redactedFile) ContextString(offset int) string {
	if f.body == nil {
		return ""
	}
	for _, block := range f.body.Blocks {
		r := f.moveRange(block.Range().Ptr())
		if r.Start.Byte <= offset && offset < r.End.Byte {
			header := f.moveRange(block.DefRange().Ptr())
			return string(f.text[header.Start.Byte:header.End.Byte])
		}
	}
	return ""
}

// maxSnippet bounds the bytes of a snippet: nobody reads a line of a megabyte.
const maxSnippet = 2000

// snippet is the lines of a range; nil if there is no text that can be shown.
func (f *redactedFile) snippet(r hcl.Range) *jsonSnippet {
	if f == nil {
		return nil
	}
	at := *f.moveRange(&r)
	if len(f.text) == 0 || at.End.Byte > len(f.text) {
		return nil
	}
	start := bytes.LastIndexByte(f.text[:at.Start.Byte], '\n') + 1
	end := len(f.text)
	last := max(at.Start.Byte, at.End.Byte-1)
	if i := bytes.IndexByte(f.text[last:], '\n'); i >= 0 {
		end = last + i
	}
	if end-start > maxSnippet {
		return nil
	}
	return &jsonSnippet{
		Context:        f.ContextString(at.Start.Byte),
		Code:           strings.TrimSuffix(string(f.text[start:end]), "\r"),
		StartLine:      r.Start.Line,
		HighlightStart: at.Start.Byte - start,
		HighlightEnd:   min(at.End.Byte, end) - start,
	}
}
