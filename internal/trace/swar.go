package trace

import (
	"encoding/binary"
	"math/bits"
)

// What is read eight bytes at a time: most of a trace is short strings and
// short numbers, for which a call a byte, or one of a vector routine for each,
// costs more than the bytes themselves.

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// word gives the eight bytes at b[i], the first as the lowest. b must have them.
func word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// zeros has the high bit of each byte of w that is 0, and perhaps of bytes
// above such a one: the lowest is right.
func zeros(w uint64) uint64 { return (w - lows) & ^w & highs }

// stringEnd gives the index of the first quote or backslash at or after b[i],
// or len(b).
func stringEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := word(b, i)
		if found := zeros(w^('"'*lows)) | zeros(w^('\\'*lows)); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '"' || b[i] == '\\' {
			return i
		}
	}
	return i
}

// shortString is skipString, for strings that are most often short.
func shortString(b []byte, i int) int {
	end := stringEnd(b, i+1)
	switch {
	case end == len(b):
		return needMore
	case b[end] == '"':
		return end + 1
	default:
		return skipString(b, i)
	}
}

// digits gives how many of the bytes of w, from the lowest, are digits, and the
// number that they make.
func digits(w uint64) (n int, value uint64) {
	w ^= '0' * lows
	n = bits.TrailingZeros64(((w+0x76*lows)|w)&highs) / 8
	return n, decimal(w << (64 - 8*n))
}

// decimal is the number whose eight decimal digits are the bytes of w, the
// first the lowest: pairs are joined, then pairs of pairs, then those.
func decimal(w uint64) uint64 {
	w = w * (1 + 10<<8) >> 8 & 0x00ff00ff00ff00ff
	w = w * (1 + 100<<16) >> 16 & 0x0000ffff0000ffff
	return w * (1 + 10000<<32) >> 32
}

// powers are those of ten.
var powers = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// nanosAt reads a plain decimal number of microseconds as nanoseconds: at most
// 16 digits, then perhaps a point and at most 7 more. The index after it is 0 where
// there is anything else.
func nanosAt(b []byte, i int) (ns int64, end int) {
	if i+32 > len(b) {
		return 0, 0
	}
	negative := b[i] == '-'
	if negative {
		i++
	}
	n, value := digits(word(b, i))
	if n == 0 {
		return 0, 0
	}
	i += n
	if n == 8 {
		more, low := digits(word(b, i))
		value = value*powers[more] + low
		i += more
	}
	value *= 1000
	if b[i] == '.' {
		w := word(b, i+1) ^ '0'*lows
		n := bits.TrailingZeros64(((w+0x76*lows)|w)&highs) / 8
		switch {
		case n == 0 || n == 8:
			return 0, 0
		case n < 3:
			value += decimal(w<<(64-8*n)) * powers[3-n]
		default:
			value += decimal(w << (64 - 24))
		}
		i += 1 + n
	}
	if byteClasses[b[i]] != ending || value >= maxTime {
		return 0, 0
	}
	if negative {
		return -int64(value), i
	}
	return int64(value), i
}

// byteClass is what a byte is outside of strings.
type byteClass uint8

const (
	ordinary byteClass = iota // of numbers and words
	ending                    // what may follow a number: , } ] and white space
	opening                   // what may not be within one: " { [ :
)

// byteClasses are those of all bytes; those above ASCII stand in strings only.
var byteClasses = func() (c [256]byteClass) {
	for i := range c {
		if i <= ' ' {
			c[i] = ending
		} else if i >= 0x80 {
			c[i] = opening
		}
	}
	c[','], c['}'], c[']'] = ending, ending, ending
	c['"'], c['{'], c['['], c[':'] = opening, opening, opening, opening
	return c
}()
