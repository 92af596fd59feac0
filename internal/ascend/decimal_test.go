package ascend

import (
	"math/big"
	"testing"
)

func TestNanoseconds(t *testing.T) {
	for _, c := range []struct {
		text   string
		digits int
		want   int64
		ok     bool
	}{
		{"1704161511420306.491", 3, 1704161511420306491, true},
		{"1713174287407957.0", 3, 1713174287407957000, true},
		{"8e-05", 6, 80, true},
		{"0.014939999999999998", 6, 14940, true},
		{"0.0000004", 6, 0, true},
		{"0.0000005", 6, 1, true},
		{"1.5E+1", 3, 15000, true},
		{"-2.25", 3, -2250, true},
		{"+7", 3, 7000, true},
		{".5", 3, 500, true},
		{"5.", 3, 5000, true},
		{"12", 0, 12, true},
		{"2305843009213693.951", 3, 1<<61 - 1, true},
		{"2305843009213693.952", 3, 0, false},
		{"1e99", 3, 0, false},
		{"0e99", 9, 0, true},
		{"5e-99", 3, 0, true},
		{"1e100", 3, 0, false},
		{"", 3, 0, false}, {".", 3, 0, false}, {"-", 3, 0, false}, {"e5", 3, 0, false}, {"1e", 3, 0, false},
		{"nan", 3, 0, false}, {"NaN", 3, 0, false}, {"inf", 3, 0, false}, {"-Infinity", 3, 0, false},
		{"1,5", 3, 0, false}, {"0x10", 3, 0, false}, {"1.2.3", 3, 0, false}, {"--1", 3, 0, false}, {"1 2", 3, 0, false},
		{"9999999999999999999999", 3, 0, false},
	} {
		got, ok := nanoseconds(c.text, c.digits)
		if got != c.want && c.ok || ok != c.ok {
			t.Errorf("%q of 10^%d ns is %d, %v, not %d, %v", c.text, c.digits, got, ok, c.want, c.ok)
		}
	}
}

// FuzzNanoseconds holds the numbers against exact ones.
func FuzzNanoseconds(f *testing.F) {
	for _, s := range []string{"1704161511420306.491", "8e-05", "-0.5", "1e99", "nan", "00000000000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := nanoseconds(s, 3)
		if !ok || len(s) > 400 {
			return
		}
		exact, valid := new(big.Rat).SetString(s)
		if !valid {
			t.Fatalf("%q is no number and was read as %d", s, got)
		}
		exact.Mul(exact, big.NewRat(1000, 1))
		apart := exact.Sub(exact, new(big.Rat).SetInt64(got))
		if apart.Abs(apart).Cmp(big.NewRat(1, 2)) > 0 {
			t.Fatalf("%q is %d", s, got)
		}
	})
}
