package runner

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// goldens are the plans of testdata.
func goldens(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.plan.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no plans in testdata: %v", err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = data
	}
	return all
}

func TestDecodePlan(t *testing.T) {
	for name, data := range goldens(t) {
		p, err := DecodePlan(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := encode(t, p); !bytes.Equal(again, data) {
			t.Errorf("%s: another plan once it was read:\n%s", name, again)
		}
		for _, s := range p.Steps {
			if s.Step.ID() == "" || s.Step.Kind() == "" {
				t.Errorf("%s: a plan step without a name", name)
			}
		}
	}
}

// Whitespace is nobody's business.
func TestDecodePlanOtherwiseWritten(t *testing.T) {
	for name, data := range goldens(t) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, data); err != nil {
			t.Fatal(err)
		}
		if _, err := DecodePlan(compact.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodePlanTampered(t *testing.T) {
	plan := string(goldens(t)["full.plan.json"])
	for _, c := range []struct{ name, old, new, err string }{
		{"a number", `"count": 5`, `"count": 6`, "its digest is"},
		{"an endpoint", "10.0.0.1", "10.0.0.4", "its digest is"},
		{"a secret's reference", "auth.bearer", "auth.other", "its digest is"},
		{"the digest", `"digest": "sha256:`, `"digest": "sha256:0`, "its digest is"},
		{"an attempt", `"attempts": 7`, `"attempts": 8`, "its digest is"},
		{"a name", `"id": "probe"`, `"id": "probing"`, "its digest is"},
		{"a round", `"round": 2`, `"round": 1`, "its digest is"},
		{"an unknown field", `"job": "full"`, `"job": "full", "sudo": true`, "sudo"},
		{"an unknown field of a plan step", `"min_free_disk"`, `"no_limits": true, "min_free_disk"`, "no_limits"},
		{"an unknown kind", `"kind": "probe"`, `"kind": "wipe"`, `unknown kind "wipe"`},
		{"another format", `"format_version": 1`, `"format_version": 2`, "format_version 2"},
		{"a type", `"count": 5`, `"count": "5"`, "count"},
		{"something behind it", "\n}\n", "\n}\n{}", "follows"},
		{"half of it", `"digest"`, "", "decode plan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tampered := strings.Replace(plan, c.old, c.new, 1)
			if tampered == plan {
				t.Fatalf("the plan has no %q", c.old)
			}
			if _, err := DecodePlan([]byte(tampered)); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want an error with %q", err, c.err)
			}
		})
	}
}

func TestDecodePlanLimit(t *testing.T) {
	if _, err := DecodePlan(make([]byte, maxPlan+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodePlan(f *testing.F) {
	for _, data := range goldens(f) {
		f.Add(data)
	}
	f.Add([]byte(`{"format_version":1,"steps":[{"id":"a","kind":"seal","params":{}}]}`))
	f.Add([]byte(`{"format_version":1,"steps":[null,{"kind":"seal","params":null}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePlan(data)
		if err != nil {
			return
		}
		again := encode(t, p)
		q, err := DecodePlan(again)
		if err != nil {
			t.Fatalf("a plan that was read cannot be read again: %v", err)
		}
		if !bytes.Equal(encode(t, q), again) {
			t.Fatal("another plan once it was read")
		}
	})
}
