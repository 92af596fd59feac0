package spec

import "github.com/hashicorp/hcl/v2/hclsyntax"

var localsSchema = &Block{
	Name: "locals",
	Many: true,
	Doc:  "Names for values, referred to as `local.NAME`. Each attribute is one; it may refer to variables, targets, loads and other locals.",
}

func (l *loader) declareLocals(blocks []*hclsyntax.Block) {
	for _, block := range blocks {
		for _, inner := range block.Body.Blocks {
			l.report.errorAt(inner.TypeRange, "Unknown block", "A locals block has attributes only: NAME = VALUE.")
		}
		for _, attr := range sortedAttributes(block.Body) {
			l.locals.add(l.report, "local."+attr.Name, attr, attr.NameRange)
		}
	}
}
