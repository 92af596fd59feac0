package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hiding starts a shell script whose log must not show the values.
func hiding(t *testing.T, script string, hide ...string) (p *Process, log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	p, err := Start(Spec{Command: []string{"sh", "-c", script}, Env: os.Environ(), Dir: dir, Log: log, Hide: hide})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.End(t.Context(), 0) })
	return p, log
}

// becomes waits until a file holds a text, and all the while looks for a value in it.
func becomes(t *testing.T, log, want, never string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		text := read(t, log)
		if strings.Contains(text, never) {
			t.Fatalf("the log shows %q: %q", never, text)
		}
		if text == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log is %q, want %q", text, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestHide: the log shows no value at any time, also one that comes in parts, and
// lines while the process runs. No other file is there.
func TestHide(t *testing.T) {
	p, log := hiding(t, `echo first s3cret-value; printf s3cret-; sleep 0.3; echo value; echo to stderr: s3cret-value >&2; read line; echo last s3cret-`, "s3cret-value")
	becomes(t, log, "first (sensitive)\n(sensitive)\nto stderr: (sensitive)\n", "s3cret-value")
	if entries, err := os.ReadDir(filepath.Dir(log)); err != nil || len(entries) != 1 {
		t.Errorf("beside the log there are %v, %v", entries, err)
	}
	if err := p.End(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if err := p.End(t.Context(), 0); err != nil {
		t.Errorf("once more: %v", err)
	}
	if got := read(t, log); !strings.HasPrefix(got, "first (sensitive)\n(sensitive)\nto stderr: (sensitive)\n") {
		t.Errorf("the log is %q", got)
	}
}

// TestHideAtTheEnd: who waits for the process's end finds what it has written.
func TestHideAtTheEnd(t *testing.T) {
	p, log := hiding(t, `echo a s3cret-value; exit 3`, "s3cret-value")
	if code := exitCode(t, p); code != 3 || read(t, log) != "a (sensitive)\n" {
		t.Errorf("exit status %d, log %q", code, read(t, log))
	}
}

// TestNobodyFollows: a process whose follower has ended is neither blocked nor ended
// by that, however much it writes.
func TestNobodyFollows(t *testing.T) {
	p, log := hiding(t, `echo before; while [ ! -e go ]; do sleep 0.02; done; head -c 3000000 /dev/zero; exit 7`, "s3cret-value")
	becomes(t, log, "before\n", "s3cret-value")
	if err := p.CloseLog(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(log), "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, p); code != 7 {
		t.Errorf("exit status %d", code)
	}
}
