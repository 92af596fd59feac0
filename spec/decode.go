package spec

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// The methods here take an attribute out of a body as a Go value: the one that
// was written, checked against the schema, or the schema's default. What cannot
// be used is reported and comes out as zero.

// str is a string that is not empty; absent, it is its default.
func (b *body) str(name string) string {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		return arg.Default
	}
	s, ok := b.convertTo(g, name, cty.String)
	if !ok {
		return ""
	}
	return b.checkString(arg, g, g.at, s.AsString())
}

// checkString holds one string against its argument's schema.
func (b *body) checkString(arg *Argument, g given, at hcl.Range, s string) string {
	switch {
	case s == "":
		b.failAt(g, at, "", "Empty string", "%s must not be empty.", arg.Name)
	case strings.ContainsRune(s, 0):
		b.failAt(g, at, "", "Invalid string", "%s must not contain a NUL character.", arg.Name)
		return ""
	case len(arg.OneOf) > 0 && !contains(arg.OneOf, s):
		_, instead := didYouMean(s, arg.OneOf)
		b.failAt(g, at, instead, "Invalid value", "%s must be one of %s, not %q.", arg.Name, quotedInOrder(arg.OneOf), s)
		return ""
	}
	return s
}

// boolean is true or false.
func (b *body) boolean(name string) bool {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		return arg.Default == "true"
	}
	v, ok := b.convertTo(g, name, cty.Bool)
	return ok && v.True()
}

// integer is a whole number within the schema's bounds.
func (b *body) integer(name string) int {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		return int(mustNumber(arg.Default))
	}
	v, ok := b.convertTo(g, name, cty.Number)
	if !ok {
		return 0
	}
	return b.whole(arg, g, g.at, name, v)
}

// whole makes an int of a number within the bounds of arg.
func (b *body) whole(arg *Argument, g given, at hcl.Range, name string, v cty.Value) int {
	n := v.AsBigFloat()
	if !n.IsInt() {
		b.failAt(g, at, "", "Not a whole number", "%s must be a whole number, not %s.", name, formatNumber(n))
		return 0
	}
	if !b.checkBounds(arg, g, at, name, n, formatNumber) {
		return 0
	}
	i, _ := n.Int64()
	return int(i)
}

// number is any number within the schema's bounds.
func (b *body) number(name string) float64 {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		return mustNumber(arg.Default)
	}
	v, ok := b.convertTo(g, name, cty.Number)
	if !ok || !b.checkBounds(arg, g, g.at, name, v.AsBigFloat(), formatNumber) {
		return 0
	}
	f, _ := v.AsBigFloat().Float64()
	return f
}

// seed is a whole number of 64 bits.
func (b *body) seed(name string) uint64 {
	g, ok := b.lookup(name)
	if !ok {
		return 0
	}
	v, ok := b.convertTo(g, name, cty.Number)
	if !ok {
		return 0
	}
	n := v.AsBigFloat()
	seed, accuracy := n.Uint64()
	if accuracy != big.Exact {
		b.fail(g, "", "Invalid number", "%s must be a whole number from 0 to 2^64-1, not %s.", name, formatNumber(n))
		return 0
	}
	return seed
}

// checkBounds holds a number against its argument's least and greatest value.
func (b *body) checkBounds(arg *Argument, g given, at hcl.Range, name string, n *big.Float, format func(*big.Float) string) bool {
	tooSmall := n.Cmp(big.NewFloat(arg.Min)) < 0
	tooLarge := arg.Max != 0 && n.Cmp(big.NewFloat(arg.Max)) > 0 || n.IsInf()
	if !tooSmall && !tooLarge {
		return true
	}
	bounds := format(big.NewFloat(arg.Min)) + " or more"
	if arg.Max != 0 {
		bounds = "between " + format(big.NewFloat(arg.Min)) + " and " + format(big.NewFloat(arg.Max))
	}
	b.failAt(g, at, "", "Out of range", "%s must be %s, not %s.", name, bounds, format(n))
	return false
}

// duration is a Go duration string within the schema's bounds.
func (b *body) duration(name string) time.Duration {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		return mustDuration(arg.Default)
	}
	text, ok := b.unitString(g, name, "duration", `"30s"`, "s")
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		b.fail(g, "", "Invalid duration", "%s must be a duration such as \"30s\", \"1m30s\" or \"500ms\" (units: ns, us, ms, s, m, h), not %q.", name, text)
		return 0
	}
	inUnits := func(n *big.Float) string {
		ns, _ := n.Int64()
		return fmt.Sprintf("%q", formatDuration(time.Duration(ns)))
	}
	if !b.checkBounds(arg, g, g.at, name, new(big.Float).SetInt64(int64(d)), inUnits) {
		return 0
	}
	return d
}

// size is a number of bytes, written with a unit.
func (b *body) size(name string) int64 {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		n, _ := parseSize(arg.Default)
		return n
	}
	text, ok := b.unitString(g, name, "size", `"10GiB"`, "GiB")
	if !ok {
		return 0
	}
	n, err := parseSize(text)
	if err != nil {
		b.fail(g, "", "Invalid size", "%s must be a size such as \"10GiB\" or \"500MB\": %s.", name, err)
		return 0
	}
	return n
}

// unitString is a string that has a unit. A number without one is the mistake
// most often made, so it gets a message of its own.
func (b *body) unitString(g given, name, what, example, unit string) (string, bool) {
	v := plain(g.value)
	if v.Type() != cty.String && v.Type() != cty.Number {
		b.fail(g, "", "Wrong type", "%s must be a %s such as %s, not %s.", name, what, example, typeName(v.Type()))
		return "", false
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", false // numbers and strings convert
	}
	text := strings.TrimSpace(s.AsString())
	if text == "" {
		b.fail(g, "", "Empty string", "%s must be a %s such as %s, not empty.", name, what, example)
		return "", false
	}
	if strings.Trim(text, "0123456789.+-") == "" {
		if what == "size" && len(text) > 5 {
			unit = "B" // so many are bytes
		}
		if len(text) > 15 {
			text, unit = strings.Trim(example, "\""), ""
		}
		instead := text + unit
		b.fail(g, instead, "Missing unit", "%s must be a %s with a unit. Did you mean %q?", name, what, instead)
		return "", false
	}
	return text, true
}

// strings is a list of strings, none of them empty.
func (b *body) strings(name string) []string {
	items, g, ok := b.list(name)
	if !ok {
		return nil
	}
	arg := b.schema.mustArgument(name)
	var out []string
	for _, item := range items {
		if s, ok := b.convertItem(g, item, name); ok {
			out = append(out, b.checkString(arg, g, item.at, s))
		}
	}
	return out
}

// item is one element of a list, with the place where it is written if the list
// is written out, otherwise that of the whole list.
type item struct {
	value cty.Value
	at    hcl.Range
}

// list takes a list apart, whatever kind of it. An empty one is refused: it is
// left out instead.
func (b *body) list(name string) ([]item, given, bool) {
	g, ok := b.lookup(name)
	if !ok {
		return nil, g, false
	}
	v := plain(g.value)
	t := v.Type()
	if !t.IsListType() && !t.IsTupleType() && !t.IsSetType() {
		b.fail(g, "", "Wrong type", "%s must be a list, such as [\"a\", \"b\"], not %s.", name, typeName(t))
		return nil, g, false
	}
	if v.LengthInt() == 0 {
		b.fail(g, "", "Empty list", "%s must not be empty.", name)
		return nil, g, false
	}
	places := elementPlaces(g.expr, v.LengthInt())
	var items []item
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		items = append(items, item{value: element, at: places[len(items)]})
	}
	return items, g, true
}

// elementPlaces are where the elements of a list are written.
func elementPlaces(expr hclsyntax.Expression, n int) []hcl.Range {
	places := make([]hcl.Range, n)
	written, _ := hcl.ExprList(expr)
	for i := range places {
		places[i] = expr.Range()
		if len(written) == n {
			places[i] = written[i].Range()
		}
	}
	return places
}

// convertItem makes a string of an element of a list.
func (b *body) convertItem(g given, it item, name string) (string, bool) {
	s, err := convert.Convert(it.value, cty.String)
	if err != nil || s.IsNull() {
		b.failAt(g, it.at, "", "Wrong type", "Each element of %s must be a string, not %s.", name, valueName(it.value))
		return "", false
	}
	return s.AsString(), true
}

// convertTo makes a value of a primitive type of what was written, as HCL does
// for its own arguments: "64" is a number where one is wanted.
func (b *body) convertTo(g given, name string, want cty.Type) (cty.Value, bool) {
	v := plain(g.value)
	converted, err := convert.Convert(v, want)
	if err != nil {
		b.fail(g, "", "Wrong type", "%s must be %s, not %s.", name, typeName(want), valueName(v))
		return cty.NilVal, false
	}
	return converted, true
}

// typeName is a type with its article.
func typeName(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType(), t.IsListType():
		return "a list"
	case t.IsSetType():
		return "a set"
	case t.IsObjectType():
		return "an object"
	case t.IsMapType():
		return "a map"
	}
	return t.FriendlyName()
}

// valueName is typeName for a value that is wrong: short strings are quoted, since it
// is often their text that is wrong ("yes" where true is wanted).
func valueName(v cty.Value) string {
	switch {
	case v.IsNull():
		return "null"
	case v.Type() == cty.String && v.IsKnown() && len(v.AsString()) <= maxNameLength:
		return fmt.Sprintf("%q", v.AsString())
	case v.Type() == cty.Bool && v.IsKnown():
		return fmt.Sprint(v.True())
	}
	return typeName(v.Type())
}

// formatNumber is a number as it would be written.
func formatNumber(n *big.Float) string {
	f, _ := n.Float64()
	if n.IsInt() && math.Abs(f) < 1e15 {
		return n.Text('f', 0)
	}
	return n.Text('g', 6)
}

// formatDuration is d as it would be written: "5m", not "5m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

// quotedInOrder is "a", "b" or "c".
func quotedInOrder(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}
