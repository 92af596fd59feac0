package spec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var variableSchema = &Block{
	Name:   "variable",
	Labels: []string{"name"},
	Many:   true,
	Doc:    "A value that is given from outside, referred to as `var.NAME`.",
	Arguments: []Argument{
		{Name: "type", Type: TypeExpression, Default: "any", Doc: "A type: `string`, `number`, `bool`, `list(…)`, `set(…)`, `map(…)`, `object({ … })` with `optional(…)`, `tuple([…])` or `any`."},
		{Name: "default", Type: TypeAny, Sensitive: true, Doc: "The value where none is given. Without it, one must be."},
		{Name: "description", Type: TypeString, Doc: "What the variable is for."},
		{Name: "sensitive", Type: TypeBool, Default: "false", Doc: "Whether the value must not be shown."},
	},
	Blocks: []*Block{{
		Name: "validation",
		Many: true,
		Doc:  "A condition that the value must meet.",
		Arguments: []Argument{
			{Name: "condition", Type: TypeExpression, Required: true, Doc: "What must be true. It may refer to variables."},
			{Name: "error_message", Type: TypeExpression, Required: true, Doc: "What to say where it is not."},
		},
	}},
}

// variable is a variable block, read.
type variable struct {
	name     string
	header   hcl.Range
	typ      cty.Type
	defaults *typeexpr.Defaults // of optional attributes; nil: none
	// verbatim is true where a value given as text is taken as it is, without
	// being read as an expression: where the type is primitive or not said.
	verbatim  bool
	sensitive bool
	// fallback is the default, cty.NilVal without one.
	fallback    cty.Value
	fallbackAt  hcl.Range
	validations []*body
}

func (l *loader) declareVariables(blocks []*hclsyntax.Block) {
	for _, block := range blocks {
		l.redactDefault(block)
		if !l.checkLabels(block) {
			continue
		}
		l.variables.add(l.report, "var."+block.Labels[0], l.decodeVariable(block), block.DefRange())
	}
}

// redactDefault keeps the default of a sensitive variable out of all that is
// shown, also where the rest of the block is wrong.
func (l *loader) redactDefault(block *hclsyntax.Block) {
	fallback, flag := block.Body.Attributes["default"], block.Body.Attributes["sensitive"]
	if fallback == nil || flag == nil {
		return
	}
	if v, diags := flag.Expr.Value(nil); !diags.HasErrors() && v.RawEquals(cty.False) {
		return
	}
	l.secretDefaults[fallback.Expr] = true
	l.sources.redactLiterals(fallback.Expr)
}

func (l *loader) decodeVariable(block *hclsyntax.Block) *variable {
	before := l.report.count()
	b := l.static().open(block, variableSchema)
	v := &variable{
		name:      block.Labels[0],
		header:    block.DefRange(),
		sensitive: b.boolean("sensitive"),
	}
	if b.has("sensitive") && l.report.failedSince(before) {
		v.sensitive = true // it may be meant to be
	}
	b.str("description") // checked, though nothing needs it
	v.typ, v.defaults, v.verbatim = b.typeConstraint()
	if fallback, ok := b.given["default"]; ok {
		v.fallback = l.convertVariable(v, fallback.value, fallback.at, "The default")
		v.fallbackAt = fallback.at
	}
	for _, validation := range b.blocks["validation"] {
		v.validations = append(v.validations, l.validation().open(validation, variableSchema.block("validation")))
	}
	return v
}

// typeConstraint is the variable's type. One that is wrong is reported and any.
func (b *body) typeConstraint() (t cty.Type, defaults *typeexpr.Defaults, verbatim bool) {
	g, ok := b.given["type"]
	if !ok {
		return cty.DynamicPseudoType, nil, true
	}
	t, defaults, diags := typeexpr.TypeConstraintWithDefaults(g.expr)
	b.report.add(diags...)
	if diags.HasErrors() {
		return cty.DynamicPseudoType, nil, false
	}
	return t, defaults, t.IsPrimitiveType()
}

// convertVariable makes a value of the variable's type of one that was given,
// and marks it where the variable is sensitive.
func (l *loader) convertVariable(v *variable, value cty.Value, at hcl.Range, what string) cty.Value {
	sensitive := v.sensitive || isSensitive(value)
	if sensitive {
		l.sources.addSecret(value)
	}
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, v.typ)
	switch {
	case err != nil && sensitive:
		l.report.errorAt(at, "Wrong type", "%s does not fit the type of the variable %q. It is sensitive, so nothing more is shown.", what, v.name)
		return cty.DynamicVal
	case err != nil:
		l.report.errorAt(at, "Wrong type", "%s does not fit the type of the variable %q: %s.", what, v.name, err)
		return cty.DynamicVal
	case v.sensitive:
		return converted.Mark(sensitiveMark{})
	}
	return converted
}

// setVariables gives each variable its value: the last of its default, the
// environment, the files of variables in order, and --var. What a validation
// refuses is unknown from then on, so that nothing else complains about it.
func (l *loader) setVariables() {
	values := map[string]assigned{}
	for _, address := range l.variables.order {
		v := l.variables.byName[address].item
		if v.fallback != cty.NilVal {
			values[v.name] = assigned{value: v.fallback, at: &v.fallbackAt}
		}
	}
	l.assignFromEnvironment(values)
	meant := map[string]bool{} // by names that are no variable's
	l.assignFromFiles(values, meant)
	l.assignFromFlags(values, meant)

	for _, address := range l.variables.order {
		v := l.variables.byName[address].item
		a, ok := values[v.name]
		if !ok {
			a.value = cty.DynamicVal
		}
		if !ok && !meant[v.name] {
			l.report.errorAt(v.header, "Missing value",
				"The variable %q has no default and was not given. Set it with --var %s=…, in a file given with --var-file, or as %s%s in the environment.", v.name, v.name, variablePrefix, v.name)
		}
		l.values[address] = a.value
	}
	l.validateVariables(values)
}

// validateVariables checks every condition with the values of all variables.
func (l *loader) validateVariables(values map[string]assigned) {
	var refused []string
	for _, address := range l.variables.order {
		v := l.variables.byName[address].item
		if !plain(values[v.name].value).IsKnown() {
			continue
		}
		for _, validation := range v.validations {
			if !l.validate(v, values[v.name], validation) {
				refused = append(refused, address)
			}
		}
	}
	for _, address := range refused {
		l.values[address] = cty.DynamicVal
	}
}

// validate checks one condition. It is true too where the condition itself is
// wrong or not known.
func (l *loader) validate(v *variable, a assigned, b *body) bool {
	condition, ok := b.given["condition"]
	if !ok {
		return true
	}
	met := plain(b.evaluate(condition.expr))
	if !met.IsKnown() {
		return true
	}
	met, err := convert.Convert(met, cty.Bool)
	if err != nil || met.IsNull() {
		l.report.errorAt(condition.at, "Wrong type", "A condition must be true or false.")
		return true
	}
	if met.True() {
		return true
	}
	at := condition.at
	if a.at != nil {
		at = *a.at
	}
	l.report.errorAt(at, "Value refused", "%s The variable %q was checked by its validation at %s.", l.validationMessage(b), v.name, place(condition.at))
	return false
}

// validationMessage is the error_message as a sentence.
func (l *loader) validationMessage(b *body) string {
	const unusable = "The value does not meet the condition."
	g, ok := b.given["error_message"]
	if !ok {
		return unusable
	}
	message := b.evaluate(g.expr)
	if isSensitive(message) {
		return unusable + " (The message is not shown, since it uses a sensitive value.)"
	}
	message = plain(message)
	if !message.IsKnown() {
		return unusable
	}
	message, err := convert.Convert(message, cty.String)
	if err != nil || message.IsNull() || strings.TrimSpace(message.AsString()) == "" {
		l.report.errorAt(g.at, "Wrong type", "An error_message must be a string that is not empty.")
		return unusable
	}
	text := strings.TrimSpace(message.AsString())
	if !slices.Contains([]byte(".!?"), text[len(text)-1]) {
		text += "."
	}
	return text
}
