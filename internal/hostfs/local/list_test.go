package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"profjob/internal/hostfs"
)

func TestListStopsAtTheLimit(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := New(dir)
	f.maxEntries = 10
	if files, err := f.List(t.Context(), "."); err != nil || len(files) != 10 {
		t.Errorf("at the limit: %d files, %v", len(files), err)
	}
	f.maxEntries = 9
	if files, err := f.List(t.Context(), "."); !errors.Is(err, hostfs.ErrTooMany) || files != nil {
		t.Errorf("over the limit: %d files, %v", len(files), err)
	}
}
