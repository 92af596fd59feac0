package archive

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzVerify: whatever lies in a packed run's place is compared or refused.
func FuzzVerify(f *testing.F) {
	root := f.TempDir()
	const id = "20261124T031500Z-1f3c9a"
	d, err := Create(root, "j", id)
	if err != nil {
		f.Fatal(err)
	}
	if err := d.WriteFile("logs/a", []byte("content")); err != nil {
		f.Fatal(err)
	}
	m := &Manifest{FormatVersion: ManifestVersion, RunID: id, Job: "j", Status: StatusOK}
	if err := Seal(f.Context(), d, m, nil); err != nil {
		f.Fatal(err)
	}
	path, err := Pack(f.Context(), d, m)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	other := filepath.Join(f.TempDir(), id+tarSuffix)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(other, data, 0o600); err != nil {
			t.Fatal(err)
		}
		diffs, err := Verify(t.Context(), other)
		if string(data) == string(whole) && (err != nil || len(diffs) > 0) {
			t.Errorf("the run as it was packed: %v, %v", diffs, err)
		}
	})
}
