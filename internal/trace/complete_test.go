package trace

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, path := range realFiles(t) {
		if err := Complete(t.Context(), path); err != nil {
			t.Error(err)
		}
	}
}

// TestCompleteGrowing cuts a file at each of its bytes, compressed and not.
func TestCompleteGrowing(t *testing.T) {
	whole := strings.TrimSpace(twoEvents)
	for _, data := range [][]byte{[]byte(whole), gzipped(t, []byte(whole))} {
		for n := range len(data) {
			if err := Complete(t.Context(), write(t, "x.json", data[:n])); !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut at %d of %d: %v", n, len(data), err)
			}
		}
		if err := Complete(t.Context(), write(t, "x.json", data)); err != nil {
			t.Fatal(err)
		}
	}
	// The stream is whole, but what it holds is not.
	if err := Complete(t.Context(), write(t, "x.gz", gzipped(t, []byte(whole[:90])))); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
}

func TestCompleteRejects(t *testing.T) {
	for _, text := range []string{"x}", "{}}", "{}{}", "[] ]", "1 []", `{"a":"]` + "\"}x}"} {
		if err := Complete(t.Context(), write(t, "x", []byte(text))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", text, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Complete(ctx, write(t, "x", []byte("{}"))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Complete(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file is complete")
	}
}

// TestClosingInPieces: where the pieces end makes no difference.
func TestClosingInPieces(t *testing.T) {
	text := `{"a\\":"b\"}]","c\\\\\"":[{"d":"\\"}]}`
	for size := 1; size <= len(text); size++ {
		c := closing{path: "x"}
		for r := strings.NewReader(text); ; {
			piece := make([]byte, size)
			n, err := r.Read(piece)
			if err == io.EOF {
				break
			}
			if err := c.read(piece[:n]); err != nil {
				t.Fatalf("pieces of %d: %v", size, err)
			}
		}
		if err := c.end(t.Context()); err != nil {
			t.Fatalf("pieces of %d: %v", size, err)
		}
	}
}
