package gate

import (
	"encoding/json"
	"strconv"
	"strings"
)

// The texts of refusals repeat values as Python writes them.

// isWhole tells whether Python reads a JSON number as an int.
func isWhole(n json.Number) bool { return !strings.ContainsAny(n.String(), ".eE") }

// number writes a JSON number as Python's str does.
func number(n json.Number) string {
	if isWhole(n) {
		if n == "-0" {
			return "0"
		}
		return n.String()
	}
	f, _ := n.Float64() // out of range is an infinity, in Python as here
	return float(f)
}

// float writes a float as Python's repr does.
func float(f float64) string {
	s := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, ok := strings.Cut(s, "e")
	if !ok { // +Inf, -Inf, NaN
		return strings.ToLower(strings.TrimPrefix(s, "+"))
	}
	if n, _ := strconv.Atoi(exponent); n < -4 || n >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// short writes a float as Python's %g does.
func short(f float64) string {
	s := strconv.FormatFloat(f, 'g', 6, 64)
	if mantissa, exponent, ok := strings.Cut(s, "e"); ok {
		return trimZeros(mantissa) + "e" + exponent
	}
	return trimZeros(s)
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// repr writes a value as Python's repr does, for common characters.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case json.Number:
		return number(v)
	case string:
		return quote(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = repr(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *object:
		parts := make([]string, len(v.keys))
		for i, key := range v.keys {
			parts[i] = quote(key) + ": " + repr(v.values[key])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return ""
}

func quote(s string) string {
	mark := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = `"`
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
	if mark == "'" {
		s = strings.ReplaceAll(s, "'", `\'`)
	}
	return mark + s + mark
}
