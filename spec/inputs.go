package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// variablePrefix begins the environment variables that set variables.
const variablePrefix = "PROFJOB_VAR_"

// assigned is a value that a variable was given.
type assigned struct {
	value cty.Value
	at    *hcl.Range // nil where it does not come from a file
}

// assignFromEnvironment takes PROFJOB_VAR_x for each variable x. The
// environment is shared with other programs and job files, so what no variable
// wants is nobody's mistake.
func (l *loader) assignFromEnvironment(values map[string]assigned) {
	for _, address := range l.variables.order {
		v := l.variables.byName[address].item
		if text, ok := l.environ[variablePrefix+v.name]; ok {
			values[v.name] = assigned{value: l.parseText(v, text, variablePrefix+v.name)}
		}
	}
}

// assignFromFlags takes what was given with --var. A variable that a wrong name
// was probably meant to be is put into meant.
func (l *loader) assignFromFlags(values map[string]assigned, meant map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(l.inputs.Vars)) {
		declared, ok := l.variables.byName["var."+name]
		if !ok {
			sentence, instead := didYouMean(name, l.variableNames())
			meant[instead] = true
			l.report.suggestAt(hcl.Range{}, instead, "No such variable", "--var sets %q, but %s declares no such variable.%s", name, l.path, sentence)
			continue
		}
		values[name] = assigned{value: l.parseText(declared.item, l.inputs.Vars[name], "--var "+name)}
	}
}

// parseText makes a value of a text from outside: the text itself for a
// variable of a primitive type, otherwise the constant expression that it is.
func (l *loader) parseText(v *variable, text, origin string) cty.Value {
	what := "The value given with " + origin
	if v.verbatim {
		return l.convertVariable(v, cty.StringVal(text), v.header, what)
	}
	if v.sensitive {
		l.sources.addSecret(cty.StringVal(text))
	}
	quiet := newReporter()
	value, ok := l.budget.parseConstant(quiet, text, origin)
	if ok {
		return l.convertVariable(v, value, v.header, what)
	}
	if v.sensitive {
		l.report.errorAt(v.header, "Invalid expression", "%s for the variable %q is no constant expression. It is sensitive, so nothing more is shown.", what, v.name)
		return cty.DynamicVal
	}
	l.sources.addVirtual(origin, []byte(text))
	l.report.add(quiet.list...)
	return cty.DynamicVal
}

// parseConstant evaluates an expression that refers to nothing and calls nothing.
func (b *budget) parseConstant(report *reporter, text, name string) (cty.Value, bool) {
	tokens, _ := hclsyntax.LexExpression([]byte(text), name, hcl.InitialPos)
	if at, problem := checkNesting(tokens); problem != "" {
		report.errorAt(at, "Expression too complex", "%s", problem)
		return cty.NilVal, false
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), name, hcl.InitialPos)
	report.add(diags...)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	meter(expr)
	value, diags := expr.Value(b.constants(expr))
	for _, diag := range diags {
		report.add(spent(diag))
	}
	return value, !diags.HasErrors()
}

// assignFromFiles takes the files of variables in order.
func (l *loader) assignFromFiles(values map[string]assigned, meant map[string]bool) {
	for _, path := range l.inputs.VarFiles {
		src, ok := l.sources.readVarFile(l.ctx, path)
		if !ok {
			continue
		}
		body, ok := l.sources.parse(src, func(text []byte) []redaction {
			return brokenVarRedactions(text, l.variableNames(), l.sensitiveNames())
		})
		if !ok {
			continue
		}
		l.assignFromBody(values, meant, src, body)
	}
}

func (l *loader) assignFromBody(values map[string]assigned, meant map[string]bool, src *source, body *hclsyntax.Body) {
	for _, block := range body.Blocks {
		l.report.errorAt(block.TypeRange, "Unknown block", "A file of variables has attributes only: NAME = VALUE.")
	}
	plainNames := 0
	for _, attr := range sortedAttributes(body) {
		declared, ok := l.variables.byName["var."+attr.Name]
		if !ok {
			plainNames++
			sentence, instead := didYouMean(attr.Name, l.variableNames())
			meant[instead] = true
			l.report.suggestAt(attr.NameRange, instead, "No such variable", "%s declares no variable %q.%s", l.path, attr.Name, sentence)
			continue
		}
		v := declared.item
		if v.sensitive {
			l.sources.redactLiterals(attr.Expr)
		} else {
			plainNames++
		}
		at := attr.Expr.Range()
		values[v.name] = assigned{value: l.fileValue(v, attr.Expr), at: &at}
	}
	if plainNames == 0 && len(body.Attributes) > 0 && len(body.Blocks) == 0 {
		src.hashOnly = true
	}
}

// fileValue evaluates a value in a file of variables, which is a constant.
func (l *loader) fileValue(v *variable, expr hclsyntax.Expression) cty.Value {
	value, diags := expr.Value(l.budget.constants(expr))
	for _, diag := range diags {
		diag = spent(diag)
		if v.sensitive {
			diag = withoutValues(diag)
		}
		l.report.add(diag)
	}
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	return l.convertVariable(v, value, expr.Range(), "This value")
}

func (l *loader) variableNames() []string {
	return withoutPrefix(l.variables.order, "var.")
}

// sensitiveNames are the variables whose values must not be shown.
func (l *loader) sensitiveNames() map[string]bool {
	names := map[string]bool{}
	for _, declared := range l.variables.byName {
		if declared.item.sensitive {
			names[declared.item.name] = true
		}
	}
	return names
}

// parseEnviron reads an environment as os.Environ gives it. Of a name that is
// there twice the last counts, as for most programs.
func parseEnviron(environ []string) map[string]string {
	out := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			out[name] = value
		}
	}
	return out
}
