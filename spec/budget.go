package spec

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

const (
	// maxLoops bounds the elements that all the for expressions of a job file go through.
	maxLoops = 100_000
	// maxMade bounds what its templates and functions make, in bytes, each element
	// of a collection counted as 16.
	maxMade = 64 << 20
)

// budget is what is left for the evaluation of one job file. A few lines of
// nested loops and templates would else fill the memory, or never end. What was
// spent is spent: try and can catch the error, but the next one follows.
type budget struct {
	loops int
	made  int
}

func (b *budget) loop(n int) error {
	if b.loops += n; b.loops > maxLoops {
		return fmt.Errorf("the for expressions of the file go through more than %d elements", maxLoops)
	}
	return nil
}

func (b *budget) make(v cty.Value) error {
	b.made += sizeOf(v, maxMade)
	return b.room(0)
}

// room says whether n more may be made.
func (b *budget) room(n int) error {
	if n > maxMade || b.made+n > maxMade {
		return fmt.Errorf("the templates and functions of the file make more than %s", formatSize(maxMade))
	}
	return nil
}

// The functions that meter puts into expressions. No job file can call them: a name
// has no spaces.
const (
	loopFunction = "for loop"
	partFunction = "template part"
)

// meter makes the for expressions and templates of a body or an expression say what
// they use: the evaluator, which is a library's, has no limits of its own.
func meter(node hclsyntax.Node) {
	_ = hclsyntax.VisitAll(node, meterNode) // it gives no diagnostics
}

func meterNode(node hclsyntax.Node) hcl.Diagnostics {
	switch n := node.(type) {
	case *hclsyntax.ForExpr:
		n.CollExpr = metered(loopFunction, n.CollExpr)
	case *hclsyntax.TemplateExpr:
		for i, part := range n.Parts {
			if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
				n.Parts[i] = metered(partFunction, part)
			}
		}
	}
	return nil
}

func metered(name string, expr hclsyntax.Expression) hclsyntax.Expression {
	at := expr.Range()
	return &hclsyntax.FunctionCallExpr{Name: name, Args: []hclsyntax.Expression{expr}, NameRange: at, OpenParenRange: at, CloseParenRange: at}
}

func (b *budget) functions() map[string]function.Function {
	return map[string]function.Function{
		loopFunction: passing(func(v cty.Value) error {
			if !v.CanIterateElements() {
				return nil // what is wrong with it the expression says itself
			}
			return b.loop(v.LengthInt())
		}),
		partFunction: passing(b.make),
	}
}

// passing gives its argument, after it was looked at.
func passing(look func(cty.Value) error) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
		}},
		Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, _ := args[0].Unmark()
			if err := look(v); err != nil {
				return cty.NilVal, err
			}
			return args[0], nil
		},
	})
}

// limited is a pure function that does not make more than there is room for.
func (b *budget) limited(name string, f function.Function) function.Function {
	estimate := estimates[name]
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      f.Params(),
		VarParam:    f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if estimate != nil {
				n, err := estimate(args)
				if err == nil {
					err = b.room(n)
				}
				if err != nil {
					return cty.NilType, err
				}
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := f.Call(args)
			if err == nil {
				err = b.make(v)
			}
			return v, err
		},
	})
}

// estimates tell of the functions that can make much of little how much, from
// above, before they do.
var estimates = map[string]func(args []cty.Value) (int, error){
	"setproduct": func(args []cty.Value) (int, error) {
		n := 1
		for _, arg := range args {
			n = product(n, length(arg))
		}
		return product(n, len(args)), nil
	},
	"join": func(args []cty.Value) (int, error) {
		n := 0
		for _, list := range args[1:] {
			n += length(list)
		}
		return product(n, len(text(args, 0))), nil
	},
	"indent": func(args []cty.Value) (int, error) {
		if !args[0].IsKnown() || args[0].IsNull() {
			return 0, nil
		}
		spaces, _ := args[0].AsBigFloat().Int64()
		return product(int(min(max(spaces, 0), maxMade+1)), strings.Count(text(args, 1), "\n")), nil
	},
	"replace": func(args []cty.Value) (int, error) {
		return product(strings.Count(text(args, 0), text(args, 1)), len(text(args, 2))), nil
	},
	"regexreplace": func(args []cty.Value) (int, error) {
		in, with := text(args, 0), text(args, 2)
		pattern, err := regexp.Compile(text(args, 1))
		if err != nil {
			return 0, nil // the function says it better
		}
		return product(len(pattern.FindAllStringIndex(in, -1)), len(with)) + product(strings.Count(with, "$"), len(in)), nil
	},
	"format":     formatted,
	"formatlist": formatted,
	"jsondecode": func(args []cty.Value) (int, error) {
		if tooDeepJSON(text(args, 0)) {
			return 0, fmt.Errorf("the JSON is nested more than %d levels deep", maxNesting)
		}
		return 0, nil
	},
}

// formatted: each verb may write the largest argument, for each element of the longest list.
func formatted(args []cty.Value) (int, error) {
	most, times := 0, 1
	for _, arg := range args[1:] {
		if !arg.IsKnown() || arg.IsNull() {
			continue
		}
		if t := arg.Type(); t.IsListType() || t.IsTupleType() || t.IsSetType() {
			times = max(times, arg.LengthInt())
		}
		most = max(most, sizeOf(arg, maxMade))
	}
	format := text(args, 0)
	if longNumber.MatchString(format) {
		return 0, errors.New("a width or a precision has more than 4 digits")
	}
	return product(product(strings.Count(format, "%"), most), times), nil
}

// longNumber is a width or precision that fills the memory by itself.
var longNumber = regexp.MustCompile(`%[^a-zA-Z%]*[0-9]{5}`)

// product is a·b, or more than any limit where that is too large for an int.
func product(a, b int) int {
	if a > maxMade || b > maxMade {
		return maxMade + 1
	}
	return a * b
}

// length is the number of elements of a collection, 0 of anything else.
func length(v cty.Value) int {
	v, _ = v.Unmark()
	if !v.CanIterateElements() {
		return 0
	}
	return v.LengthInt()
}

// text is a string argument, empty where it is none or not known.
func text(args []cty.Value, i int) string {
	if i >= len(args) {
		return ""
	}
	v, _ := args[i].Unmark()
	if v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return ""
	}
	return v.AsString()
}

// tooDeepJSON looks at brackets outside of strings only: what else is wrong the
// decoder says.
func tooDeepJSON(s string) bool {
	depth, inString := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > maxNesting {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// elementSize is what each value counts beside its content, in bytes.
const elementSize = 16

// sizeOf is the size of a value: the bytes of its strings, the digits of its
// numbers, and the number of its elements. It stops counting above limit.
func sizeOf(v cty.Value, limit int) int {
	size := 0
	for _, part := range cty.DeepValues(v) {
		size += elementSize
		part, _ = part.Unmark()
		if !part.IsKnown() || part.IsNull() {
			continue
		}
		switch part.Type() {
		case cty.String:
			size += len(part.AsString())
		case cty.Number:
			exponent := part.AsBigFloat().MantExp(nil) // of two
			size += max(exponent, -exponent) / 3
		}
		if size > limit {
			break
		}
	}
	return size
}

// constants is what an expression is evaluated with that refers to nothing and
// calls nothing; nil where it calls something all the same, which is told then.
func (b *budget) constants(expr hclsyntax.Expression) *hcl.EvalContext {
	calls := false
	_ = hclsyntax.VisitAll(expr, func(node hclsyntax.Node) hcl.Diagnostics {
		if call, ok := node.(*hclsyntax.FunctionCallExpr); ok && call.Name != loopFunction && call.Name != partFunction {
			calls = true
		}
		return nil
	})
	if calls {
		return nil
	}
	return &hcl.EvalContext{Functions: b.functions()}
}

// spent puts into words of their own what the functions of a budget refuse.
func spent(diag *hcl.Diagnostic) *hcl.Diagnostic {
	extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](diag)
	if !ok {
		return diag
	}
	if name := extra.CalledFunctionName(); name != loopFunction && name != partFunction {
		return diag
	}
	if extra.FunctionCallError() == nil {
		return diag
	}
	return &hcl.Diagnostic{Severity: diag.Severity, Summary: "Too much to evaluate",
		Detail: strings.ToUpper(extra.FunctionCallError().Error()[:1]) + extra.FunctionCallError().Error()[1:] + ".", Subject: diag.Subject}
}
