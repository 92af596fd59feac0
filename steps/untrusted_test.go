package steps

import (
	"encoding/json"
	"strings"
	"testing"

	"profjob/internal/archive"
)

// TestPathsOutOfTheRun: neither a plan nor a journal leads out of the run's directory.
func TestPathsOutOfTheRun(t *testing.T) {
	for _, p := range []string{"../x", "/etc/passwd", "a/../../x", ".", "", "a//b"} {
		for kind, result := range map[string]any{
			"collect": CollectResult{Files: []archive.File{{Path: p}}},
			"verify":  VerifyResult{Files: []archive.File{{Path: "ok", TrimmedFrom: p}}, Removed: []string{p}},
			"launch":  LaunchResult{Servers: []Launched{{Log: p}}},
		} {
			if kind == "launch" && p == "" {
				continue
			}
			raw, err := json.Marshal(result)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := DecodeResult(kind, raw); err == nil || !strings.Contains(err.Error(), "no path of a file of the run") {
				t.Errorf("%s with the path %q: %v, %v", kind, p, v, err)
			}
		}
	}
	for _, name := range []string{"..", "../x", "a/b", "/x"} {
		_, err := Decode("warmup", "id", 1, []byte(`{"targets":[{"name":"`+name+`","engine":"vllm"}]}`))
		if err == nil || !strings.Contains(err.Error(), "leads out of the run") {
			t.Errorf("target %q: %v", name, err)
		}
	}
}

// FuzzDecodeResult: whatever a journal holds is read or refused, and what was read
// stays within the run.
func FuzzDecodeResult(f *testing.F) {
	for _, k := range table() {
		f.Add(k.name, []byte(`{"files":[{"path":"rounds/01/a.json","size":1,"round":null}],"servers":[{"target":"a","log":"logs/a"}],"endpoints":[{"target":"a"}]}`))
		f.Add(k.name, []byte(`null`))
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		v, err := DecodeResult(kind, raw)
		if err != nil {
			return
		}
		if s, ok := v.(interface{ Summary() string }); ok {
			_ = s.Summary()
		}
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	})
}
