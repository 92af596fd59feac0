package trace

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// shared finds a file of ../shared/traces beside the checkout; it skips the
// test where the folder is missing.
func shared(t testing.TB, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the shared traces are read without -short: under the race detector they take minutes")
	}
	path := filepath.Join("..", "..", "..", "shared", "traces", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the shared traces are missing beside the checkout: %v", err)
	}
	return path
}

// thorough skips a test under -short that reads tens of MB with encoding/json.
func thorough(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("reads tens of MB with encoding/json")
	}
}

// content is a file's uncompressed bytes, by the standard library's rules.
func content(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// decoded is a trace as encoding/json reads it, for tests to hold this package's
// own reading against.
type decoded struct {
	members map[string]json.RawMessage
	events  []decodedEvent
}

type decodedEvent struct {
	Ph, Cat, Name string
	PID, TID, ID  json.RawMessage
	TS, Dur       json.Number
	BP            string
	Args          json.RawMessage
	raw           json.RawMessage
}

func (e *decodedEvent) args() map[string]json.RawMessage {
	var args map[string]json.RawMessage
	json.Unmarshal(e.Args, &args)
	return args
}

func decode(t testing.TB, path string) decoded {
	t.Helper()
	var d decoded
	if err := json.Unmarshal(content(t, path), &d.members); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(d.members["traceEvents"], &raw); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	d.events = make([]decodedEvent, len(raw))
	for i, r := range raw {
		if err := json.Unmarshal(r, &d.events[i]); err != nil {
			t.Fatalf("%s: event %d: %v", path, i, err)
		}
		d.events[i].raw = r
	}
	return d
}

// write puts bytes into a file of the test's own folder.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
