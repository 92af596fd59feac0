package spec

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

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

// maxLocalSize bounds a local's value, in bytes. Locals that each hold the one before twice would else fill the
// memory after thirty lines.
const maxLocalSize = 4 << 20

func (l *loader) evaluateLocal(attr *hclsyntax.Attribute) cty.Value {
	v := l.general().evaluate(attr.Expr)
	if sizeOf(v, maxLocalSize) > maxLocalSize {
		l.report.errorAt(attr.Expr.Range(), "Value too large", "The value of local.%s is larger than %s.", attr.Name, formatSize(maxLocalSize))
		return cty.DynamicVal
	}
	return v
}
