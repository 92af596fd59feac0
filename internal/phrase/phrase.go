// Package phrase writes numbers and texts as people read them: numbers with three digits
// that matter and a unit, texts without what is not for reading. It knows nothing of what
// they are of.
package phrase

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Unknown stands where a number is not known.
const Unknown = "–"

// Nanos writes a time in ns: "0", "830 ns", "12.3 µs", "4.57 ms", "1.20 s", "184 s".
func Nanos(ns int64) string {
	if ns == 0 {
		return "0"
	}
	if ns < 0 {
		return "-" + Nanos(-max(ns, -1<<62))
	}
	value, unit := float64(ns), "ns"
	for _, next := range []string{"µs", "ms", "s"} {
		if value < 999.5 {
			break
		}
		value, unit = value/1000, next
	}
	return digits(value) + " " + unit
}

// digits writes three digits that matter; whole numbers stay whole.
func digits(value float64) string {
	switch {
	case value == float64(int64(value)) && value < 1000:
		return strconv.FormatInt(int64(value), 10)
	case value < 9.995:
		return strconv.FormatFloat(value, 'f', 2, 64)
	case value < 99.95:
		return strconv.FormatFloat(value, 'f', 1, 64)
	}
	return strconv.FormatFloat(value, 'f', 0, 64)
}

// Count writes a number with a space between thousands; below 0 it is not known.
func Count(n int64) string {
	if n < 0 {
		return Unknown
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// Percent writes a part of a whole: "81 %", "0.4 %"; nothing of nothing is unknown.
func Percent(part, whole int64) string {
	if whole <= 0 {
		return Unknown
	}
	p := 100 * float64(part) / float64(whole)
	if p != 0 && p > -9.95 && p < 9.95 {
		return fmt.Sprintf("%.1f %%", p)
	}
	return fmt.Sprintf("%.0f %%", p)
}

// Bytes writes a size in binary units: "512 B", "1.50 MiB".
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-max(n, -1<<62))
	}
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1023.5 {
			break
		}
		value, unit = value/1024, next
	}
	return digits(value) + " " + unit
}

// FLOPs writes a number of floating point operations: "1.20 GFLOP".
func FLOPs(n int64) string {
	value, unit := float64(n), "FLOP"
	for _, next := range []string{"kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"} {
		if value < 999.5 {
			break
		}
		value, unit = value/1000, next
	}
	return digits(value) + " " + unit
}

// Of writes "1 step" and "2 steps".
func Of(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + one + "s"
}

// Short keeps a name within a number of characters: kernels' names are types, told
// apart by their beginning and, less often, by their end.
func Short(name string, most int) string {
	name = strings.TrimPrefix(strings.ToValidUTF8(name, "\ufffd"), "void ")
	n := utf8.RuneCountInString(name)
	if n <= most || most < 4 {
		return name
	}
	runes := []rune(name)
	tail := (most - 1) / 4
	return string(runes[:most-1-tail]) + "…" + string(runes[n-tail:])
}
