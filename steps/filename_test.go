package steps

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzFileName(f *testing.F) {
	for _, c := range []struct{ in, want string }{
		{"rank0.1.pt.trace.json.gz", "rank0.1.pt.trace.json.gz"},
		{"ü ñ.trace.json", "ü ñ.trace.json"},
		{"\x1b[31mred\n.trace.json", "_[31mred_.trace.json"},
		{"a\xff.trace.json", "a_.trace.json"},
		{"\u202etxt.json", "_txt.json"},
		{"..", "_.."}, {".", "_."}, {"", "_"},
		{strings.Repeat("x", 240) + ".trace.json", strings.Repeat("x", 189) + ".trace.json"},
	} {
		if got := fileName(c.in); got != c.want {
			f.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := fileName(in)
		if !utf8.ValidString(got) || len(got) > maxFileName || got != filepath.Base(got) || !filepath.IsLocal(got) || got == "." {
			t.Errorf("%q became %q", in, got)
		}
		if fileName(got) != got {
			t.Errorf("%q became %q, and that %q", in, got, fileName(got))
		}
	})
}
