package spec

import (
	"context"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format gives the text in the usual layout: indentation, and equals signs one
// below the other. It changes white space only. Text that is no valid HCL is
// laid out as far as it is understood; see [CheckSyntax].
func Format(text []byte) []byte { return hclwrite.Format(text) }

// CheckSyntax says whether the text can be parsed as a job file, without
// evaluating any of it.
func CheckSyntax(path string, text []byte) *Diagnostics {
	l := newLoader(context.Background(), path, nil, Inputs{})
	if src, ok := l.sources.addMain(path, text); ok {
		l.sources.parse(src, brokenRedactions)
	}
	return l.finish()
}
