package local

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSameDisk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{dir, dir, true},
		{filepath.Join(dir, "not", "yet"), dir, true},
		{dir, "/proc/self", false},
		{filepath.Join(file, "below"), dir, false}, // it can never be
	} {
		if got := SameDisk(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}
