package archive

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNewest(t *testing.T) {
	root := t.TempDir()
	all := func(*Manifest) bool { return true }
	if m, err := Newest(root, "job", all); m != nil || err != nil {
		t.Errorf("without runs: %v, %v", m, err)
	}
	sealedRun(t, root, "job", runA)
	packedRun(t, root, "job", runB)
	newRun(t, root, "job", runC) // not sealed
	sealedRun(t, root, "other", runC)
	broken := filepath.Join(root, "job", "20261125T031500Z-dddddd")
	mustDo(t, os.Mkdir(broken, 0o700), os.WriteFile(filepath.Join(broken, manifestName), []byte("{"), 0o600))
	for _, c := range []struct {
		name   string
		serves func(*Manifest) bool
		want   string
	}{
		{"any", all, runB},
		{"another", func(m *Manifest) bool { return m.RunID != runB }, runA},
		{"none", func(*Manifest) bool { return false }, ""},
	} {
		m, err := Newest(root, "job", c.serves)
		if err != nil || (m == nil) != (c.want == "") || m != nil && m.RunID != c.want {
			t.Errorf("%s: %+v, %v", c.name, m, err)
		}
	}
	mustDo(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	if _, err := Newest(root, "file", all); err == nil {
		t.Error("the folder of a job may be a file")
	}
}
