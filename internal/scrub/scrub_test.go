package scrub

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOf(t *testing.T) {
	got := Of([]string{"four", "abc", "", " longer one\n", "four", "    "})
	want := Values{[]byte("longer one"), []byte("four")}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// cut is what is left of a text that comes in parts.
func cut(t testing.TB, text string, byByte bool, values ...string) string {
	t.Helper()
	src := iotest.DataErrReader(strings.NewReader(text))
	if byByte {
		src = iotest.OneByteReader(strings.NewReader(text))
	}
	var out bytes.Buffer
	found, err := Of(values).Copy(&out, src)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(out.String(), Marker) - strings.Count(text, Marker); found != want {
		t.Errorf("found %d, want %d", found, want)
	}
	return out.String()
}

func TestCopy(t *testing.T) {
	for _, c := range []struct {
		name, text string
		values     []string
		want       string
	}{
		{"no values", "abc", nil, "abc"},
		{"empty", "", []string{"s3cret"}, ""},
		{"nothing of it", "abc def", []string{"s3cret"}, "abc def"},
		{"whole", "s3cret", []string{"s3cret"}, "(sensitive)"},
		{"twice at once", "s3crets3cret", []string{"s3cret"}, "(sensitive)(sensitive)"},
		{"its start at the end", "x s3cre", []string{"s3cret"}, "x s3cre"},
		{"the longest first", "a=s3cret-long b=s3cret", []string{"s3cret", "s3cret-long"}, "a=(sensitive) b=(sensitive)"},
		{"the first of those that overlap", "aaaabbbbcccc", []string{"bbbbcccc", "aaaabb"}, "(sensitive)bbcccc"},
		{"a part of it again", "s3cs3cret", []string{"s3cret"}, "s3c(sensitive)"},
	} {
		for _, byByte := range []bool{false, true} {
			if got := cut(t, c.text, byByte, c.values...); got != c.want {
				t.Errorf("%s, by byte %t: %q, want %q", c.name, byByte, got, c.want)
			}
		}
	}
}

// A value across the border of two chunks is found wherever the border lies in it.
func TestCopyAcrossChunks(t *testing.T) {
	const value = "s3cret-across"
	for before := chunk - len(value) - 1; before <= chunk+1; before++ {
		text := strings.Repeat("x", before) + value + strings.Repeat("y", chunk)
		want := strings.Repeat("x", before) + Marker + strings.Repeat("y", chunk)
		if got := cut(t, text, false, value); got != want {
			t.Errorf("%d bytes before it: it is not cut out", before)
		}
	}
}

// Nothing is held back but what may be the beginning of a value.
func TestWriterDoesNotDelay(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, Of([]string{"s3cret-and-long"}))
	for _, c := range []struct{ write, want string }{
		{"a line\n", "a line\n"},
		{"no end s", "a line\nno end "},
		{"3", "a line\nno end "},
		{"x\n", "a line\nno end s3x\n"},
		{"s3cret-and-", "a line\nno end s3x\n"},
		{"long", "a line\nno end s3x\n(sensitive)"},
	} {
		if _, err := w.Write([]byte(c.write)); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("after %q: %q, want %q", c.write, out.String(), c.want)
		}
	}
}

// However a text comes in, what is left of it is the same.
func FuzzCopy(f *testing.F) {
	f.Add("a=s3cret b=s3cret-long", "s3cret", "s3cret-long")
	f.Add("aaaaaaaaaaa", "aaaa", "aaaaaa")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		if strings.Contains(text, Marker) {
			t.Skip("what stands there already cannot be told from what was put there")
		}
		if whole, parts := cut(t, text, false, a, b), cut(t, text, true, a, b); whole != parts {
			t.Errorf("at once %q, by byte %q", whole, parts)
		}
	})
}
