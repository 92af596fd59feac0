package runner

import (
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"profjob/internal/event"
	"profjob/steps"
)

// A line that does not fit on the disk leaves no half line behind, so that the
// journal can be read, and written again once there is room.
func TestJournalTakesHalfLinesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	entry := func(text string) event.Entry { return event.Entry{Event: event.Warning{Text: text}} }
	if err := j.Read(entry("first")); err != nil {
		t.Fatal(err)
	}
	limitFileSize(t, uint64(j.size)+20, func() {
		err := j.Read(entry(strings.Repeat("x", 100)))
		var f *steps.Failure
		if !errors.Is(err, syscall.EFBIG) || !errors.As(err, &f) || f.Exit != steps.ExitIncomplete {
			t.Errorf("got %v", err)
		}
	})
	if err := j.Read(entry("second")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[1])) || !strings.Contains(lines[0], "first") || !strings.Contains(lines[1], "second") {
		t.Errorf("the journal holds %q", lines)
	}
}

// limitFileSize runs f while files of this process cannot grow beyond a size.
func limitFileSize(t *testing.T, size uint64, f func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, &old); err != nil {
		t.Skip("no limit of file sizes: ", err)
	}
	defer func() {
		if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &old, nil); err != nil {
			t.Error(err)
		}
	}()
	f()
}
