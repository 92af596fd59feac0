package durable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// noise is content in which no two places are alike.
func noise(n int) []byte {
	all := make([]byte, 0, n+sha256.Size)
	for block := sha256.Sum256(nil); len(all) < n; block = sha256.Sum256(block[:]) {
		all = append(all, block[:]...)
	}
	return all[:n]
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// begin opens a part and fails where it does not go on from there.
func begin(t *testing.T, path, id string, from int64) *Part {
	t.Helper()
	p, err := OpenPart(t.Context(), path, id)
	if err != nil {
		t.Fatal(err)
	}
	if p.From() != from || p.Size() != from {
		t.Fatalf("it begins at %d of %d, want %d", p.From(), p.Size(), from)
	}
	return p
}

func put(t *testing.T, p *Part, data []byte) {
	t.Helper()
	for len(data) > 0 { // in pieces, as copies come
		n := min(len(data), 1<<16)
		if _, err := p.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
}

func commit(t *testing.T, p *Part, want []byte) {
	t.Helper()
	size, sum, err := p.Commit()
	if err != nil || size != int64(len(want)) || sum != sumOf(want) {
		t.Errorf("%d bytes, %s, %v", size, sum, err)
	}
	if data, err := os.ReadFile(p.path); err != nil || !bytes.Equal(data, want) {
		t.Errorf("the file is another one, %v", err)
	}
}

// killed is a part whose process was killed: nothing of it is closed in order.
func killed(t *testing.T, p *Part) {
	t.Helper()
	if err := errors.Join(p.data.Close(), p.sums.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPart(t *testing.T) {
	content := noise(10 << 20)
	for _, c := range []struct {
		name  string
		after func(t *testing.T, p *Part)                 // what ended the first go, after 9 MiB
		then  func(t *testing.T, path, part, sums string) // what happened meanwhile
		id    string
		from  int64
	}{
		{"an error", func(t *testing.T, p *Part) { mustDo(t, p.Keep()) }, nil, "id", 9 << 20},
		{"a kill", killed, nil, "id", 8 << 20},
		{"a kill, another source", killed, nil, "id 2", 0},
		{"thrown away", func(t *testing.T, p *Part) { mustDo(t, p.Discard()) }, nil, "id", 0},
		{"a crash that lost data", killed, func(t *testing.T, _, part, _ string) { mustDo(t, os.Truncate(part, 5<<20)) }, "id", 4 << 20},
		{"a crash that left zeros", killed, func(t *testing.T, _, part, _ string) {
			mustDo(t, os.Truncate(part, 5<<20), os.Truncate(part, 9<<20))
		}, "id", 4 << 20},
		{"a crash that lost all data", killed, func(t *testing.T, _, part, _ string) { mustDo(t, os.Truncate(part, 0)) }, "id", 0},
		{"a crash that lost the data's name", killed, func(t *testing.T, _, part, _ string) { mustDo(t, os.Remove(part)) }, "id", 0},
		{"a crash that lost the checkpoints", killed, func(t *testing.T, _, _, sums string) { mustDo(t, os.Remove(sums)) }, "id", 0},
		{"half a checkpoint", killed, func(t *testing.T, _, _, sums string) {
			info, err := os.Stat(sums)
			mustDo(t, err, os.Truncate(sums, info.Size()-3))
		}, "id", 4 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, strings.Repeat("n", 255)) // as long as names may be
			p := begin(t, path, "id", 0)
			put(t, p, content[:9<<20])
			c.after(t, p)
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Fatal("half a file bears the final name")
			}
			for _, name := range strings.Fields(names(t, dir)) {
				if !IsTmp(name) {
					t.Errorf("%s does not tell that it is not final", name)
				}
			}
			if c.then != nil {
				c.then(t, path, partName(path, "part"), partName(path, "sums"))
			}
			p = begin(t, path, c.id, c.from)
			put(t, p, content[c.from:])
			commit(t, p, content)
			if _, sum, ok, err := Written(t.Context(), path, c.id); !ok || err != nil || sum != sumOf(content) {
				t.Errorf("it is not known as written: %v, %v", ok, err)
			}
			if _, err := OpenPart(t.Context(), path, c.id); !errors.Is(err, fs.ErrExist) {
				t.Errorf("written over: %v", err)
			}
			mustDo(t, DiscardPart(path))
			if got := names(t, dir); got != filepath.Base(path) {
				t.Errorf("left behind: %s", got)
			}
		})
	}
}

// A kill between the last byte and the rename: all is there, and only the name is missing.
func TestPartBeforeItsName(t *testing.T) {
	content := noise(5 << 20)
	path := filepath.Join(t.TempDir(), "f")
	p := begin(t, path, "id", 0)
	put(t, p, content)
	mustDo(t, p.checkpoint(wholeMark))
	killed(t, p)
	if _, _, ok, err := Written(t.Context(), path, "id"); ok || err != nil {
		t.Errorf("a file that is not there is written: %v", err)
	}
	p = begin(t, path, "id", 5<<20)
	put(t, p, []byte("and more"))
	commit(t, p, append(content, "and more"...))
	if size, _, ok, _ := Written(t.Context(), path, "id"); !ok || size != 5<<20+8 {
		t.Errorf("it is not known as written: %d", size)
	}
}

func TestWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	p := begin(t, path, "id", 0)
	put(t, p, []byte("content"))
	commit(t, p, []byte("content"))
	if size, ok := Begun(path, "id"); !ok || size != 7 {
		t.Errorf("%d bytes were begun, %v", size, ok)
	}
	if _, ok := Begun(path, "other"); ok {
		t.Error("it was begun for another id")
	}
	if _, _, ok, err := Written(t.Context(), path, "other"); ok || err != nil {
		t.Errorf("it was written for another id: %v", err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if _, _, ok, err := Written(ended, path, "id"); ok || err == nil || err.Error() != "over" {
		t.Errorf("the context has ended: %v, %v", ok, err)
	}
	mustDo(t, os.WriteFile(path, []byte("CONTENT"), 0o600))
	if _, _, ok, err := Written(t.Context(), path, "id"); ok || err != nil {
		t.Errorf("what was changed since is as it was written: %v", err)
	}
}

// The end of ctx ends the reading of what is there, and leaves it.
func TestOpenPartEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	p := begin(t, path, "id", 0)
	put(t, p, noise(5<<20))
	killed(t, p)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if _, err := OpenPart(ended, path, "id"); err == nil || err.Error() != "over" {
		t.Errorf("got %v", err)
	}
	mustDo(t, begin(t, path, "id", 4<<20).Discard())
}

func FuzzCheckpoints(f *testing.F) {
	sum := strings.Repeat("0", 64)
	f.Add("\"id\"\n4 "+sum+"\n9 "+sum+" whole\n", "id")
	f.Add("\"id\"\n9 "+sum+"\n4 "+sum+"\n", "id")
	f.Add("\"id\"\n-1 x\n", "id")
	f.Add("\"a\\nb\"\n4", "a\nb")
	f.Fuzz(func(t *testing.T, text, id string) {
		points, ok := parseCheckpoints(strings.NewReader(text), id)
		if ok != (len(points) > 0) {
			t.Fatalf("%v of %d", ok, len(points))
		}
		for i, c := range points {
			if c.size < 0 || c.end > int64(len(text)) || i > 0 && (c.size < points[i-1].size || c.end <= points[i-1].end || points[i-1].whole) {
				t.Errorf("%d: %+v", i, points)
			}
		}
	})
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
