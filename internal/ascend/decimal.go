package ascend

import "strings"

// maxTime bounds every time and every sum of times, in ns: 73 years.
const maxTime = 1 << 61

// nanoseconds reads a decimal number, with an exponent or without, of a unit that has
// 10^digits ns, and rounds it to whole ns. No float is on the way: one does not hold
// µs since 1970.
func nanoseconds(text string, digits int) (int64, bool) {
	text, negative := strings.CutPrefix(text, "-")
	if !negative {
		text = strings.TrimPrefix(text, "+")
	}
	mantissa, exponent, hasExponent := cutExponent(text)
	if hasExponent {
		e, ok := exponentOf(exponent)
		if !ok {
			return 0, false
		}
		digits += e
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	if whole+part == "" {
		return 0, false
	}
	var n int64
	up := false
	for i := range len(whole) + max(len(part), digits, 0) {
		digit := byte('0')
		switch {
		case i < len(whole):
			digit = whole[i]
		case i < len(whole)+len(part):
			digit = part[i-len(whole)]
		}
		if digit < '0' || digit > '9' {
			return 0, false
		}
		switch at := i - len(whole) - digits; { // 0 is the first digit below a ns
		case at < 0:
			if n > maxTime/10 {
				return 0, false
			}
			if n = n*10 + int64(digit-'0'); n >= maxTime {
				return 0, false
			}
		case at == 0:
			up = digit >= '5'
		}
	}
	if up {
		n++
	}
	if negative {
		n = -n
	}
	return n, true
}

func cutExponent(text string) (mantissa, exponent string, ok bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// exponentOf reads what follows the e. More than 99 no time has.
func exponentOf(text string) (int, bool) {
	text, negative := strings.CutPrefix(text, "-")
	if !negative {
		text = strings.TrimPrefix(text, "+")
	}
	if text == "" || len(text) > 2 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}
