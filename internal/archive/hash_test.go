package archive

import (
	"os"
	"path/filepath"
	"testing"
)

// The hash is the one that sha256sum gives.
func TestHashFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc")
	mustDo(t, os.WriteFile(path, []byte("abc"), 0o600))
	got, err := HashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Copied{Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	_, err = HashFile(filepath.Join(t.TempDir(), "absent"))
	wantError(t, err, "hash: ", "absent")
}
