package runner

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// journalLines are of a run that was cut off in its window.
const journalLines = `{"seq":1,"time":"2026-11-24T03:15:00Z","event":"run_started","data":{"run_id":"20261124T031500Z-1f3c9a","job":"j"}}
{"seq":2,"time":"2026-11-24T03:15:01Z","event":"step_started","data":{"step":"window-1","round":1,"attempt":1,"kind":"window"}}
{"seq":3,"time":"2026-11-24T03:15:02Z","event":"step_noted","data":{"step":"window-1","round":1,"attempt":1,"kind":"window","result":{"endpoints":[]}}}
`

// TestHistoryLimits: a journal that somebody has put there is refused, by name and
// with little memory.
func TestHistoryLimits(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	f, err := os.Create(long)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4 << 30); err != nil { // a hole: one line of 4 GiB
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{long: "268435456 bytes", "/dev/zero": "not a regular file", dir: "not a regular file"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readHistory(path)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 1<<30 {
			t.Errorf("%s: the heap grew by %d MiB", path, grown>>20)
		}
	}
}

func TestReadLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader(strings.Repeat("a", 40)+"\nb\nhalf"), 16)
	for _, want := range []string{strings.Repeat("a", 40) + "\n", "b\n"} {
		if line, err := readLine(r, 41); err != nil || string(line) != want {
			t.Errorf("got %q, %v", line, err)
		}
	}
	if line, err := readLine(r, 41); err != io.EOF || string(line) != "half" {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := readLine(bufio.NewReaderSize(strings.NewReader(strings.Repeat("a", 42)), 16), 41); err == nil || !strings.Contains(err.Error(), "41 bytes, the limit") {
		t.Errorf("got %v", err)
	}
}

// FuzzHistory: whatever a journal holds, it is read or refused, and what was left
// to do can be worked out.
func FuzzHistory(f *testing.F) {
	f.Add([]byte(journalLines))
	f.Add([]byte(journalLines + `{"seq":4,"event":"attempt_failed","data":{"round":1,"attempt":1,"final":true}}` + "\n" + `{"seq":5,"event":"warning","data":{"text":"w"}}` + "\n"))
	f.Add([]byte(journalLines + `{"seq":-1,"event":"step_finished","data":{"step":"x","round":-7,"kind":"collect","result":{"files":[{"path":"../x"}]}}}` + "\n"))
	f.Add([]byte("null\n[]\n"))
	plan, err := os.ReadFile("testdata/full.plan.json")
	if err != nil {
		f.Fatal(err)
	}
	p, err := DecodePlan(plan)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), journalName)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := readHistory(path)
		if err != nil {
			return
		}
		if h.size > int64(len(data)) {
			t.Errorf("%d bytes of lines in %d", h.size, len(data))
		}
		l := h.left(p)
		_ = l.failure()
		_ = l.keepers(p)
		_, _ = l.window(p, h)
	})
}
