package perfetto

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOpenBrowser(t *testing.T) {
	if err := OpenBrowser("http://x", func(string) string { return "" }); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("without a display: %v", err)
	}
	display := func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] }
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := OpenBrowser("http://x", display); err == nil {
		t.Error("without xdg-open it opens something")
	}
	seen := filepath.Join(dir, "seen")
	script := "#!/bin/sh\necho \"$1\" >" + seen + ".tmp && /bin/mv " + seen + ".tmp " + seen + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	const link = "https://ui.perfetto.dev/#!/?url=http://127.0.0.1:9001/a&b"
	if err := OpenBrowser(link, display); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got, err := os.ReadFile(seen); err == nil {
			if string(got) != link+"\n" {
				t.Errorf("opened %q", got)
			}
			return
		}
	}
	t.Fatal("nothing was opened")
}
