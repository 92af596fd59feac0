package proc

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"profjob/internal/scrub"
)

// TestHideStaysSmall: what was copied is given back to the disk.
func TestHideStaysSmall(t *testing.T) {
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	f, write, err := newFollower(dir, log, scrub.Of([]string{"s3cret-value"}))
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	for range 64 {
		if _, err := write.WriteString(strings.Repeat("a line of text\n", 1<<17/15*8)); err != nil {
			t.Fatal(err)
		}
		f.poll()
	}
	info, err := f.raw.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if held := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() < 60<<20 || held > 4<<20 {
		t.Errorf("of %d bytes the disk holds %d", info.Size(), held)
	}
	if err := write.Truncate(0); err != nil { // as `: > /dev/stdout` does
		t.Fatal(err)
	}
	if _, err := write.WriteString("anew s3cret-value\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if text := read(t, log.Name()); !strings.HasSuffix(text, "a line of text\nanew (sensitive)\n") {
		t.Errorf("the end of the log is %q", text[len(text)-60:])
	}
}
