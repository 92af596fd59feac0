package omni

import (
	"strings"
	"testing"
)

func TestGenerationOf(t *testing.T) {
	for _, c := range []struct {
		version string
		want    Generation
		note    string // "": none
		err     string
	}{
		{version: "0.9.0", want: G1, note: "have the logic of g2"},
		{version: "0.9.0+empty", want: G1, note: "have the logic of g2"},
		{version: "0.8.5", want: G1, note: "have the logic of g2"},
		{version: "0.10.2", want: G2},
		{version: "0.11.0", want: G2},
		{version: "0.13.0", want: G2},
		{version: "0.14.0", want: G3},
		{version: "0.14.1.dev3+g123.empty", want: G3},
		{version: "0.15.1", want: G3},
		{version: "0.16.0", want: G4, note: "an assumption"},
		{version: "0.17.0", want: G4, note: "an assumption"},
		{version: "0.24.0", want: G4, note: "an assumption"},
		{version: "0.25.1", want: G5, note: "have no profiler at all"},
		{version: "0.26.0", want: G5, note: "the newest known"},
		{version: "1.0.0", want: G5, note: "the newest known"},
		{version: "0.1.dev1+g123", err: "set generation in the target"},
		{version: "main", err: "set generation in the target"},
		{version: "", err: "set generation in the target"},
	} {
		got, notes, err := GenerationOf(c.version)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: got %s, %v; want an error with %q", c.version, got, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q: got %s, %v; want %s", c.version, got, err, c.want)
		}
		if said := strings.Join(notes, "; "); (said == "") != (c.note == "") || !strings.Contains(said, c.note) {
			t.Errorf("%q: notes %q, want one with %q", c.version, notes, c.note)
		}
	}
}

func TestParseGeneration(t *testing.T) {
	for _, g := range Generations() {
		if got, err := ParseGeneration(string(g)); err != nil || got != g {
			t.Errorf("%s: got %s, %v", g, got, err)
		}
	}
	for _, text := range []string{"", "G3", "g6", "3"} {
		if g, err := ParseGeneration(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, g)
		}
	}
}

func FuzzGenerationOf(f *testing.F) {
	f.Add("0.14.0")
	f.Add("0.1.dev1+g123")
	f.Fuzz(func(t *testing.T, version string) {
		g, notes, err := GenerationOf(version)
		if (err == nil) == (g == "") || err != nil && notes != nil {
			t.Errorf("%q: %q, %q, %v", version, g, notes, err)
		}
	})
}
