package trace

import (
	"math/big"
	"strings"
	"testing"
)

func TestParseNanos(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"12", 12000, true},
		{"4710971523653.425", 4710971523653425, true},
		{"1661203463029566", 1661203463029566000, true},
		{"9223372036854775.807", 9223372036854775807, true},
		{"0.5", 500, true},
		{"0.0019", 1, true},
		{"-1.5", -1500, true},
		{`"1690000000000.250"`, 1690000000000250, true},
		{"1.5e3", 1500000, true},
		{"15E-1", 1500, true},
		{"1e+2", 100000, true},
		{"5e-10", 0, true},
		{"9223372036854775.808", 0, false},
		{"92233720368547758", 0, false},
		{"1e30", 0, false},
		{"", 0, false}, {"-", 0, false}, {".5", 0, false}, {"1.2.3", 0, false}, {"NaN", 0, false},
		{"1e", 0, false}, {"e5", 0, false}, {`""`, 0, false}, {"0x10", 0, false},
	} {
		got, ok := parseNanos([]byte(test.text))
		if ok != test.ok || ok && got != test.want {
			t.Errorf("parseNanos(%s) = %d, %v, want %d, %v", test.text, got, ok, test.want, test.ok)
		}
	}
}

func FuzzParseNanos(f *testing.F) {
	for _, s := range []string{"0", "4710971523653.425", "-1.5", "1.5e3", "15E-1", "9223372036854775.807", "1e18", "0.00000000001e13"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseNanos([]byte(s))
		want, valid := new(big.Rat).SetString(s)
		if !ok || !valid || strings.ContainsAny(s, `"/_xXpPbBoO`) {
			return
		}
		want.Mul(want, big.NewRat(1000, 1))
		whole := new(big.Int).Quo(want.Num(), want.Denom()) // cut off towards zero
		if whole.Cmp(big.NewInt(got)) != 0 {
			t.Errorf("parseNanos(%s) = %d, want %v", s, got, whole)
		}
	})
}

func TestSkipValue(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	for _, test := range []struct {
		text string
		want int
	}{
		{`"a" `, 3}, {`"a\"b"`, 6}, {`"a\\"x`, 5}, {`"\\\""`, 6}, {`"`, needMore}, {`"a\"`, needMore},
		{`12,`, 2}, {`12`, needMore}, {`NaN]`, 3}, {`,`, malformed}, {`1"`, malformed},
		{`{"a":[1,"]"]}x`, 13}, {`{]`, malformed}, {`[}`, malformed}, {`[{"a":1}`, needMore},
		{deep, 2 * maxDepth}, {"[" + deep + "]", tooDeep},
	} {
		if got := skipValue([]byte(test.text), 0); got != test.want {
			t.Errorf("skipValue(%.40s) = %d, want %d", test.text, got, test.want)
		}
	}
}

func TestUnquoted(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`plain`, "plain"},
		{`a\"b\\c\/d\b\f\n\r\t`, "a\"b\\c/d\b\f\n\r\t"},
		{`\u00e9\u4e2D`, "é中"},
		{`\ud83d\ude00!`, "😀!"},
		{`\ud83d!`, "\uFFFD!"},
		{`\ude00\ud83d`, "\uFFFD\uFFFD"},
		{`C:\Users\x`, `C:\Users\x`},
		{`\u12`, `\u12`},
	} {
		if got := string(appendUnquoted(nil, []byte(test.text))); got != test.want {
			t.Errorf("unquoted %s = %q, want %q", test.text, got, test.want)
		}
	}
}
