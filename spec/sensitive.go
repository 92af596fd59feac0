package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Secret is a string that may be sensitive. Exactly one of the fields is set: a
// plain value, or the reference under which Job.Secrets has it. Where nothing
// was written, both are empty.
type Secret struct {
	Value string `json:"value,omitempty"`
	Ref   string `json:"secret,omitempty"`
}

// sensitiveMark is on every value that must not be shown, and on all that was
// made of one.
type sensitiveMark struct{}

// fileMark is on what the function file gives: if any of it turns out to be
// sensitive, then so is the file that it came from.
type fileMark struct{ source *source }

func isSensitive(v cty.Value) bool { return v.HasMarkDeep(sensitiveMark{}) }

// plain is the value without marks.
func plain(v cty.Value) cty.Value {
	v, _ = v.UnmarkDeep()
	return v
}

// callsSensitive says whether the expression makes something sensitive itself.
func callsSensitive(expr hclsyntax.Expression) bool {
	found := false
	_ = hclsyntax.VisitAll(expr, func(node hclsyntax.Node) hcl.Diagnostics {
		if call, ok := node.(*hclsyntax.FunctionCallExpr); ok && call.Name == "sensitive" {
			found = true
		}
		return nil
	})
	return found
}

// sayNothing are the diagnostics of the HCL library that speak of an
// expression's text only. The others may quote a value: "cannot parse "hunter2"
// as a base 10 integer".
var sayNothing = map[string]bool{
	"Call to unknown function":      true,
	"Not enough function arguments": true,
	"Too many function arguments":   true,
	"Too much to evaluate":          true,
	"Unknown variable":              true,
	"Unsupported attribute":         true,
}

// withoutValues takes out of a diagnostic what may show a value that the
// expression has used.
func withoutValues(diag *hcl.Diagnostic) *hcl.Diagnostic {
	quiet := *diag
	quiet.Expression, quiet.EvalContext, quiet.Extra = nil, nil, nil
	if !sayNothing[diag.Summary] {
		quiet.Detail = "The expression fails. Why is not shown, since it uses a sensitive value."
	}
	return &quiet
}
