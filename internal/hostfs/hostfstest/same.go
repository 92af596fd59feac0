package hostfstest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testSame checks what a copy that was cut off goes by: a file that nobody has touched
// is listed as before, and one that was written on, written anew or replaced is not.
func testSame(t *testing.T, open Open) {
	root := t.TempDir()
	path := write(t, root, "sub/a.json", "0123456789")
	f := open(t, root)
	listed := func() string {
		files, err := f.List(t.Context(), ".")
		if err != nil || len(files) != 1 {
			t.Fatalf("list: %v, %v", files, err)
		}
		return fmt.Sprintf("%d %s %s", files[0].Size, files[0].ModTime.UTC(), files[0].ID)
	}
	before := listed()
	if got, err := read(t.Context(), f, "sub/a.json", 4); err != nil || got != "456789" {
		t.Errorf("read %q, %v", got, err)
	}
	if again := listed(); again != before {
		t.Errorf("an untouched file was %s and is %s", before, again)
	}
	later := time.Now().Add(2 * time.Second) // times may be told to the second
	for _, c := range []struct {
		name   string
		change func() error
	}{
		{"written on", func() error { return os.WriteFile(path, []byte("0123456789a"), 0o600) }},
		{"written anew, as long as before", func() error {
			return errors.Join(os.WriteFile(path, []byte("9876543210a"), 0o600), os.Chtimes(path, later, later))
		}},
		{"replaced", func() error {
			other := filepath.Join(root, "other")
			later = later.Add(2 * time.Second)
			return errors.Join(os.WriteFile(other, []byte("9876543210b"), 0o600), os.Chtimes(other, later, later), os.Rename(other, path))
		}},
	} {
		before := listed()
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if after := listed(); after == before {
			t.Errorf("%s: it is listed as before, %s", c.name, after)
		}
	}
}
