package vllm

import (
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for _, c := range []struct {
		in         string
		want       release
		unreleased bool
		err        bool
	}{
		{in: "0.11.0", want: release{0, 11, 0}},
		{in: "0.11.0+cpu", want: release{0, 11, 0}},
		{in: "v0.10.2", want: release{0, 10, 2}},
		{in: "0.10.1.1", want: release{0, 10, 1}},
		{in: "0.8.5.post1", want: release{0, 8, 5}},
		{in: "0.19.2rc1", want: release{0, 19, 2}},
		{in: "0.9.2.rc1.dev5+g1a2b3c4.d20250801", want: release{0, 9, 2}, unreleased: true},
		{in: "0.11.1rc7.dev239+g123abc.precompiled", want: release{0, 11, 1}, unreleased: true},
		{in: "0.1.dev1+g123", want: release{0, 1, 0}, unreleased: true},
		{in: "1.0", want: release{1, 0, 0}},
		{in: " 0.32.0\n", want: release{0, 32, 0}},
		{in: "dev", err: true},
		{in: "", err: true},
		{in: "0.11.x", err: true},
		{in: "Docker version 24.0.5, build ced0996", err: true},
		{in: "9999999.1", err: true},
		{in: strings.Repeat("1", 200), err: true},
	} {
		got, unreleased, err := parseVersion(c.in)
		if c.err != (err != nil) || got != c.want && !c.err || unreleased != c.unreleased {
			t.Errorf("%q: got %v, %t, %v; want %v, %t", c.in, got, unreleased, err, c.want, c.unreleased)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"0.11.0+cpu", "0.9.2.rc1.dev5+g1", "dev", "0.1.dev1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, _, err := parseVersion(s); err == nil && (r[0] < 0 || r[1] < 0 || r[2] < 0) {
			t.Errorf("%q: %v", s, r)
		}
		if got := traitsOf(s); got.dialect == "" || got.evidence == "" {
			t.Errorf("%q: %+v", s, got)
		}
	})
}

func TestTraits(t *testing.T) {
	for _, c := range []struct {
		version, dialect, evidence string
		tokens                     bool
		note                       string // "": no notes at all
	}{
		{"0.8.4", "environment", "structure", false, "older than 0.8.5"},
		{"0.8.5", "environment", "structure", false, ""},
		{"0.10.1.1", "environment", "structure", false, ""},
		{"0.10.2", "environment", "structure", false, ""},
		{"0.11.0+cpu", "environment", "structure", false, ""},
		{"0.11.1", "environment", "annotation", false, ""},
		{"0.12.0", "environment", "annotation", false, "dies at the first request"},
		{"0.13.0", "both", "annotation", false, ""},
		{"0.14.0", "both", "annotation", true, ""},
		{"0.15.1", "both", "annotation", true, ""},
		{"0.16.0", "config", "annotation", true, ""},
		{"0.31.9", "config", "annotation", true, ""},
		{"0.32.0", "per-request", "annotation", true, ""},
		{"0.33.0", "per-request", "annotation", true, "newer than 0.32.0"},
		{"2.0", "per-request", "annotation", true, "newer than 0.32.0"},
		{"0.1.dev1+g123", "per-request", "annotation", true, "without a release number"},
		{"dev", "per-request", "annotation", true, "not a vLLM version"},
		{"0.13.1.dev4+g1", "both", "annotation", false, "between two releases"},
	} {
		got := traitsOf(c.version)
		if got.dialect != c.dialect || got.evidence != c.evidence || got.tokens != c.tokens {
			t.Errorf("%s: got %s, %s, %t; want %s, %s, %t", c.version, got.dialect, got.evidence, got.tokens, c.dialect, c.evidence, c.tokens)
		}
		if notes := strings.Join(got.notes, "; "); c.note == "" && notes != "" || !strings.Contains(notes, c.note) {
			t.Errorf("%s: notes %q, want %q", c.version, notes, c.note)
		}
	}
}

func TestChangesAscend(t *testing.T) {
	seen := map[string]bool{}
	for i, c := range changes {
		if i > 0 && !changes[i-1].since.before(c.since) {
			t.Errorf("%s is not after %s", c.since, changes[i-1].since)
		}
		for _, name := range append(append([]string{}, c.env...), c.keys...) {
			if seen[name] {
				t.Errorf("%s: %s is there twice", c.since, name)
			}
			seen[name] = true
		}
	}
	if newest := changes[len(changes)-1].since; newestRead.before(newest) {
		t.Errorf("a change of %s, but the newest release read is %s", newest, newestRead)
	}
}

func TestKnows(t *testing.T) {
	for _, c := range []struct {
		version, name string
		variable, key bool
	}{
		{"0.8.4", envDir, true, false},
		{"0.10.1", envDir, true, false},
		{"0.10.1", envShapes, false, false},
		{"0.10.2", envShapes, true, false},
		{"0.11.2", envMax, false, false},
		{"0.12.0", envMax, true, false},
		{"0.15.1", envMax, true, false},
		{"0.16.0", envDir, false, false},
		{"0.32.0", envScopes, true, false},
		{"0.12.0", keyDir, false, false},
		{"0.13.0", keyMax, false, true},
		{"0.30.0", keyActivities, false, false},
		{"0.31.0", keyActivities, false, true},
		{"0.40.0", keyActivities, false, true},
		{"0.32.0", "no_such_key", false, false},
	} {
		got := traitsOf(c.version)
		if got.knowsVariable(c.name) != c.variable || got.knowsKey(c.name) != c.key {
			t.Errorf("%s, %s: variable %t, key %t; want %t, %t", c.version, c.name, got.knowsVariable(c.name), got.knowsKey(c.name), c.variable, c.key)
		}
	}
}
