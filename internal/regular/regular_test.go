package regular

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(file, []byte("12345"), 0o600), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		limit int64
		want  string
	}{
		{file, 5, ""},
		{file, 4, "larger than the limit of 4 bytes"},
		{fifo, 5, "not a regular file"},
		{dir, 5, "not a regular file"},
		{"/dev/zero", 5, "not a regular file"},
		{filepath.Join(dir, "none"), 5, "no such file"},
	} {
		data, err := Read(c.path, c.limit)
		switch {
		case c.want == "" && (err != nil || string(data) != "12345"):
			t.Errorf("%s: %q, %v", c.path, data, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path)):
			t.Errorf("%s: got %v, want %q and the path", c.path, err, c.want)
		}
	}
}
