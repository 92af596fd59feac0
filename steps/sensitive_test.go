package steps

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSensitiveValues(t *testing.T) {
	got := sensitiveValues(map[string]string{"a": "four", "b": "abc", "c": "", "d": " longer one\n", "e": "four", "f": "    "})
	if want := [][]byte{[]byte("longer one"), []byte("four")}; !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// cut is what is left of a text that comes in parts.
func cut(t testing.TB, text string, byByte bool, values ...string) string {
	t.Helper()
	secrets := map[string]string{}
	for _, v := range values {
		secrets[v] = v
	}
	src := iotest.DataErrReader(strings.NewReader(text))
	if byByte {
		src = iotest.OneByteReader(strings.NewReader(text))
	}
	var out bytes.Buffer
	found, err := cutSensitive(&out, src, sensitiveValues(secrets))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(out.String(), sensitiveMarker) - strings.Count(text, sensitiveMarker); found != want {
		t.Errorf("found %d, want %d", found, want)
	}
	return out.String()
}

func TestCutSensitive(t *testing.T) {
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
func TestCutSensitiveAcrossChunks(t *testing.T) {
	const value = "s3cret-across"
	for before := logChunk - len(value) - 1; before <= logChunk+1; before++ {
		text := strings.Repeat("x", before) + value + strings.Repeat("y", logChunk)
		want := strings.Repeat("x", before) + sensitiveMarker + strings.Repeat("y", logChunk)
		if got := cut(t, text, false, value); got != want {
			t.Errorf("%d bytes before it: it is not cut out", before)
		}
	}
}

// However a text comes in, what is left of it is the same.
func FuzzCutSensitive(f *testing.F) {
	f.Add("a=s3cret b=s3cret-long", "s3cret", "s3cret-long")
	f.Add("aaaaaaaaaaa", "aaaa", "aaaaaa")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		if strings.Contains(text, sensitiveMarker) {
			t.Skip("what stands there already cannot be told from what was put there")
		}
		if whole, parts := cut(t, text, false, a, b), cut(t, text, true, a, b); whole != parts {
			t.Errorf("at once %q, by byte %q", whole, parts)
		}
	})
}
