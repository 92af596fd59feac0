package rules

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// limitRow is a row of docs/limits.md that names a constant.
var limitRow = regexp.MustCompile("(?m)^\\| (.+?) \\| ([0-9 ]+)([A-Za-z ]*) \\|.*\\| `([a-z0-9/]+)\\.([A-Za-z]+)` \\|$")

// unitOf is what a unit of docs/limits.md stands for; a time is in ns.
var unitOf = map[string]int64{"": 1, "characters": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1e9, "min": 60e9}

// TestLimits holds the table of limits to the constants that it names.
func TestLimits(t *testing.T) {
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := limitRow.FindAllStringSubmatch(string(text), -1)
	if named := strings.Count(string(text), "` |\n"); len(rows) != named || named < 40 {
		t.Fatalf("%d rows name a constant, %d were read", named, len(rows))
	}
	for _, row := range rows {
		unit, known := unitOf[strings.TrimSpace(row[3])]
		number := constant.MakeFromLiteral(strings.ReplaceAll(row[2], " ", ""), token.INT, 0)
		if !known || number.Kind() != constant.Int {
			t.Errorf("%s: the limit %s%s cannot be read", row[1], row[2], row[3])
			continue
		}
		says := constant.BinaryOp(number, token.MUL, constant.MakeInt64(unit))
		is := constantOf(t, row[4], row[5])
		if is == nil || !constant.Compare(constant.ToInt(is), token.EQL, says) {
			t.Errorf("%s: the table says %s%s, %s.%s is %v", row[1], row[2], row[3], row[4], row[5], is)
		}
	}
}

// constantOf evaluates a package's constant; nil: there is none of that name.
func constantOf(t *testing.T, folder, name string) constant.Value {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, s := range group.Specs {
				spec := s.(*ast.ValueSpec) // a group of constants has no other
				for i, n := range spec.Names {
					if n.Name == name && i < len(spec.Values) {
						return evaluate(spec.Values[i])
					}
				}
			}
		}
	}
	return nil
}

// evaluate knows what limits are written with: numbers, products, shifts, and the units of time.
func evaluate(e ast.Expr) constant.Value {
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0)
	case *ast.ParenExpr:
		return evaluate(e.X)
	case *ast.SelectorExpr:
		return constant.MakeInt64(map[string]int64{"Second": 1e9, "Minute": 60e9}[e.Sel.Name])
	case *ast.BinaryExpr:
		x, y := evaluate(e.X), evaluate(e.Y)
		if x == nil || y == nil {
			return nil
		}
		if e.Op == token.SHL {
			by, _ := constant.Uint64Val(y)
			return constant.Shift(x, e.Op, uint(by))
		}
		return constant.BinaryOp(x, e.Op, y)
	}
	return nil
}
