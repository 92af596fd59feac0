package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// scope evaluates expressions with what may be referred to where they stand.
type scope struct {
	*loader
	// roots are the first names that references may have here.
	roots []string
	// because says why the others may not be used: "a variable's own block cannot refer to anything".
	because string
	each    *each
}

// each is the key and the value that a for_each has made a job for.
type each struct{ key, value cty.Value }

// static is the scope of what is read before anything can be referred to.
func (l *loader) static() *scope {
	return &scope{loader: l, because: "this is read before anything that could be referred to"}
}

// validation is the scope of a variable's conditions.
func (l *loader) validation() *scope {
	return &scope{loader: l, roots: []string{"var"}, because: "a validation can refer to variables only"}
}

// general is the scope of locals, targets and loads.
func (l *loader) general() *scope {
	return &scope{loader: l, roots: []string{"var", "local", "target", "load"}, because: "it is known only inside of a job that has for_each"}
}

// instance is the scope of a job's body; e is nil without for_each.
func (l *loader) instance(e *each) *scope {
	s := l.general()
	if e != nil {
		s.roots = append(s.roots, "each")
		s.each = e
	}
	return s
}

// knownRoots are the first names that references have anywhere.
var knownRoots = []string{"var", "local", "target", "load", "each"}

// evaluate gives the expression's value. A value that is unknown means that
// something is wrong with it or with what it refers to, and that this has been
// reported.
func (s *scope) evaluate(expr hclsyntax.Expression) cty.Value {
	values, ok := s.resolve(expr)
	if !ok {
		return cty.DynamicVal
	}
	ctx := &hcl.EvalContext{Variables: values, Functions: s.functions}
	v, diags := expr.Value(ctx)
	for _, diag := range diags {
		diag = spent(diag)
		if s.usesSensitive(expr, values) {
			diag = withoutValues(diag)
		}
		s.report.add(diag)
	}
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	return v
}

// resolve collects the values that an expression refers to, in the form in
// which it can be evaluated. It is false if one of them does not exist or may not
// be used here.
func (s *scope) resolve(expr hclsyntax.Expression) (map[string]cty.Value, bool) {
	used := map[string]map[string]cty.Value{} // root → address → value
	ok := true
	for _, traversal := range expr.Variables() {
		if diag := s.resolveOne(traversal, used); diag != nil {
			s.report.add(diag)
			ok = false
		}
	}
	values := map[string]cty.Value{}
	for root, byAddress := range used {
		values[root] = rootValue(root, byAddress)
	}
	if s.each != nil {
		values["each"] = cty.ObjectVal(map[string]cty.Value{"key": s.each.key, "value": s.each.value})
	}
	return values, ok
}

func (s *scope) resolveOne(traversal hcl.Traversal, used map[string]map[string]cty.Value) *hcl.Diagnostic {
	root := traversal.RootName()
	if !slices.Contains(s.roots, root) {
		return s.refuse(traversal)
	}
	if root == "each" {
		return checkEach(traversal)
	}
	ref, diag := s.refer(traversal)
	if diag != nil {
		return diag
	}
	if used[root] == nil {
		used[root] = map[string]cty.Value{}
	}
	for _, address := range ref.addresses {
		value, ok := s.values[address]
		if !ok {
			value = cty.DynamicVal // part of a cycle
		}
		used[root][address] = value
	}
	return nil
}

// refuse says what is wrong with a reference whose first name is none that can
// be used in the scope.
func (s *scope) refuse(traversal hcl.Traversal) *hcl.Diagnostic {
	root := traversal.RootName()
	diag := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Reference not allowed here", Subject: traversal.SourceRange().Ptr()}
	switch {
	case slices.Contains(knownRoots, root):
		diag.Detail = fmt.Sprintf("%q cannot be used here: %s.", root, s.because)
	case root == "job":
		diag.Detail = "A job cannot be referred to."
	case len(s.roots) == 0:
		diag.Detail = fmt.Sprintf("There is nothing called %q here: %s. A string needs quotes.", root, s.because)
	default:
		diag.Summary = "Unknown name"
		sentence, instead := didYouMean(root, s.roots)
		if instead == "" {
			sentence = " A reference begins with " + strings.Join(s.roots, ", ") + "; a string needs quotes."
		} else {
			diag.Extra = suggestion(instead)
		}
		diag.Detail = fmt.Sprintf("There is nothing called %q.%s", root, sentence)
	}
	return diag
}

func checkEach(traversal hcl.Traversal) *hcl.Diagnostic {
	names := leadingNames(traversal[1:], 1)
	if len(names) == 0 || names[0] == "key" || names[0] == "value" {
		return nil
	}
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Unknown name",
		Detail:   fmt.Sprintf("There is no each.%s, only each.key and each.value.", names[0]),
		Subject:  traversal.SourceRange().Ptr(),
	}
}

// rootValue makes the object of a root of the values below it.
func rootValue(root string, byAddress map[string]cty.Value) cty.Value {
	if nameCount[root] == 1 {
		attrs := map[string]cty.Value{}
		for address, value := range byAddress {
			attrs[strings.TrimPrefix(address, root+".")] = value
		}
		return cty.ObjectVal(attrs)
	}
	groups := map[string]map[string]cty.Value{}
	for address, value := range byAddress {
		group, name, _ := strings.Cut(strings.TrimPrefix(address, root+"."), ".")
		if groups[group] == nil {
			groups[group] = map[string]cty.Value{}
		}
		groups[group][name] = value
	}
	attrs := map[string]cty.Value{}
	for group, values := range groups {
		attrs[group] = cty.ObjectVal(values)
	}
	return cty.ObjectVal(attrs)
}

// usesSensitive says whether anything that goes into the expression is
// sensitive. It looks at the whole expression: inside of a for expression the
// elements of a sensitive list no longer say that they are.
func (s *scope) usesSensitive(expr hclsyntax.Expression, values map[string]cty.Value) bool {
	return s.secretDefaults[expr] || callsSensitive(expr) || slices.ContainsFunc(slices.Collect(maps.Values(values)), isSensitive)
}
