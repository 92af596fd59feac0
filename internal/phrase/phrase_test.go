package phrase

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Nanos(0), "0"}, {Nanos(830), "830 ns"}, {Nanos(12_345), "12.3 µs"}, {Nanos(4_567_890), "4.57 ms"}, {Nanos(999_499), "999 µs"},
		{Nanos(999_999), "1.00 ms"}, {Nanos(1_200_000_000), "1.20 s"}, {Nanos(184_000_000_000), "184 s"}, {Nanos(-1500), "-1.50 µs"}, {Nanos(math.MinInt64), "-4611686018 s"},
		{Count(-1), Unknown}, {Count(0), "0"}, {Count(1234567), "1\u202f234\u202f567"}, {Count(999), "999"},
		{Percent(1, 4), "25 %"}, {Percent(1, 300), "0.3 %"}, {Percent(0, 3), "0 %"}, {Percent(1, 0), Unknown},
		{Bytes(512), "512 B"}, {Bytes(1536 << 10), "1.50 MiB"}, {Bytes(-1024), "-1 KiB"},
		{FLOPs(1_200_000_000), "1.20 GFLOP"}, {Of(1, "step"), "1 step"}, {Of(2, "step"), "2 steps"}, {Of(0, "step"), "0 steps"},
		{Short("void short", 20), "short"}, {Short("abcdefghijklmnopqrstuvwxyz", 12), "abcdefghi…yz"}, {Short("a\xffb", 9), "a\ufffdb"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func FuzzShort(f *testing.F) {
	f.Add("void kernel<float, 4>(int)", 12)
	f.Fuzz(func(t *testing.T, name string, most int) {
		s := Short(name, most)
		if !utf8.ValidString(s) {
			t.Errorf("%q", s)
		}
		if n := utf8.RuneCountInString(s); most >= 4 && n > most {
			t.Errorf("%d characters, at most %d: %q", n, most, s)
		}
	})
}

func TestShortIsStable(t *testing.T) {
	if s := Short(strings.Repeat("x", 1<<20), 40); utf8.RuneCountInString(s) != 40 {
		t.Error(s)
	}
}
