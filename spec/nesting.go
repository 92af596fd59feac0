package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	// maxNesting bounds the depth of the tree that the parser makes of a file.
	// Parser and evaluator call themselves for every level of it, and a stack
	// that has no room left ends the process.
	maxNesting = 200
	// maxNumberLength and maxExponent bound number literals: 1e999999999 is a
	// number of twelve characters that needs a gigabyte when written out.
	maxNumberLength = 64
	maxExponent     = 3 // digits
)

// checkNesting looks for the things in a file that would make parsing or
// evaluating it more than a file is worth. It gives the first place and what is
// wrong there; an empty problem: nothing.
//
// The depth is estimated from above: an open bracket, quote or template
// sequence is a level, and so is each operator since the last comma or end of
// line in the same brackets.
func checkNesting(tokens hclsyntax.Tokens) (at hcl.Range, problem string) {
	type level struct {
		newlineSeparates bool
		operators        int // or index brackets, or open template directives
	}
	levels := []level{{newlineSeparates: true}}
	depth := 0
	for i, token := range tokens {
		top := &levels[len(levels)-1]
		switch token.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
			hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			if token.Type == hclsyntax.TokenOBrack {
				top.operators++
				depth++
			}
			if token.Type == hclsyntax.TokenTemplateControl {
				change := templateDirective(tokens[i+1:])
				top.operators += change
				depth += change
			}
			levels = append(levels, level{newlineSeparates: token.Type == hclsyntax.TokenOBrace})
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen,
			hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			if len(levels) > 1 {
				depth -= 1 + top.operators
				levels = levels[:len(levels)-1]
			}
		case hclsyntax.TokenComma:
			depth -= top.operators
			top.operators = 0
		case hclsyntax.TokenNewline:
			if top.newlineSeparates {
				depth -= top.operators
				top.operators = 0
			}
		case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
			hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
			hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenBang, hclsyntax.TokenQuestion:
			top.operators++
			depth++
		case hclsyntax.TokenNumberLit:
			if numberTooLong(string(token.Bytes)) {
				return token.Range, fmt.Sprintf("A number has at most %d characters and an exponent of at most %d digits.", maxNumberLength, maxExponent)
			}
		}
		if depth > maxNesting {
			return token.Range, fmt.Sprintf("Brackets and operators are nested more than %d levels deep here.", maxNesting)
		}
	}
	return hcl.Range{}, ""
}

// templateDirective is 1 if the tokens begin a template directive that goes on
// until its end is written, -1 if they write the end.
func templateDirective(tokens hclsyntax.Tokens) int {
	if len(tokens) == 0 {
		return 0
	}
	switch string(tokens[0].Bytes) {
	case "if", "for":
		return 1
	case "endif", "endfor":
		return -1
	}
	return 0
}

func numberTooLong(literal string) bool {
	if len(literal) > maxNumberLength {
		return true
	}
	_, exponent, _ := strings.Cut(strings.ToLower(literal), "e")
	return len(strings.TrimLeft(exponent, "+-0")) > maxExponent
}
