package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// body is a block that was opened: it was held against its schema, and each of
// its attributes was evaluated, once. Decoders take from it what they need; a
// value that is missing or wrong comes out as its default or as zero, and has
// been reported.
type body struct {
	*scope
	schema *Block
	// header is where the block is declared; for the file itself, its start.
	header hcl.Range
	given  map[string]given
	blocks map[string][]*hclsyntax.Block
	// meant are names that something unknown was probably meant to be: that they
	// are missing is the same mistake.
	meant map[string]bool
}

// given is an attribute that was written.
type given struct {
	expr  hclsyntax.Expression
	at    hcl.Range // of the expression
	value cty.Value // cty.NilVal where the schema leaves it to the decoder
}

// open holds a block against its schema. A nil block is one that was not
// written: everything in it has its default.
func (s *scope) open(block *hclsyntax.Block, schema *Block) *body {
	if block == nil {
		return &body{scope: s, schema: schema}
	}
	return s.openAt(block.Body, schema, block.DefRange())
}

// openBody opens the body of a file.
func (s *scope) openBody(content *hclsyntax.Body, schema *Block) *body {
	return s.openAt(content, schema, content.MissingItemRange())
}

func (s *scope) openAt(content *hclsyntax.Body, schema *Block, header hcl.Range) *body {
	b := &body{scope: s, schema: schema, header: header, given: map[string]given{}, blocks: map[string][]*hclsyntax.Block{}, meant: map[string]bool{}}
	for _, attr := range sortedAttributes(content) {
		b.take(attr)
	}
	for _, block := range content.Blocks {
		b.takeBlock(block)
	}
	b.checkRequired()
	b.checkOneOf()
	return b
}

// take evaluates an attribute.
func (b *body) take(attr *hclsyntax.Attribute) {
	arg := b.schema.argument(attr.Name)
	switch {
	case arg == nil:
		b.unknownAttribute(attr)
		return
	case arg.Reserved:
		b.report.errorAt(attr.NameRange, "Not supported by this version", "%q is part of the language, but this version of profjob cannot do it yet.", attr.Name)
		return
	}
	g := given{expr: attr.Expr, at: attr.Expr.Range()}
	if arg.Type != TypeExpression {
		g.value = b.evaluate(attr.Expr)
		if isSensitive(g.value) && !arg.Sensitive {
			b.refuseSensitive(g.at, attr.Name)
			g.value = cty.DynamicVal
		}
	}
	b.given[attr.Name] = g
}

// refuseSensitive says that a value cannot be used since it would be seen.
func (s *scope) refuseSensitive(at hcl.Range, name string) {
	s.report.errorAt(at, "Sensitive value",
		"A sensitive value cannot be used here, since %s is shown in the plan and kept with the run. Sensitive values may be used in a target's auth, gate and launch.env only.", name)
}

// unknownAttribute says what may have been meant instead.
func (b *body) unknownAttribute(attr *hclsyntax.Attribute) {
	if b.schema.block(attr.Name) != nil {
		b.meant[attr.Name] = true
		b.report.errorAt(attr.NameRange, "Unknown attribute", "%q is a block: write %s { … } without an equals sign.", attr.Name, attr.Name)
		return
	}
	sentence, instead := didYouMean(attr.Name, b.schema.argumentNames())
	b.meant[instead] = true
	b.report.suggestAt(attr.NameRange, instead, "Unknown attribute", "%s has no attribute %q.%s", b.schema.title(), attr.Name, sentence)
}

func (b *body) takeBlock(block *hclsyntax.Block) {
	schema := b.schema.block(block.Type)
	switch {
	case schema == nil:
		b.unknownBlock(block)
		return
	case schema.Reserved:
		b.report.errorAt(block.TypeRange, "Not supported by this version", "The block %q is part of the language, but this version of profjob cannot do it yet.", block.Type)
		return
	case len(block.Labels) != len(schema.Labels):
		b.wrongLabels(block, schema)
		b.meant[block.Type] = true
		return
	case !schema.Many && len(b.blocks[block.Type]) > 0:
		b.report.errorAt(block.DefRange(), "Block written twice", "There is one %s block, and it stands at %s already.", block.Type, place(b.blocks[block.Type][0].DefRange()))
		return
	}
	b.blocks[block.Type] = append(b.blocks[block.Type], block)
}

func (b *body) unknownBlock(block *hclsyntax.Block) {
	if b.schema.argument(block.Type) != nil {
		b.meant[block.Type] = true
		b.report.errorAt(block.TypeRange, "Unknown block", "%q is an attribute: write %s = …", block.Type, block.Type)
		return
	}
	sentence, instead := didYouMean(block.Type, b.schema.blockNames())
	b.meant[instead] = true
	b.report.suggestAt(block.TypeRange, instead, "Unknown block", "%s has no block %q.%s", b.schema.title(), block.Type, sentence)
}

func (b *body) wrongLabels(block *hclsyntax.Block, schema *Block) {
	header := schema.Name
	for _, label := range schema.Labels {
		header += fmt.Sprintf(" %q", strings.ToUpper(label))
	}
	b.report.errorAt(block.DefRange(), "Wrong block header", "The header of a %s block is written %s { … }.", schema.Name, header)
}

// checkRequired reports what must be written and is not.
func (b *body) checkRequired() {
	for _, arg := range b.schema.Arguments {
		g, written := b.given[arg.Name]
		switch {
		case !arg.Required || b.meant[arg.Name] || written && !isNull(g.value):
		case written:
			b.report.errorAt(g.at, "Missing attribute", "%s needs %q, but its value is null.", b.schema.title(), arg.Name)
		default:
			b.report.errorAt(b.header, "Missing attribute", "%s needs the attribute %q: %s", b.schema.title(), arg.Name, arg.Doc)
		}
	}
	for _, block := range b.schema.Blocks {
		if block.Required && len(b.blocks[block.Name]) == 0 && !b.meant[block.Name] {
			b.report.errorAt(b.header, "Missing block", "%s needs a block %q: %s", b.schema.title(), block.Name, block.Doc)
		}
	}
}

// checkOneOf reports where not exactly one of several forms was written, with
// the places of all that were.
func (b *body) checkOneOf() {
	if len(b.schema.ExactlyOne) == 0 {
		return
	}
	var names []string
	var places []hcl.Range
	for _, name := range b.schema.ExactlyOne {
		if b.has(name) {
			names, places = append(names, name), append(places, b.given[name].at)
		} else if blocks := b.blocks[name]; len(blocks) > 0 {
			names, places = append(names, name), append(places, blocks[0].DefRange())
		}
	}
	switch {
	case len(names) == 1:
	case len(names) == 0 && slices.ContainsFunc(b.schema.ExactlyOne, func(name string) bool { return b.meant[name] }):
	case len(names) == 0:
		b.report.errorAt(b.header, "Nothing chosen", "%s needs exactly one of %s.", b.schema.title(), strings.Join(b.schema.ExactlyOne, ", "))
	default:
		var where []string
		for i, name := range names {
			where = append(where, fmt.Sprintf("%s (%s)", name, place(places[i])))
		}
		last := slices.MaxFunc(places, func(a, b hcl.Range) int { return cmp.Compare(a.Start.Byte, b.Start.Byte) })
		b.report.errorAt(last, "More than one chosen", "%s has exactly one of %s, but here are %s.", b.schema.title(), strings.Join(b.schema.ExactlyOne, ", "), strings.Join(where, " and "))
	}
}

// block is the only block of a type; nil if there is none.
func (b *body) block(name string) *hclsyntax.Block {
	if len(b.blocks[name]) == 0 {
		return nil
	}
	return b.blocks[name][0]
}

// child opens the only block of a type, if it is there.
func (b *body) child(name string) *body {
	return b.open(b.block(name), b.schema.block(name))
}

// has says whether an attribute was written and is not null.
func (b *body) has(name string) bool {
	g, ok := b.given[name]
	return ok && !isNull(g.value)
}

// lookup is an attribute that was written, is not null and is known.
func (b *body) lookup(name string) (given, bool) {
	if !b.has(name) {
		return given{}, false
	}
	g := b.given[name]
	if g.value != cty.NilVal && !plain(g.value).IsWhollyKnown() {
		b.sawUnknown(g.at)
		return given{}, false
	}
	return g, true
}

// sawUnknown remembers that a value was given up. What made it unknown must have
// been reported; finish sees to it.
func (l *loader) sawUnknown(at hcl.Range) {
	if l.unknownAt == nil {
		l.unknownAt = &at
	}
}

func isNull(v cty.Value) bool { return v != cty.NilVal && plain(v).IsNull() }

// fail reports a value of the block that cannot be used. Where the value
// depends on each, the message says for which key it was wrong.
func (b *body) fail(g given, instead, summary, format string, args ...any) {
	b.failAt(g, g.at, instead, summary, format, args...)
}

// failAt is fail about a part of the value.
func (b *body) failAt(g given, at hcl.Range, instead, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if b.each != nil && refersTo(g.expr, "each") && b.each.key.IsKnown() {
		detail += fmt.Sprintf(" (each.key is %q here.)", plain(b.each.key).AsString())
	}
	b.report.suggestAt(at, instead, summary, "%s", detail)
}

func refersTo(expr hclsyntax.Expression, root string) bool {
	return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool { return t.RootName() == root })
}

// sortedAttributes are a body's attributes in the order of the text.
func sortedAttributes(content *hclsyntax.Body) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(content.Attributes), func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte)
	})
}

// maxNameLength bounds names, which become parts of file names.
const maxNameLength = 64

// checkLabels says whether the block's labels are names that can be referred to.
func (l *loader) checkLabels(block *hclsyntax.Block) bool {
	for i, label := range block.Labels {
		switch {
		case !hclsyntax.ValidIdentifier(label):
			l.report.errorAt(block.LabelRanges[i], "Invalid name", "The name of a %s consists of letters, digits, _ and -, and begins with a letter or _.", block.Type)
			return false
		case len(label) > maxNameLength:
			l.report.errorAt(block.LabelRanges[i], "Name too long", "The name of a %s has at most %d bytes.", block.Type, maxNameLength)
			return false
		}
	}
	return true
}
