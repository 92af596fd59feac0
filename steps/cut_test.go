package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"profjob/internal/archive"
)

// The uncut file goes where it is not to be kept and the cut one is exact.
func TestVerifyKeepOriginal(t *testing.T) {
	for _, c := range []struct {
		keep  bool
		count int
		files int
	}{{true, 3, 2}, {false, 3, 1}, {false, 9, 1}} {
		h := newHost(t)
		target := h.serve("a")
		h.written(target, nil, oneTrace(own(t, "v0.32.0-four-steps.json.gz")))
		v := verifySteps(c.count, 0, target)
		v.KeepOriginal = c.keep
		got, _ := h.verify(v)
		src := "rounds/01/attempt-1/traces/server/" + slugA + "/rank0.1.pt.trace.json.gz"
		_, err := os.Stat(h.Dir.Join(src))
		gone := !c.keep && c.count == 3
		if (err != nil) != gone || len(got.Files) != c.files || slices.Contains(got.Removed, src) != gone {
			t.Errorf("%+v: %d files, removed %v, %v", c, len(got.Files), got.Removed, err)
		}
		if last := got.Files[len(got.Files)-1]; c.count == 3 && (last.TrimmedFrom != src || last.Path != strings.Replace(src, ".pt.trace", ".window.pt.trace", 1)) {
			t.Errorf("cut file %+v", last)
		}
		if kept := collected(h.Run); slices.ContainsFunc(kept, func(f archive.File) bool { return f.Path == src }) == gone {
			t.Errorf("the manifest would name %+v", kept)
		}
	}
}

func TestHashFileEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "trace", []byte("abc"))
	path := filepath.Join(dir, "trace")
	want, err := archive.HashFile(path)
	if got, ours := hashFile(t.Context(), path); ours != nil || err != nil || got != want {
		t.Errorf("%+v, %v, want %+v, %v", got, ours, want, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	if _, err := hashFile(ctx, path); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
	if _, err := hashFile(t.Context(), path+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A cut file counts only where it shows the very steps that were chosen.
func TestDifferences(t *testing.T) {
	got := func(tokens ...int) archive.Got {
		g := archive.Got{Steps: len(tokens)}
		for _, n := range tokens {
			g.EngineSteps = append(g.EngineSteps, archive.Step{Name: "aten::embedding", Tokens: &n})
		}
		return g
	}
	nameless, renamed := got(8, 3), got(8, 3)
	nameless.EngineSteps[1].Tokens = nil
	renamed.EngineSteps[1].Name = "execute_context_0(0)_generation_3(3)"
	for name, c := range map[string]struct {
		cut  archive.Got
		want string
	}{
		"the same":          {got(8, 3), ""},
		"one less":          {got(8), "shows 1 engine steps"},
		"other tokens":      {got(8, 4), "other engine steps"},
		"tokens not known":  {nameless, "other engine steps"},
		"other annotations": {renamed, "other engine steps"},
	} {
		if got := differences(got(8, 3), c.cut, 2); got == "" != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
