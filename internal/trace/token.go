package trace

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// What the functions below answer instead of an index.
const (
	needMore  = -1 // the bytes end before the value does
	malformed = -2
	tooDeep   = -3
)

// skipSpace gives the index of the first byte at or after i that is not JSON
// white space; it may be len(b).
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString gives the index after the string that starts at b[i] == '"'.
func skipString(b []byte, i int) int {
	for i++; ; {
		k := bytes.IndexByte(b[i:], '"')
		if k < 0 {
			return needMore
		}
		end := i + k
		escapes := 0
		for p := end - 1; b[p] == '\\'; p-- {
			escapes++
		}
		if escapes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
}

// skipValue gives the index after the value that starts at b[i]. Brackets must
// match and strings must end; what else is between them is not looked at, for
// profilers write words there that JSON does not have (NaN, inf).
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return needMore
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	default:
		return skipScalar(b, i)
	}
}

func skipScalar(b []byte, i int) int {
	for start := i; i < len(b); i++ {
		switch byteClasses[b[i]] {
		case ending:
			if i == start {
				return malformed
			}
			return i
		case opening:
			return malformed
		}
	}
	return needMore
}

func skipNested(b []byte, i int) int {
	var objects [maxDepth / 64]uint64 // one bit a level: is it an object
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return i
			}
			continue
		case '{', '[':
			if depth == maxDepth {
				return tooDeep
			}
			bit := uint64(1) << (depth % 64)
			objects[depth/64] &^= bit
			if b[i] == '{' {
				objects[depth/64] |= bit
			}
			depth++
		case '}', ']':
			depth--
			isObject := objects[depth/64]>>(depth%64)&1 == 1
			if isObject != (b[i] == '}') {
				return malformed
			}
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return needMore
}

// member is the next key and value of an object, as indexes into its bytes.
type member struct {
	key        []byte // between the quotes, escapes as they are
	start, end int    // the value
	next       int    // where the next member starts, or, with last, after '}'
	last       bool
}

// nextMember reads the member of an object that starts at or after b[i], which
// is after the opening bracket or after a comma. The code is 0 or negative.
func nextMember(b []byte, i int) (m member, code int) {
	if i = skipSpace(b, i); i >= len(b) {
		return m, needMore
	}
	if b[i] != '"' {
		return m, malformed
	}
	end := skipString(b, i)
	if end < 0 {
		return m, end
	}
	m.key = b[i+1 : end-1]
	if i = skipSpace(b, end); i >= len(b) {
		return m, needMore
	}
	if b[i] != ':' {
		return m, malformed
	}
	m.start = skipSpace(b, i+1)
	if m.end = skipValue(b, m.start); m.end < 0 {
		return m, m.end
	}
	if i = skipSpace(b, m.end); i >= len(b) {
		return m, needMore
	}
	switch b[i] {
	case ',':
	case '}':
		m.last = true
	default:
		return m, malformed
	}
	m.next = i + 1
	return m, 0
}

// appendUnquoted appends the text of a JSON string to dst; s is what stands
// between the quotes. An escape that JSON does not have stays as it is: paths
// of Windows are seen unescaped.
func appendUnquoted(dst, s []byte) []byte {
	for len(s) > 0 {
		k := bytes.IndexByte(s, '\\')
		if k < 0 || k+1 == len(s) {
			return append(dst, s...)
		}
		dst = append(dst, s[:k]...)
		r, n := unescape(s[k:])
		if n == 0 {
			dst, s = append(dst, s[k], s[k+1]), s[k+2:]
			continue
		}
		dst, s = utf8.AppendRune(dst, r), s[k+n:]
	}
	return dst
}

// unescape reads the escape at the start of s, which has two bytes at least,
// and gives its length, or 0 where it is none of JSON's.
func unescape(s []byte) (rune, int) {
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(s)
		if !ok {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if low, ok := hex4(s[6:]); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 12
			}
		}
		return utf8.RuneError, 6
	default:
		return 0, 0
	}
}

// hex4 reads \uXXXX.
func hex4(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// parseNanos reads a decimal number of microseconds as whole nanoseconds,
// without a float: timestamps have more digits than a float64 holds. What is
// below a nanosecond is cut off. Quotes around it are allowed: torch_npu
// writes timestamps as strings.
func parseNanos(s []byte) (int64, bool) {
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	scale := 3 // decimal places still to come to be at nanoseconds
	var n uint64
	seen, point := false, false
	for i, c := range s {
		switch {
		case c >= '0' && c <= '9':
			seen = true
			if point && scale == 0 {
				continue
			}
			digit := uint64(c - '0')
			if n > (1<<63-1-digit)/10 {
				return 0, false
			}
			n = n*10 + digit
			if point {
				scale--
			}
		case c == '.' && seen && !point:
			point = true
		case (c == 'e' || c == 'E') && seen:
			return parseNanosExponent(s[:i], s[i+1:], negative)
		default:
			return 0, false
		}
	}
	if !seen {
		return 0, false
	}
	for ; scale > 0; scale-- {
		if n > (1<<63-1)/10 {
			return 0, false
		}
		n *= 10
	}
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}

// parseNanosExponent reads mantissa e exponent by moving the point.
func parseNanosExponent(mantissa, exponent []byte, negative bool) (int64, bool) {
	e, ok := parseInt(bytes.TrimPrefix(exponent, []byte("+")))
	if !ok || e < -64 || e > 64 || len(mantissa) > 64 {
		return 0, false
	}
	whole, frac, _ := bytes.Cut(mantissa, []byte("."))
	digits := append(append(make([]byte, 0, 256), whole...), frac...)
	at := len(whole) + int(e)
	for ; at <= 0; at++ {
		digits = append([]byte{'0'}, digits...)
	}
	for len(digits) < at {
		digits = append(digits, '0')
	}
	plain := append(append(append(make([]byte, 0, 256), digits[:at]...), '.'), digits[at:]...)
	n, ok := parseNanos(plain)
	if negative {
		n = -n
	}
	return n, ok
}

// parseInt reads a whole decimal number, quoted or not.
func parseInt(s []byte) (int64, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 18 {
		return parseWideInt(s, negative)
	}
	var n int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// parseWideInt reads the numbers of 19 digits that an int64 holds.
func parseWideInt(s []byte, negative bool) (int64, bool) {
	if len(s) != 19 {
		return 0, false
	}
	var n uint64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if n > 1<<63-1 {
		return 0, false
	}
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}
